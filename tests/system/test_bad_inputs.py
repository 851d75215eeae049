"""Whatever is wrong with what a user hands in: the answer says what, and what to do; the output folder is as it was."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from modelmill.client import Client, collect, conversion_pb2
from modelmill.errors import ModelmillError
from modelmill_protos.v1 import failure_pb2

State = conversion_pb2.Conversion.State
BOTH = ("tflite", "tfjs")
#: The command as it is installed beside the Python that runs this.
MODELMILL = Path(sys.executable).with_name("modelmill")

#: For each file in the corpus's bad-inputs: the reason, and words that the message must have.
BAD_INPUTS = {
    "checkpoint_without_data": ("CHECKPOINT_INCOMPLETE", "lacks model.ckpt.data-00000-of-00001"),
    "checkpoint_without_data/model.ckpt": ("CHECKPOINT_INCOMPLETE", "lacks model.ckpt.data-00000-of-00001"),
    "model_invoking_error.tflite": ("NO_ROUTE", "Give a model of one of these kinds: tf.checkpoint"),
    "text_graphdef_named_pb.pb": ("CHECKPOINT_MISSING", "Give the checkpoint's prefix"),
    "weights_only.h5": ("KERAS_WEIGHTS_ONLY", "Save the whole model"),
    "native-crash/keyword_scrambled.tflite": ("NO_ROUTE", "Give a model of one of these kinds: tf.checkpoint"),
    "native-crash/keyword_scrambled_8bit.tflite": ("NO_ROUTE", "Give a model of one of these kinds: tf.checkpoint"),
    "native-crash/person_detect.tflite": ("NO_ROUTE", "Give a model of one of these kinds: tf.checkpoint"),
}
#: Of TensorFlow Serving's tests: no bad model but an old one, in the checkpoint format of before TensorFlow 0.12.
OLD_CHECKPOINT = "bad_half_plus_two/00000123"


# The corpus's bad inputs


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_refuses_every_bad_input_of_the_corpus(name: str, corpus: Path, client: Client, tmp_path: Path) -> None:
    reason, advice = BAD_INPUTS[name]

    failure = fails(client, corpus / "bad-inputs" / name, specification(*BOTH), tmp_path)

    assert failure.reason == reason
    assert advice in failure.message
    assert failure.fault == failure_pb2.Failure.INPUT


def test_every_bad_input_of_the_corpus_is_tried(corpus: Path) -> None:
    folder = corpus / "bad-inputs"
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    tried = tuple(name.removesuffix("/model.ckpt") for name in (*BAD_INPUTS, OLD_CHECKPOINT))
    assert {file for file in files if not file.startswith(tried) and Path(file).name != "NOTICE"} == set()


def test_inspecting_a_tflite_that_crashes_the_interpreter_runs_nothing_of_it(corpus: Path, client: Client) -> None:
    for file in sorted((corpus / "bad-inputs" / "native-crash").iterdir()):
        model = client.inspect_model(client.upload(file))
        assert model["kind"] == "tflite"


def test_an_old_checkpoint_without_shapes_says_which_option_mends_it(
    corpus: Path, client: Client, tmp_path: Path
) -> None:
    failure = fails(client, corpus / "bad-inputs" / OLD_CHECKPOINT, specification("tflite"), tmp_path)

    assert failure.reason == "DYNAMIC_SHAPE"
    assert "input_shapes" in failure.message
    assert "Placeholder" in failure.message


def test_an_old_checkpoint_with_a_shape_converts_and_is_verified(corpus: Path, client: Client, tmp_path: Path) -> None:
    spec = specification(*BOTH, freezer={"input_shapes": {"Placeholder": [1, 4]}})

    conversion = client.convert(corpus / "bad-inputs" / OLD_CHECKPOINT, spec, tmp_path / "out")

    assert conversion.state == State.SUCCEEDED, conversion.failure
    passed = conversion_pb2.Verification.PASSED
    states = {result.target: result.verification.state for result in conversion.results}
    assert states["tflite"] == passed
    assert states["tfjs"] in (passed, conversion_pb2.Verification.SKIPPED)  # skipped where there is no Node


# Files that are not there, not whole, or not what they should be


@pytest.fixture
def pnet(corpus: Path, tmp_path: Path) -> Path:
    """A folder with P-Net's checkpoint and graph, to be damaged."""
    folder = tmp_path / "pnet"
    folder.mkdir()
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001", "graph.pb"):
        shutil.copyfile(corpus / "mtcnn" / "tf1.15.5" / "pnet" / name, folder / name)
    return folder


