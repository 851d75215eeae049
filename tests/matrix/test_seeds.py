"""What this project began with: conversions that went wrong, or needed one certain version of TensorFlow.

Each is made anew with the versions that it happened in, and shown to be solved, or to fail with a reason that says why.
"""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matrix import records
from matrix.conftest import DEFINITIONS
from matrix.environment_run import EnvironmentRun, run_models
from matrix.memory import FarmMemory
from modelmill.client import Client, Source, collect, conversion_pb2
from packaging.version import Version
from pytest_elsewhere import cache_folder
from system.coordinator_process import CoordinatorProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

Conversion = conversion_pb2.Conversion
Verification = conversion_pb2.Verification
Install = Callable[[str], EnvironmentRun]


def tensorflow_of(name: str) -> str:
    return DEFINITIONS[name].provides["tensorflow"]


def specification(name: str, tensorflow: str, **options: object) -> conversion_pb2.ConversionSpec:
    """One target, made by one version: no other is tried."""
    spec = conversion_pb2.ConversionSpec(version_retries=0)
    spec.targets.add(name=name, tensorflow=tensorflow).options.update(options)
    return spec


def ended(farm: Client, source: Source | Path, spec: conversion_pb2.ConversionSpec) -> Conversion:
    begun = farm.begin(source, spec)
    list(farm.watch_conversion(begun.id))
    return farm.get_conversion(begun.id)


def worst(verification: conversion_pb2.Verification) -> float:
    """The largest error of an output, relative to its range."""
    return max(output.max_abs_error / output.reference_range for output in verification.outputs)


def answers_of(run: EnvironmentRun, farm: Client, conversion: Conversion, golden: Path, folder: Path) -> np.ndarray:
    """What a result answers to a golden file's images, without the farm: its one output."""
    farm.download(conversion.results[0].artifact, folder / "tflite")
    said, _ = run_models(run, [(folder / "tflite" / "model.tflite", golden, folder / "answers.npz")], folder)
    assert (folder / "answers.npz").exists(), said
    (answers,) = dict(np.load(folder / "answers.npz")).values()
    return answers


# The PReLU of TensorFlow 1.9


