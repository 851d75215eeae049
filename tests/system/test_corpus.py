"""Trained nets become TFLite and TensorFlow.js, and still say what they said when they were trained.

Three witnesses for each net:
- the farm's own verification, on inputs that it makes up and on the input of `golden.npz`;
- TensorFlow's interpreter, called by a program that shares no code with the farm, against the outputs in
  `golden.npz`, which TensorFlow 1.9 or 1.15 gave when the corpus was made;
- for TensorFlow.js, which runs in Node only: what the farm's run gave on the golden input, fetched from the farm and
  compared here with `golden.npz`. Only the comparison is independent there, not the run.

PoseNet comes without golden outputs: there the reference is a session of TensorFlow 1.15 in a program of its own.
"""

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format
from modelmill.client import Client, collect, conversion_pb2

PROGRAMS = Path(__file__).parent / "programs"
Arrays = Mapping[str, np.ndarray]

#: The largest error of an output, relative to the golden output's range. Rewriting, folding and other kernels only
#: change the order of float32 sums: the worst seen is 1.4e-6 in MTCNN and 5e-6 in PoseNet, which is deeper.
TOLERANCE = 1e-4
#: The source itself in a later build of TensorFlow: the same kernels on another processor; 5e-7 is the worst seen.
SOURCE_TOLERANCE = 1e-5

#: PReLUs by net, from the paper (Zhang et al. 2016, figure 2): one after each layer but the last.
PRELUS = {"pnet": 3, "rnet": 4, "onet": 5}


@dataclass(frozen=True)
class Net:
    """One of MTCNN's nets as TF1 code left it: a checkpoint, and its graph in one of two files."""

    version: str
    name: str
    graph: str

    def __str__(self) -> str:
        return f"{self.version}-{self.name}-{self.graph.rpartition('.')[2]}"


NETS = [
    Net(version, name, graph)
    for version in ("tf1.9.0", "tf1.15.5")
    for name in PRELUS
    for graph in ("graph.pb", "graph.pbtxt")
]


@dataclass(frozen=True)
class Converted:
    """A conversion that has ended: what the farm says of it, and the folder that it was saved to."""

    conversion: conversion_pb2.Conversion
    output: Path
    golden: Arrays

    def step(self, step_id: str) -> conversion_pb2.Step:
        return next(step for step in self.conversion.steps if step.id == step_id)

    def facts(self, step_id: str) -> dict:
        return json_format.MessageToDict(self.step(step_id).facts)

    def verification(self, target: str) -> conversion_pb2.Verification:
        return next(result.verification for result in self.conversion.results if result.target == target)


@pytest.fixture(scope="module")
def farm(shared_coordinator):
    with Client(shared_coordinator.address) as client:
        yield client


@pytest.fixture(scope="module")
def pythons(farm: Client) -> dict[str, Path]:
    """The Pythons of TensorFlow environments, as far as they can be had: programs run in them without the farm."""
    ends = [list(farm.install_environment(name))[-1] for name in ("tf-1.15", "tf-2.15")]
    had = [end.environment for end in ends if end.HasField("environment")]
    return {environment.name: Path(environment.path, "bin", "python") for environment in had}


