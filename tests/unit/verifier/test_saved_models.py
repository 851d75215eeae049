"""Reading SavedModels and sampling inputs for them, which needs no TensorFlow."""

import importlib

import numpy as np
import pytest
from google.protobuf import text_format
from modelmill_verifier import datasets
from modelmill_worker import StepError, graph_def, saved_model
from modelmill_worker.signature import Signature, Tensor

_FLOAT, _INT64 = 1, 9


def saved(folder, keys, *tags):
    """A SavedModel with a MetaGraphDef for each set of tags.

    Its signatures take x (float32, ? by 3) and n (int64, of unknown rank), and give y.
    """
    folder.mkdir(parents=True)
    content = b"\x08\x01"  # saved_model_schema_version = 1; then the MetaGraphDefs as field 2.
    for these in tags or (("serve",),):
        meta_graph = described(keys, these)
        content += b"\x12" + varint(len(meta_graph)) + meta_graph
    (folder / "saved_model.pb").write_bytes(content)
    return folder


def described(keys, tags):
    message = new_meta_graph()
    message.meta_info_def.tags.extend(tags)
    message.graph_def.node.extend([graph_def.new_node("x", "Placeholder")])
    for key in keys:
        signature = message.signature_def[key]
        for side, name in ((signature.inputs, "x"), (signature.outputs, "y")):
            side[name].name = name + ":0"
            side[name].dtype = _FLOAT
            side[name].tensor_shape.dim.add().size = -1
            side[name].tensor_shape.dim.add().size = 3
        signature.inputs["n"].name = "n:0"
        signature.inputs["n"].dtype = _INT64
        signature.inputs["n"].tensor_shape.unknown_rank = True
    return message.SerializeToString()


def new_meta_graph():
    module = type(graph_def.new_graph()).__module__
    place = module.replace("framework", "protobuf") if module.startswith("tensorflow.") else module
    return importlib.import_module(place.replace("graph_pb2", "meta_graph_pb2")).MetaGraphDef()


def varint(number):
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(parts) + bytes([number])


def test_reads_tags_and_the_signature_that_servers_use(tmp_path):
    model = saved_model.read(saved(tmp_path / "model", ["b", "serving_default"], ("gpu", "serve")) / "saved_model.pb")
    assert model.tags == ("gpu", "serve")
    assert (model.signature_key, model.signature_keys) == ("serving_default", ("b", "serving_default"))
    assert model.signature == Signature(
        (Tensor("n", "n:0", "int64", None), Tensor("x", "x:0", "float32", (-1, 3))),
        (Tensor("y", "y:0", "float32", (-1, 3)),),
    )


@pytest.mark.parametrize(
    ("tags", "chosen"),
    [([("train",), ("serve",)], ("serve",)), ([("serve",), ("train",)], ("serve",)), ([("a",), ("b",)], ("a",))],
)
def test_of_several_graphs_takes_the_one_to_be_served(tmp_path, tags, chosen):
    model = saved_model.read(saved(tmp_path / "model", ["serving_default"], *tags) / "saved_model.pb")
    assert model.tags == chosen


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [(["only"], "only"), (["only", "__saved_model_init_op"], "only"), (["a", "b"], ""), ([], "")],
)
def test_chooses_the_only_signature_and_none_of_several(tmp_path, keys, chosen):
    model = saved_model.read(saved(tmp_path / "model", keys) / "saved_model.pb")
    assert model.signature_key == chosen
    assert (model.signature is None) is (chosen == "")


def test_takes_the_signature_and_the_tags_that_are_asked_for(tmp_path):
    path = saved(tmp_path / "model", ["a", "serving_default"], ("serve",), ("gpu", "serve")) / "saved_model.pb"
    model = saved_model.read(path, "a", ["serve", "gpu"])
    assert (model.signature_key, model.tags) == ("a", ("gpu", "serve"))


def test_tags_that_are_not_there_are_refused_with_those_that_are(tmp_path):
    with pytest.raises(StepError) as caught:
        saved_model.read(saved(tmp_path / "model", ["a"], ("serve",)) / "saved_model.pb", tags=["gpu"])
    assert (caught.value.reason, caught.value.details["known"]) == ("TAGS_NOT_FOUND", [["serve"]])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("saved_model.pb", b"\x08\x01\x12\x7f\x00"),
        ("saved_model.pb", b"\x08\x01"),
        ("saved_model.pbtxt", b"saved_model_schema_version: 1\nmeta_graphs {"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StepError) as caught:
        saved_model.read(tmp_path / name)
    assert caught.value.reason == "GRAPH_DEF_DAMAGED"


@pytest.mark.parametrize(("key", "tags"), [("", []), ("b", ["train"])])
def test_text_is_read_as_the_binary_form_is(tmp_path, key, tags):
    message = new_meta_graph()
    text = "saved_model_schema_version: 1\n"
    for graph in (described(["serving_default"], ["serve"]), described(["a", "b"], ["train"])):
        message.ParseFromString(graph)
        text += f"meta_graphs {{\n{text_format.MessageToString(message)}}}\n"
    (tmp_path / "saved_model.pbtxt").write_text(text, encoding="utf-8")
    keys = ["a", "b"] if key else ["serving_default"]
    same = saved(tmp_path / "model", keys, tags or ["serve"]) / "saved_model.pb"

    assert saved_model.read(tmp_path / "saved_model.pbtxt", key, tags) == saved_model.read(same, key, tags)


def test_samples_what_the_signature_wants(run_edge, tmp_path):
    saved(tmp_path / "model" / "1", ["serving_default"])
    facts, folder = run_edge("sample-saved-model", {"model": tmp_path / "model"}, {"input_shapes": {"n": [2]}})
    made = datasets.read(folder)
    assert {name: (values.shape, values.dtype.name) for name, values in made.arrays.items()} == {
        "x": ((1, 3), "float32"),
        "n": ((2,), "int64"),
    }
    assert [tensor.name for tensor in made.signature.outputs] == ["y"]
    assert "skipped" not in facts


def test_samples_as_for_a_frozen_graph_with_the_same_inputs(run_edge, model_of, tmp_path):
    shapes = {"seed": 7, "input_shapes": {"n": [2]}}
    folder = saved(tmp_path / "saved", ["serving_default"])
    _, one = run_edge("sample-saved-model", {"model": folder}, shapes)
    _, two = run_edge("sample", {"model": model_of(datasets.read(one).signature)}, shapes)
    assert (one / "arrays.npz").read_bytes() == (two / "arrays.npz").read_bytes()


def test_adopts_given_inputs(run_edge, tmp_path):
    (tmp_path / "given").mkdir()
    np.savez(str(tmp_path / "given" / "given.npz"), x=np.zeros((4, 3)), n=np.int64(5))
    folder = saved(tmp_path / "model", ["serving_default"])
    _, made = run_edge("adopt-saved-model", {"model": folder, "dataset": tmp_path / "given"})
    assert datasets.read(made).arrays["x"].shape == (4, 3)


def test_says_what_is_missing(run_edge, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(StepError) as caught:
        run_edge("sample-saved-model", {"model": tmp_path / "model"})
    assert caught.value.reason == "SAVED_MODEL_MISSING"


def test_several_signatures_are_named(run_edge, tmp_path):
    with pytest.raises(StepError) as caught:
        run_edge("sample-saved-model", {"model": saved(tmp_path / "model", ["a", "b"])})
    assert caught.value.reason == "SIGNATURE_NOT_FOUND"
    assert caught.value.details["known"] == ["a", "b"]