@pytest.mark.parametrize("name", ["graph.pb", "model.tflite", "weights.h5", "anything"])
def test_refuses_an_empty_file(name: str, client: Client, tmp_path: Path) -> None:
    source = tmp_path / name
    source.touch()

    failure = fails(client, source, specification(*BOTH), tmp_path)

    assert failure.reason == "EMPTY_FILE"
    assert name in failure.message


def test_refuses_a_folder_without_files(client: Client, tmp_path: Path) -> None:
    source = tmp_path / "nothing"
    source.mkdir()

    assert fails(client, source, specification(*BOTH), tmp_path).reason == "SOURCE_EMPTY"


def test_refuses_a_folder_without_a_model_and_says_what_is_there(client: Client, tmp_path: Path) -> None:
    source = tmp_path / "notes"
    source.mkdir()
    (source / "readme.txt").write_text("trained on Tuesday\n")

    failure = fails(client, source, specification(*BOTH), tmp_path)

    assert failure.reason == "NO_MODEL_FOUND"
    assert "readme.txt (a text file)" in failure.message


def test_refuses_a_path_that_is_not_there_and_names_the_nearest(client: Client, pnet: Path, tmp_path: Path) -> None:
    failure = fails(client, pnet / "modl.ckpt", specification(*BOTH), tmp_path)

    assert failure.reason == "SOURCE_NOT_FOUND"
    assert "model.ckpt" in failure.message


def test_refuses_a_checkpoint_without_its_data(client: Client, pnet: Path, tmp_path: Path) -> None:
    (pnet / "model.ckpt.data-00000-of-00001").unlink()

    for source in (pnet, pnet / "model.ckpt"):
        failure = fails(client, source, specification(*BOTH), tmp_path)
        assert failure.reason == "CHECKPOINT_INCOMPLETE"
        assert "model.ckpt.data-00000-of-00001" in failure.message


def test_refuses_a_checkpoint_without_its_index(client: Client, pnet: Path, tmp_path: Path) -> None:
    (pnet / "model.ckpt.index").unlink()

    assert fails(client, pnet / "model.ckpt", specification(*BOTH), tmp_path).reason == "CHECKPOINT_INDEX_MISSING"
    assert fails(client, pnet, specification(*BOTH), tmp_path).reason == "CHECKPOINT_INCOMPLETE"


def test_refuses_a_checkpoint_without_a_graph(client: Client, pnet: Path, tmp_path: Path) -> None:
    (pnet / "graph.pb").unlink()

    failure = fails(client, pnet / "model.ckpt", specification(*BOTH), tmp_path)

    assert failure.reason == "GRAPH_MISSING"
    assert "--graph" in failure.message


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_refuses_a_truncated_checkpoint(size: int, client: Client, pnet: Path, tmp_path: Path) -> None:
    truncate(pnet / "model.ckpt.data-00000-of-00001", size)

    failure = fails(client, pnet, specification(*BOTH), tmp_path)

    assert failure.reason == ("CHECKPOINT_UNREADABLE" if size else "EMPTY_FILE")


@pytest.mark.parametrize("size", [0, 1, 200])
def test_refuses_a_truncated_index(size: int, client: Client, pnet: Path, tmp_path: Path) -> None:
    truncate(pnet / "model.ckpt.index", size)

    failure = fails(client, pnet, specification(*BOTH), tmp_path)

    assert failure.reason == ("CHECKPOINT_UNREADABLE" if size else "EMPTY_FILE")


def test_refuses_a_checkpoint_whose_bytes_were_changed(client: Client, pnet: Path, tmp_path: Path) -> None:
    file = pnet / "model.ckpt.data-00000-of-00001"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)

    failure = fails(client, pnet, specification(*BOTH), tmp_path)

    assert failure.reason == "CHECKPOINT_UNREADABLE"


def test_refuses_the_checkpoint_of_another_graph(client: Client, corpus: Path, pnet: Path, tmp_path: Path) -> None:
    source = collect(pnet / "model.ckpt", corpus / "mtcnn" / "tf1.15.5" / "rnet" / "graph.pb")

    failure = fails(client, source, specification(*BOTH), tmp_path)

    assert failure.reason == "VARIABLE_NOT_IN_CHECKPOINT"


def test_refuses_a_truncated_graph(client: Client, corpus: Path, tmp_path: Path) -> None:
    source = tmp_path / "frozen.pb"
    shutil.copyfile(corpus / "mtcnn" / "tf1.15.5" / "pnet" / "frozen.pb", source)
    truncate(source, 20_000)

    failure = fails(client, source, specification(*BOTH), tmp_path)

    assert failure.reason == "GRAPH_DEF_DAMAGED"
    assert "was it copied whole?" in failure.message