class Interpreter:
    """TensorFlow's interpreter without the farm. Importing TensorFlow takes seconds: equal files are run once."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python = python
        self._folder = folder
        self._runs: dict[str, tuple[Arrays, Counter]] = {}

    def run(self, converted: Converted) -> tuple[Arrays, Counter]:
        """The outputs on the golden input by the names in signature.json, and how often each operator is there."""
        model = converted.output / "tflite"
        values = converted.golden["input"]
        key = hashlib.sha256((model / "model.tflite").read_bytes() + values.tobytes()).hexdigest()
        if key not in self._runs:
            self._runs[key] = self._run(model, values)
        return self._runs[key]

    def _run(self, model: Path, values: np.ndarray) -> tuple[Arrays, Counter]:
        np.save(self._folder / "input.npy", values)
        run_program(
            self._python,
            "run_tflite.py",
            model / "model.tflite",
            self._folder / "input.npy",
            self._folder / "outputs.npz",
        )
        found = dict(np.load(self._folder / "outputs.npz"))
        signature = json.loads((model / "signature.json").read_text())
        operators = Counter(str(name) for name in found["operators"])
        return {output["name"]: found[output["tensor"]] for output in signature["outputs"]}, operators


@pytest.fixture(scope="module")
def interpreter(pythons: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return Interpreter(pythons["tf-2.15"], tmp_path_factory.mktemp("interpreter"))


@pytest.fixture(scope="module", params=NETS, ids=str)
def net(request: pytest.FixtureRequest) -> Net:
    return request.param


@pytest.fixture(scope="module")
def converted(net: Net, farm: Client, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """The net, converted to both targets and verified on the golden input."""
    folder = tmp_path_factory.mktemp(str(net))
    golden = dict(np.load(corpus / "mtcnn" / net.version / net.name / "golden.npz"))
    np.savez(folder / "golden-input.npz", **{f"{net.name}/input": golden["input"]})
    spec = specification()
    spec.verification.dataset.CopyFrom(farm.upload(folder / "golden-input.npz", "dataset"))
    conversion = farm.convert(source_of(net, corpus), spec, folder / "out")
    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, conversion.failure
    return Converted(conversion, folder / "out", golden)


def test_passes_the_farms_verification_on_the_golden_input(converted: Converted) -> None:
    for target in ("tflite", "tfjs"):
        assert_passed(converted, target, set(converted.golden) - {"input"})


def test_passes_the_farms_verification_on_made_up_inputs(
    net: Net, farm: Client, corpus: Path, tmp_path: Path, converted: Converted
) -> None:
    conversion = farm.convert(source_of(net, corpus), specification(), tmp_path / "out")

    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, conversion.failure
    for target in ("tflite", "tfjs"):
        assert_passed(Converted(conversion, tmp_path, {}), target, set(converted.golden) - {"input"})


def test_the_source_itself_answers_as_when_it_was_trained(converted: Converted, farm: Client, tmp_path: Path) -> None:
    assert_near(outputs_of(converted, "reference", farm, tmp_path), converted.golden, SOURCE_TOLERANCE)


def test_tflite_answers_as_the_golden_file_says(
    converted: Converted, interpreter: Interpreter, record_property
) -> None:
    outputs, _ = interpreter.run(converted)

    record_property("relative errors", assert_near(outputs, converted.golden, TOLERANCE))


def test_tfjs_answers_as_the_golden_file_says(
    converted: Converted, farm: Client, tmp_path: Path, record_property
) -> None:
    skip_without_node(converted)
    outputs = outputs_of(converted, "run.tfjs", farm, tmp_path)

    record_property("relative errors", assert_near(outputs, converted.golden, TOLERANCE))


def test_tflite_has_one_operator_for_each_prelu(net: Net, converted: Converted, interpreter: Interpreter) -> None:
    _, operators = interpreter.run(converted)

    assert operators["PRELU"] + operators["LEAKY_RELU"] == PRELUS[net.name]
    assert not {"NEG", "RELU", "MUL", "ADD"} & set(operators), "parts of a PReLU are left"
    assert operators == Counter(converted.facts("convert.tflite")["operators"])


def test_tfjs_has_every_prelu_in_the_layer_before_it(net: Net, converted: Converted) -> None:
    model = json.loads((converted.output / "tfjs" / "model.json").read_text())
    nodes = model["modelTopology"]["node"]
    operations = Counter(node["op"] for node in nodes)
    # "UHJlbHU=" is base64 of "Prelu": the bytes of an attribute, as protobuf writes JSON.
    fused = sum("UHJlbHU=" in node.get("attr", {}).get("fused_ops", {}).get("list", {}).get("s", []) for node in nodes)

    assert fused + operations["Prelu"] == PRELUS[net.name]
    assert not {"Neg", "Relu", "Mul", "Add", "AddV2"} & set(operations), "parts of a PReLU are left"


@pytest.mark.parametrize("target", ["tflite", "tfjs"])
def test_the_report_names_the_nodes_of_every_prelu(target: str, net: Net, converted: Converted) -> None:
    rules = {rule["rule"]: rule for rule in converted.facts(f"rewrite.{target}")["rules"]}

    assert rules["prelu"]["refused"] == []
    scopes = [{scope_of(node) for node in firing["before"]} for firing in rules["prelu"]["fired"]]
    assert sorted(scopes, key=str) == [{f"{net.name}/prelu{number}"} for number in range(1, PRELUS[net.name] + 1)]


@pytest.mark.parametrize("version", ["tf1.9.0", "tf1.15.5"])
@pytest.mark.parametrize("name", PRELUS)
def test_both_forms_of_a_graph_freeze_to_the_same_bytes(version: str, name: str, farm: Client, corpus: Path) -> None:
    frozen = []
    for graph in ("graph.pb", "graph.pbtxt"):
        conversion = farm.begin(source_of(Net(version, name, graph), corpus), specification())
        list(farm.watch_conversion(conversion.id))
        steps = farm.get_conversion(conversion.id).steps
        frozen += [step.output.digest for step in steps if step.id == "freeze"]

    assert frozen[0] == frozen[1] != ""


# PoseNet


@pytest.fixture(scope="module")
def posenet(farm: Client, corpus: Path, pythons: dict[str, Path], tmp_path_factory: pytest.TempPathFactory):
    """PoseNet, converted and verified on an input on which TensorFlow 1.15 was asked without the farm."""
    folder = tmp_path_factory.mktemp("posenet")
    image = np.random.default_rng(16).uniform(-1.0, 1.0, (1, 385, 385, 3)).astype(np.float32)
    np.savez(folder / "image.npz", image=image)
    spec = specification()
    spec.verification.dataset.CopyFrom(farm.upload(folder / "image.npz", "dataset"))
    conversion = farm.convert(corpus / "posenet" / "frozen.pb", spec, folder / "out")
    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, conversion.failure

    names = [
        f"MobilenetV1/{head}/BiasAdd" for head in ("heatmap_2", "offset_2", "displacement_fwd_2", "displacement_bwd_2")
    ]
    python = pythons.get("tf-1.15") or pythons["tf-2.15"]
    np.save(folder / "image.npy", image)
    arguments = [corpus / "posenet" / "frozen.pb", "image", folder / "image.npy", folder / "reference.npz", *names]
    run_program(python, "run_frozen_graph.py", *arguments)
    return Converted(conversion, folder / "out", {"input": image, **np.load(folder / "reference.npz")})


def test_posenet_passes_the_farms_verification(posenet: Converted) -> None:
    for target in ("tflite", "tfjs"):
        assert_passed(posenet, target, set(posenet.golden) - {"input"})


def test_posenet_runs_in_the_farm_as_it_does_outside(posenet: Converted, farm: Client, tmp_path: Path) -> None:
    assert_near(outputs_of(posenet, "reference", farm, tmp_path), posenet.golden, SOURCE_TOLERANCE)


def test_posenet_as_tflite_answers_as_tensorflow_does(
    posenet: Converted, interpreter: Interpreter, record_property
) -> None:
    outputs, operators = interpreter.run(posenet)

    record_property("relative errors", assert_near(outputs, posenet.golden, TOLERANCE))
    assert operators == {"CONV_2D": 18, "DEPTHWISE_CONV_2D": 13}


def test_posenet_as_tfjs_answers_as_tensorflow_does(
    posenet: Converted, farm: Client, tmp_path: Path, record_property
) -> None:
    skip_without_node(posenet)
    outputs = outputs_of(posenet, "run.tfjs", farm, tmp_path)

    record_property("relative errors", assert_near(outputs, posenet.golden, TOLERANCE))


# What the tests share


def specification() -> conversion_pb2.ConversionSpec:
    targets = [conversion_pb2.TargetRequest(name=name) for name in ("tflite", "tfjs")]
    return conversion_pb2.ConversionSpec(targets=targets)


def scope_of(node: str) -> str:
    """The part of a node's name before the last slash; P-Net's author wrote PReLU1 where the others have prelu1."""
    return node.rpartition("/")[0].lower()


def source_of(net: Net, corpus: Path):
    folder = corpus / "mtcnn" / net.version / net.name
    return collect(folder / "model.ckpt", folder / net.graph)


def skip_without_node(converted: Converted) -> None:
    verification = converted.verification("tfjs")
    if verification.state == conversion_pb2.Verification.SKIPPED:
        pytest.skip(verification.reason)


def assert_passed(converted: Converted, target: str, outputs: set[str]) -> None:
    """The farm compared every output and found each within the tolerance, by its own numbers too."""
    if target == "tfjs":
        skip_without_node(converted)
    verification = converted.verification(target)
    assert verification.state == conversion_pb2.Verification.PASSED, verification.reason
    assert {comparison.output for comparison in verification.outputs} == outputs
    for comparison in verification.outputs:
        assert comparison.max_abs_error <= TOLERANCE * comparison.reference_range, comparison
        assert comparison.cosine_similarity > 1 - 1e-6


def assert_near(outputs: Arrays, golden: Arrays, tolerance: float) -> dict[str, float]:
    """Every golden output is there, and no element is further off than the tolerance; the largest errors."""
    assert set(outputs) == set(golden) - {"input"}
    errors = {}
    for name, values in outputs.items():
        assert values.shape == golden[name].shape
        span = float(np.ptp(golden[name]))
        assert span > 0, "an output that is everywhere the same proves nothing"
        errors[name] = float(np.max(np.abs(values.astype(np.float64) - golden[name]))) / span
        assert errors[name] <= tolerance, f"{name} is off by {errors[name]:g} of its range"
    return errors


def outputs_of(converted: Converted, step_id: str, farm: Client, folder: Path) -> Arrays:
    """What a step of the verification gave, as arrays by output name."""
    farm.download(converted.step(step_id).output, folder / step_id)
    return dict(np.load(folder / step_id / "arrays.npz"))


def run_program(python: Path, name: str, *arguments: Path | str) -> None:
    done = subprocess.run(
        [python, PROGRAMS / name, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