@pytest.fixture(scope="module", params=[1, 3], ids=["alpha [C]", "alpha [1, 1, C]"])
def prelu(request: pytest.FixtureRequest, install: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a net whose PReLU is written as neg, relu, mul, neg, add."""
    folder = tmp_path_factory.mktemp(f"alpha-of-rank-{request.param}", numbered=False)
    written = install("tf-1.9").program("write_prelu.py", folder, str(request.param))
    assert written.returncode == 0, written.stderr
    return folder


def error_of_answers(answers: np.ndarray, golden: Path) -> float:
    right = np.load(golden)["answers"]
    return float(np.max(np.abs(answers.astype(np.float64) - right)) / np.ptp(right))


def test_the_prelu_of_1_9_is_wrong_as_it_is_and_the_verifier_says_so(
    prelu: Path, farm: Client, install: Install, tmp_path: Path
) -> None:
    spec = specification("tflite", tensorflow_of("tf-1.9"))
    spec.plugin_options["rewriter"].update({"no_rewrite": ["prelu"]})

    conversion = ended(farm, prelu / "graph.pb", spec)

    assert conversion.state == Conversion.FAILED
    assert conversion.failure.reason == "VERIFICATION_FAILED", conversion.failure
    (result,) = conversion.results
    assert result.verification.state == Verification.FAILED
    assert worst(result.verification) > 0.1
    answers = answers_of(install("tf-1.9"), farm, conversion, prelu / "golden.npz", tmp_path)
    assert error_of_answers(answers, prelu / "golden.npz") > 0.1
    records.note(f"PReLU of 1.9, {prelu.name}", without_rule=worst(result.verification))


def test_the_prelu_of_1_9_is_right_with_the_rule(prelu: Path, farm: Client, install: Install, tmp_path: Path) -> None:
    conversion = ended(farm, prelu / "graph.pb", specification("tflite", tensorflow_of("tf-1.9")))

    assert conversion.state == Conversion.SUCCEEDED, conversion.failure
    assert conversion.results[0].tensorflow == tensorflow_of("tf-1.9")
    assert worst(conversion.results[0].verification) <= 1e-5
    answers = answers_of(install("tf-1.9"), farm, conversion, prelu / "golden.npz", tmp_path)
    assert error_of_answers(answers, prelu / "golden.npz") <= 1e-5
    records.note(f"PReLU of 1.9, {prelu.name}", with_rule=worst(conversion.results[0].verification))


# Nets trained for uint8

TRAINED_FOR_UINT8 = ("tf-1.12", "tf-1.13", "tf-1.14", "tf-1.15")


def trained(run: EnvironmentRun, output: str, folder: Path) -> Path:
    done = run.program("train_quantised.py", folder, output)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def uint8(name: str) -> conversion_pb2.ConversionSpec:
    """real = (value - mean) / deviation: images from -1 to 1."""
    stats = {"images": [127.5, 127.5]}
    return specification("tflite", tensorflow_of(name), quantization="qat_uint8", input_stats=stats)


@pytest.mark.parametrize("name", TRAINED_FOR_UINT8)
def test_a_net_trained_for_uint8_becomes_uint8(name: str, farm: Client, install: Install, tmp_path: Path) -> None:
    run = install(name)
    folder = trained(run, "scores", tmp_path)

    conversion = ended(farm, collect(folder / "model.ckpt", folder / "graph.pb"), uint8(name))

    assert conversion.state == Conversion.SUCCEEDED, conversion.failure
    assert conversion.results[0].tensorflow == tensorflow_of(name)
    assert conversion.results[0].verification.state == Verification.PASSED
    golden = np.load(folder / "golden.npz")
    answers = answers_of(run, farm, conversion, folder / "golden.npz", tmp_path)
    # A uint8 output of scores from 0 to 1 has steps of 1/256.
    assert np.allclose(answers * 256, np.round(answers * 256), atol=1e-3)
    accuracies = [
        float(np.mean(np.argmax(scores, -1) == np.argmax(golden["classes"], -1)))
        for scores in (golden["answers"], answers)
    ]
    error = float(np.max(np.abs(answers - golden["answers"])))
    records.note(f"trained for uint8, {name}", accuracy_in_training=accuracies[0], accuracy=accuracies[1], error=error)
    # The session rounds where the uint8 kernels round, and sums in float32: a step or two of 1/256 in a score.
    assert accuracies[0] > 0.9
    assert accuracies[1] >= accuracies[0] - 0.02
    assert error <= 0.05


@pytest.mark.parametrize("name", TRAINED_FOR_UINT8)
def test_a_regression_net_that_ends_in_a_relu6_has_no_range_and_says_so(
    name: str, farm: Client, install: Install, tmp_path: Path
) -> None:
    folder = trained(install(name), "offsets", tmp_path)
    source = collect(folder / "model.ckpt", folder / "graph.pb")
    spec = uint8(name)
    spec.plugin_options["freezer"].update({"outputs": ["offsets"]})

    conversion = ended(farm, source, spec)

    assert conversion.state == Conversion.FAILED
    failure = conversion.failure
    assert failure.reason == "MISSING_QUANTIZATION_RANGES", failure
    assert "does not have MinMax information" in str(failure)
    # Behind the Relu6 tf.contrib.quantize left a node with the range, which nothing reads: an output that is not named
    # is looked for, and found there.
    found = ended(farm, source, uint8(name))
    assert found.state == Conversion.SUCCEEDED, found.failure
    assert found.results[0].verification.state == Verification.PASSED
    error = worst(found.results[0].verification)
    records.note(
        f"output is a Relu6, {name}", reason=failure.reason, message=failure.message, error_with_the_output_found=error
    )


# PoseNet


def versions_from(oldest: str) -> list[str]:
    """Versions of the environments that hold a TensorFlow and nothing more."""
    plain = [one.provides["tensorflow"] for one in DEFINITIONS.values() if list(one.provides) == ["tensorflow"]]
    return sorted((version for version in plain if Version(version) >= Version(oldest)), key=Version)


def every_version(target: str, versions: str) -> conversion_pb2.ConversionSpec:
    spec = conversion_pb2.ConversionSpec()
    spec.targets.add(name=target, tensorflow=versions, every_version=True)
    return spec


def assert_each_passed(conversion: Conversion, target: str, versions: list[str], seed: str) -> None:
    """Every version is there, and each result is near the source by the farm's own numbers."""
    results = {result.target: result for result in conversion.results}
    assert set(results) == {f"{target}@{version}" for version in versions}
    for label, result in results.items():
        assert result.HasField("artifact"), f"{label}: {result.failure.message}"
        if result.verification.state != Verification.SKIPPED:  # a machine without Node
            assert result.verification.state == Verification.PASSED, label
            records.note(seed, **{label: worst(result.verification)})
    assert conversion.state == Conversion.SUCCEEDED, conversion.failure


def test_posenet_becomes_tflite_in_each_version_from_1_12_on(farm: Client, corpus: Path) -> None:
    conversion = ended(farm, corpus / "posenet" / "frozen.pb", every_version("tflite", ">=1.12"))

    assert_each_passed(conversion, "tflite", versions_from("1.12"), "PoseNet, error of range")
    for result in conversion.results:
        assert len(result.differences) == len(conversion.results) - 1
        assert all(difference.of_range <= 1e-4 for difference in result.differences)


def test_posenet_becomes_tensorflowjs_by_every_tensorflowjs(farm: Client, corpus: Path) -> None:
    exporters = [one for one in DEFINITIONS.values() if "tensorflowjs" in one.provides]
    assert {"0.8.0", "1.7.4", "4.22.0"} <= {one.provides["tensorflowjs"] for one in exporters}

    conversion = ended(farm, corpus / "posenet" / "frozen.pb", every_version("tfjs", ""))

    assert_each_passed(conversion, "tfjs", [one.provides["tensorflow"] for one in exporters], "PoseNet, error of range")


# Mixed work at once

MIXED = ("tf-1.9", "tf-1.12", "tf-1.15", "tf-2.4", "tf-2.15", "tf-2.21")
NETS = ("pnet", "rnet", "onet")
#: The converters of the slow conversion's versions.
SLOW = {
    "tf-1.12": ("toco",),
    "tf-1.15": ("toco", "mlir"),
    "tf-2.4": ("toco", "mlir"),
    "tf-2.15": ("toco", "mlir"),
    "tf-2.21": ("mlir",),
}
PNET_SHAPE = (1, 48, 48, 3)


@pytest.fixture
def usual(install: Install, tmp_path: Path) -> Iterator[CoordinatorProcess]:
    """A coordinator with as many workers as it has unasked, and two steps at once."""
    for name in MIXED:
        install(name)
    variables = {"MODELMILL_CACHE": str(cache_folder()), "MODELMILL_SLOTS": "2"}
    with CoordinatorProcess(tmp_path / "home", variables) as process:
        yield process


def test_ten_conversions_over_six_versions_at_once(usual: CoordinatorProcess, corpus: Path) -> None:
    slow = slow_specification()

    began = time.monotonic()
    with Client(usual.address) as farm, FarmMemory(usual.pid) as memory:
        slowest = farm.begin(corpus / "posenet" / "frozen.pb", slow).id
        quick = []
        for number in range(9):
            net = NETS[(number + number // 6) % 3]
            folder = corpus / "mtcnn" / "tf1.9.0" / net
            spec = specification("tflite", tensorflow_of(MIXED[number % 6]))
            if net == "pnet":  # which takes images of any size, and TOCO none
                spec.targets[0].options.update({"input_shapes": {"pnet/input": PNET_SHAPE}})
                spec.verification.input_shapes["pnet/input"].dimensions.extend(PNET_SHAPE)
            quick.append(farm.begin(collect(folder / "model.ckpt", folder / "graph.pb"), spec).id)
        for conversion_id in (*quick, slowest):
            list(farm.watch_conversion(conversion_id))
        seconds = time.monotonic() - began
        conversions = [farm.get_conversion(conversion_id) for conversion_id in (*quick, slowest)]

    for conversion in conversions:
        assert conversion.state == Conversion.SUCCEEDED, conversion.failure
        for result in conversion.results:
            assert result.verification.state in (Verification.PASSED, Verification.SKIPPED)
    last = conversions[-1]
    # It was there first, with several times the work of any other, and each of them was done before it.
    assert work_of(last) > 3 * max(work_of(conversion) for conversion in conversions[:-1])
    assert all(last.create_time.ToNanoseconds() <= one.create_time.ToNanoseconds() for one in conversions)
    assert all(one.end_time.ToNanoseconds() < last.end_time.ToNanoseconds() for one in conversions[:-1])
    steps = [step for conversion in conversions for step in conversion.steps if not step.cached]
    assert share_above(2, steps) < 0.02
    assert share_above(1, steps) > 0.2, "two ran side by side"
    records.note(
        "ten conversions over six versions at once",
        seconds=seconds,
        peak_bytes=memory.peak,
        resident_bytes=memory.resident,
        processes=memory.processes,
        steps=len(steps),
        slow_seconds=(last.end_time.ToNanoseconds() - last.create_time.ToNanoseconds()) / 1e9,
        quick_seconds=max(
            (one.end_time.ToNanoseconds() - one.create_time.ToNanoseconds()) / 1e9 for one in conversions[:-1]
        ),
    )


def slow_specification() -> conversion_pb2.ConversionSpec:
    """PoseNet in every way that five versions have: each converter, with and without leave for custom operators."""
    spec = conversion_pb2.ConversionSpec()
    for name, converters in SLOW.items():
        for converter in converters:
            for allow_custom_ops in (False, True):
                target = spec.targets.add(name="tflite", tensorflow=tensorflow_of(name))
                target.options.update({"converter": converter, "allow_custom_ops": allow_custom_ops})
    return spec


def work_of(conversion: Conversion) -> int:
    """Nanoseconds that the steps of a conversion ran."""
    return sum(step.run_time.ToNanoseconds() for step in conversion.steps)


def share_above(limit: int, steps: list[conversion_pb2.Step]) -> float:
    """In what share of the time more than so many steps ran, by when they began and how long their processes ran.

    When a step began is told some milliseconds after it did, so that one seems to run on when the next has its slot.
    """
    begun = [(step.start_time.ToNanoseconds(), step.run_time.ToNanoseconds()) for step in steps]
    changes = sorted(change for start, time_run in begun for change in ((start, 1), (start + time_run, -1)))
    running = above = 0
    for (moment, change), (following, _) in pairwise(changes):
        running += change
        above += (following - moment) * (running > limit)
    return above / (changes[-1][0] - changes[0][0])