def test_refuses_a_truncated_graph_in_text_form(client: Client, corpus: Path, pnet: Path, tmp_path: Path) -> None:
    text = (corpus / "mtcnn" / "tf1.15.5" / "pnet" / "graph.pbtxt").read_text()
    (pnet / "graph.pbtxt").write_text(text[: len(text) // 2])

    failure = fails(client, collect(pnet / "model.ckpt", pnet / "graph.pbtxt"), specification(*BOTH), tmp_path)

    assert failure.reason == "GRAPH_DEF_DAMAGED"


@pytest.mark.parametrize("name", ["graph.pb", "graph.pbtxt", "model.tflite", "model.json"])
def test_refuses_garbage_whatever_its_name(name: str, client: Client, tmp_path: Path) -> None:
    source = tmp_path / name
    source.write_bytes(bytes((number * number + 7 * number) % 251 for number in range(5000)))

    failure = fails(client, source, specification(*BOTH), tmp_path)

    assert failure.reason == "NO_MODEL_FOUND"
    assert name in failure.message


# Links and permissions


def test_a_cycle_of_folders_ends(client: Client, tmp_path: Path) -> None:
    source = tmp_path / "cycle"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "again").symlink_to(source, target_is_directory=True)
    (source / "loop").symlink_to("loop")

    assert fails(client, source, specification(*BOTH), tmp_path).reason == "SOURCE_EMPTY"


def test_a_link_to_a_folder_outside_is_not_followed(client: Client, pnet: Path, tmp_path: Path) -> None:
    source = tmp_path / "linked"
    source.mkdir()
    (source / "readme.txt").write_text("the model is elsewhere\n")
    (source / "elsewhere").symlink_to(pnet, target_is_directory=True)

    failure = fails(client, source, specification(*BOTH), tmp_path)

    assert failure.reason == "NO_MODEL_FOUND"
    assert "graph.pb" not in failure.message


@pytest.mark.parametrize("path", ["../escaped.pb", "/etc/escaped.pb", "a/../../escaped.pb", "a//b.pb", "a\\b.pb", ""])
def test_the_farm_takes_no_path_that_leaves_the_artifact(
    path: str, client: Client, frozen: Path, tmp_path: Path
) -> None:
    source = client.upload(frozen)
    source.files[0].path = path
    spec = specification(*BOTH)
    spec.source.CopyFrom(source)

    with pytest.raises(ModelmillError) as caught:
        client.create_conversion(spec)

    assert caught.value.reason == "INVALID_ARTIFACT"


def test_a_dangling_link_in_a_checkpoint_is_a_missing_file(client: Client, pnet: Path, tmp_path: Path) -> None:
    data = pnet / "model.ckpt.data-00000-of-00001"
    data.unlink()
    data.symlink_to(tmp_path / "moved-away")

    failure = fails(client, pnet, specification(*BOTH), tmp_path)

    assert failure.reason == "CHECKPOINT_INCOMPLETE"


# What is asked for


def test_names_the_nearest_outputs_where_one_does_not_exist(client: Client, pnet: Path, tmp_path: Path) -> None:
    failure = fails(client, pnet, specification(*BOTH, freezer={"outputs": ["probb"]}), tmp_path)

    assert failure.reason == "OUTPUT_NOT_FOUND"
    assert "no output probb" in failure.message
    assert "Nearest names: prob" in failure.message


REQUESTS: dict[str, tuple[conversion_pb2.ConversionSpec, str, str]] = {}


def request(reason: str, words: str) -> Callable[[Callable[[], conversion_pb2.ConversionSpec]], None]:
    """Registers a specification that must be refused with this reason and these words."""

    def register(make: Callable[[], conversion_pb2.ConversionSpec]) -> None:
        REQUESTS[make.__name__] = (make(), reason, words)

    return register


def specification(*targets: str, **plugin_options: dict[str, Any]) -> conversion_pb2.ConversionSpec:
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name=name) for name in targets])
    for plugin, options in plugin_options.items():
        spec.plugin_options[plugin].CopyFrom(struct(options))
    return spec


