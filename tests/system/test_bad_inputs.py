"""Whatever is wrong with the model that a user hands in: the answer says what, and what to do about it."""

import shutil
from pathlib import Path

import pytest
from modelmill.client import Client, collect, conversion_pb2
from modelmill.errors import ModelmillError
from modelmill_protos.v1 import failure_pb2
from refusals import fails, specification, truncate

State = conversion_pb2.Conversion.State
BOTH = ("tflite", "tfjs")

#: What a model may be that is converted.
SOURCES = (
    "Give a model of one of these kinds: keras.h5, keras.v3, tf.checkpoint, tf.frozen_graph, tf.graph_def, "
    "tf.saved_model"
)
#: For each file in the corpus's bad-inputs: the reason, and words that the message must have.
BAD_INPUTS = {
    "checkpoint_without_data": ("CHECKPOINT_INCOMPLETE", "lacks model.ckpt.data-00000-of-00001"),
    "checkpoint_without_data/model.ckpt": ("CHECKPOINT_INCOMPLETE", "lacks model.ckpt.data-00000-of-00001"),
    "model_invoking_error.tflite": ("NO_ROUTE", SOURCES),
    "text_graphdef_named_pb.pb": ("CHECKPOINT_MISSING", "Give the checkpoint's prefix"),
    "weights_only.h5": ("KERAS_WEIGHTS_ONLY", "Save the whole model"),
    "native-crash/keyword_scrambled.tflite": ("NO_ROUTE", SOURCES),
    "native-crash/keyword_scrambled_8bit.tflite": ("NO_ROUTE", SOURCES),
    "native-crash/person_detect.tflite": ("NO_ROUTE", SOURCES),
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