def struct(values: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(values)
    return made


def with_options(target: str, **options: Any) -> conversion_pb2.ConversionSpec:
    return conversion_pb2.ConversionSpec(
        targets=[conversion_pb2.TargetRequest(name=target, options=struct(options))],
    )


@request("UNKNOWN_TARGET", "known are: .*tfjs, tflite")
def unknown_target() -> conversion_pb2.ConversionSpec:
    return specification("tflit")


@request("NO_TARGET", "tfjs, tflite")
def no_target() -> conversion_pb2.ConversionSpec:
    return specification()


@request("INVALID_OPTION", "'big' is not of type 'integer'. Give a value of type integer")
def text_for_a_number() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", shard_size="big")


@request("INVALID_OPTION", "Give a value of type integer")
def fraction_for_a_whole_number() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", shard_size=1.5)


@request("INVALID_OPTION", "Give one of: dynamic_range, float")
def number_for_a_choice() -> conversion_pb2.ConversionSpec:
    return with_options("tflite", quantization=7)


@request("INVALID_OPTION", "Give one of: float16, none, uint16, uint8")
def unknown_choice() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", weight_quantization="int3")


@request("INVALID_OPTION", "Give a value of type array")
def text_for_a_list() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"outputs": "prob"})


@request("INVALID_OPTION", "Give a value of type string")
def number_in_a_list_of_texts() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"outputs": ["prob", 3]})


@request("INVALID_OPTION", "Give a value of type integer")
def text_in_a_shape() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"input_shapes": {"pnet/input": [1, "high", 48, 3]}})


@request("UNKNOWN_OPTION", "known are: shard_size")
def unknown_option_of_a_target() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", shardsize=3)


@request("UNKNOWN_OPTION", "known are: .*outputs")
def unknown_option_of_a_plugin() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"outpts": ["prob"]})


@request("UNKNOWN_PLUGIN", "known are: freezer, ")
def unknown_plugin() -> conversion_pb2.ConversionSpec:
    return specification("tflite", frezer={"outputs": ["prob"]})


@request("INVALID_TOLERANCE", "not below zero")
def negative_tolerance() -> conversion_pb2.ConversionSpec:
    spec = specification("tflite")
    spec.verification.tolerance = -1
    return spec


@request("INVALID_LIMIT", "below zero")
def negative_deadline() -> conversion_pb2.ConversionSpec:
    spec = specification("tflite")
    spec.limits.step_deadline.seconds = -5
    return spec


@request("INVALID_SHAPE", "pnet/input has")
def negative_dimension() -> conversion_pb2.ConversionSpec:
    spec = specification("tflite")
    spec.verification.input_shapes["pnet/input"].dimensions.extend([1, -2, 48, 3])
    return spec


@request("INVALID_OPTION", "its inputs are pnet/input")
def shape_of_an_unknown_input() -> conversion_pb2.ConversionSpec:
    spec = specification("tflite")
    spec.verification.input_shapes["image"].dimensions.extend([1, 48, 48, 3])
    return spec


@request("INVALID_OPTION", "at least one byte")
def number_that_makes_no_sense() -> conversion_pb2.ConversionSpec:
    return with_options("tfjs", shard_size=-1)


@request("TENSOR_NAME_MALFORMED", 'Write it as in "softmax"')
def malformed_output_name() -> conversion_pb2.ConversionSpec:
    return specification("tflite", freezer={"outputs": ["^prob::"]})


@pytest.mark.parametrize("name", REQUESTS)
def test_refuses_what_cannot_be_asked_for(name: str, client: Client, pnet: Path, tmp_path: Path) -> None:
    spec, reason, words = REQUESTS[name]

    failure = fails(client, pnet, spec, tmp_path)

    assert failure.reason == reason
    assert re.search(words, failure.message), failure.message


# The command


def test_the_command_says_it_on_standard_error_and_fails(
    client: Client, shared_coordinator, corpus: Path, pnet: Path, tmp_path: Path
) -> None:
    bad = corpus / "bad-inputs"
    cases = [
        ([bad / "weights_only.h5"], "KERAS_WEIGHTS_ONLY"),
        ([bad / "checkpoint_without_data" / "model.ckpt"], "CHECKPOINT_INCOMPLETE"),
        ([tmp_path / "nothing.pb"], "SOURCE_NOT_FOUND"),
        ([tmp_path / ("x" * 300)], "SOURCE_NOT_FOUND"),
        ([pnet, "--output-node", "probb"], "OUTPUT_NOT_FOUND"),
        ([pnet, "--to", "tflit"], "UNKNOWN_TARGET"),
        ([pnet, "--to", "tfjs:shard_size=big"], "INVALID_OPTION"),
        ([pnet, "--option", "freezer.outpts=prob"], "UNKNOWN_OPTION"),
    ]
    for arguments, reason in cases:
        done = convert_command(shared_coordinator.address, *arguments, "--output", tmp_path / "out")
        assert (done.returncode, error_of(done)) == (1, reason), done.stderr
        assert not (tmp_path / "out").exists()


def test_the_command_refuses_wrong_usage_with_exit_code_2(shared_coordinator, pnet: Path, tmp_path: Path) -> None:
    for arguments in (
        [pnet],
        [pnet, "--output", tmp_path / "out", "--seed", "three"],
        [pnet, "--output", tmp_path / "out", "--option", "no-key"],
        [pnet, "--output", tmp_path / "out", "--unknown"],
    ):
        done = convert_command(shared_coordinator.address, *arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("Usage: modelmill convert")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("unreadable", ["pnet/graph.pb", "pnet", "pnet/model.ckpt.index"])
@pytest.mark.parametrize("source", ["pnet", "pnet/model.ckpt"])
def test_says_which_file_cannot_be_read(
    unreadable: str, source: str, shared_coordinator, pnet: Path, tmp_path: Path
) -> None:
    (tmp_path / unreadable).chmod(0)
    try:
        done = convert_command(
            shared_coordinator.address,
            tmp_path / source,
            "--graph",
            pnet / "graph.pb",
            "--output",
            tmp_path / "out",
            before=without_privileges(),
        )
    finally:
        (tmp_path / unreadable).chmod(0o755)

    assert (done.returncode, error_of(done)) == (1, "SOURCE_UNREADABLE"), done.stderr
    named = re.search("(.+) cannot be read: Permission denied", done.stderr.partition(": ")[2])
    assert named
    assert Path(named[1]).is_relative_to(tmp_path / unreadable)
    assert not (tmp_path / "out").exists()


def test_says_which_folder_inside_cannot_be_read(shared_coordinator, pnet: Path, tmp_path: Path) -> None:
    locked = pnet / "variables"
    locked.mkdir(mode=0)
    try:
        arguments = [pnet, "--output", tmp_path / "out"]
        done = convert_command(shared_coordinator.address, *arguments, before=without_privileges())
    finally:
        locked.chmod(0o755)

    assert (done.returncode, error_of(done)) == (1, "SOURCE_UNREADABLE"), done.stderr
    assert str(locked) in done.stderr


# What the tests share


def fails(client: Client, source: Any, spec: conversion_pb2.ConversionSpec, folder: Path) -> failure_pb2.Failure:
    """Converts into a folder that is not there and into one with files: both are as before. The failure, which is
    the same both times, and fit for a person."""
    failures = []
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    (kept / "report.json").write_text("of an earlier conversion")
    before = content(kept)
    for output in (folder / "new" / "out", kept):
        failures.append(failure_of(client, source, spec, output))
    assert not (folder / "new").exists()
    assert content(kept) == before
    first, second = failures
    assert (first.reason, first.message) == (second.reason, second.message)
    assert re.fullmatch("[A-Z][A-Z0-9_]*", first.reason)
    assert first.reason not in ("INTERNAL_ERROR", "PLUGIN_RAISED")
    assert first.message[-1] in ".?"
    assert "Traceback" not in first.message
    return first


def failure_of(client: Client, source: Any, spec: conversion_pb2.ConversionSpec, output: Path) -> failure_pb2.Failure:
    """Why a conversion failed: before it began, or while it ran."""
    try:
        conversion = client.convert(source, spec, output)
    except ModelmillError as error:
        failure = error.failure
        return failure_pb2.Failure(
            reason=failure.reason, message=failure.message, fault=failure_pb2.Failure.Fault.Value(failure.fault.value)
        )
    assert conversion.state == State.FAILED
    return conversion.failure


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def truncate(file: Path, size: int) -> None:
    with file.open("r+b") as stream:
        stream.truncate(size)


def convert_command(address: str, *arguments: Path | str, before: list[str] = ()) -> subprocess.CompletedProcess:
    """`modelmill convert` on the shared coordinator, to tflite where no other target is asked for."""
    targets = [] if "--to" in arguments else ["--to", "tflite"]
    command = [*before, MODELMILL, "convert", "--server", address, *targets, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def error_of(done: subprocess.CompletedProcess) -> str | None:
    """The reason that the command gave on standard error."""
    found = re.search("^error ([A-Z0-9_]+): .+", done.stderr, re.MULTILINE)
    return found and found[1]


def without_privileges() -> list[str]:
    """What to put before a command so that permissions count: root may read everything."""

    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root reads every file, and setpriv (util-linux), which would give that up, is not here")
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search"]
