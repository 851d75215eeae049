"""The nodes and edges that a model is drawn from."""

import json
import zipfile

import numpy as np
import pytest
from modelmill_inspector import _picture
from modelmill_inspector._options import InspectOptions
from modelmill_worker import graph_def
from modelmill_worker.plugin_api import Tree

GRAPH = """
node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "shape" value { shape { dim { size: -1 } dim { size: 3 } } } } }
node { name: "w" op: "Const" attr { key: "dtype" value { type: DT_INT32 } }
  attr { key: "value" value { tensor { dtype: DT_INT32 tensor_shape { dim { size: 4 } } } } } }
node { name: "f" op: "PartitionedCall" input: "x:0" input: "w" input: "^x"
  attr { key: "f" value { func { name: "inner" } } } }
node { name: "y" op: "Split" input: "f:1" input: "f" }
library { function { signature { name: "inner" input_arg { name: "a" } output_arg { name: "r" } }
  node_def { name: "relu" op: "Relu" input: "a" } ret { key: "r" value: "relu:activations:0" } } }
"""


HEAD, WEIGHTS = "MobilenetV1/displacement_bwd_2/BiasAdd", ("Const_61", "Const_60")


def draw(source, kind):
    if source.is_dir():
        names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
        tree = Tree("source", source, tuple(names))
    else:
        tree = Tree("source", source.parent, (source.name,))
    return _picture.draw(tree, kind, InspectOptions(picture=True))


def nodes_of(picture):
    assert picture["nodes_count"] == len(picture["nodes"])
    return {(node.get("within", ""), node["name"]): node for node in picture["nodes"]}


def test_a_graph_with_a_function(tmp_path):
    (tmp_path / "graph.pbtxt").write_text(GRAPH)
    nodes = nodes_of(draw(tmp_path / "graph.pbtxt", "tf.graph_def"))
    assert nodes["", "x"] == {"name": "x", "op": "Placeholder", "inputs": [], "dtype": "float32", "shape": [-1, 3]}
    assert nodes["", "w"] == {"name": "w", "op": "Const", "inputs": [], "dtype": "int32", "shape": [4]}
    assert nodes["", "f"]["inputs"] == ["x", "w", "^x"]
    assert nodes["", "f"]["calls"] == ["inner"]
    assert nodes["", "f"]["shape"] == [-1, 3]
    assert nodes["", "y"]["inputs"] == ["f", "f"]
    assert nodes["function inner", "relu"]["inputs"] == ["a"]
    assert nodes["function inner", "result r"]["inputs"] == ["relu"]
    assert len(nodes) == 7


def test_a_large_graph_is_cut_and_says_so(tmp_path, monkeypatch):
    (tmp_path / "graph.pbtxt").write_text(GRAPH)
    monkeypatch.setattr(_picture, "MOST_NODES", 3)
    picture = draw(tmp_path / "graph.pbtxt", "tf.graph_def")
    assert [node["name"] for node in picture["nodes"]] == ["x", "w", "f"]
    assert picture["nodes_count"] == 7


def test_long_names_do_not_make_it_larger_than_facts_may_be(tmp_path):
    graph = graph_def.new_graph()
    graph.node.append(graph_def.new_constant("c", np.zeros(1)))
    for number in range(2000):
        graph.node.append(graph_def.new_node("{}{}".format("n" * 10000, number), "NoOp"))
    graph_def.write(tmp_path / "graph.pb", graph)
    picture = draw(tmp_path / "graph.pb", "tf.graph_def")
    assert 0 < len(picture["nodes"]) < picture["nodes_count"] == 2001
    assert len(json.dumps(picture)) < 6 << 20


def test_layers_of_keras_2(corpus):
    nodes = nodes_of(draw(corpus / "resnet8" / "pretrainedResnet.h5", "keras.h5"))
    assert nodes["", "batch_normalization"] == {
        "name": "batch_normalization",
        "op": "BatchNormalization",
        "inputs": ["conv2d"],
    }
    assert nodes["", "add"]["inputs"] == ["activation", "batch_normalization_2"]


def test_layers_of_keras_3_and_a_model_that_is_a_layer(tmp_path):
    def layer(name, kind, *reads, **config):
        history = [{"class_name": "__keras_tensor__", "config": {"keras_history": [other, 0, 0]}} for other in reads]
        inbound = [{"args": history, "kwargs": {}}] if history else []
        return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": inbound}

    inner = [layer("a", "InputLayer"), layer("b", "Dense")]
    model = {
        "class_name": "Functional",
        "config": {
            "layers": [
                layer("in", "InputLayer"),
                layer("net", "Sequential", "in", layers=inner),
                layer("sum", "Add", "in", "net"),
            ]
        },
    }
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", b"")
    nodes = nodes_of(draw(tmp_path / "model.keras", "keras.v3"))
    assert nodes["", "sum"]["inputs"] == ["in", "net"]
    assert nodes["", "net"] == {"name": "net", "op": "Sequential", "inputs": ["in"]}
    assert nodes["model net", "b"]["inputs"] == ["a"]


@pytest.mark.parametrize(
    ("source", "kind", "name", "inputs"),
    [
        ("tfjs/posenet", "tfjs.graph_model", HEAD, ["MobilenetV1/MobilenetV1/Conv2d_13_pointwise/Relu6", *WEIGHTS]),
        ("tfjs/nsfwjs-mobilenetv2-layers", "tfjs.layers_model", "Conv1", ["Conv1_pad"]),
        ("kws-dscnn/kws_ref_model.tflite", "tflite", "Identity", ["functional_1/dense/BiasAdd"]),
        ("kws-dscnn/kws_ref_model", "tf.saved_model", "conv2d/kernel/Read/ReadVariableOp", ["conv2d/kernel"]),
    ],
)
def test_every_kind_of_the_corpus_that_has_a_graph(corpus, source, kind, name, inputs):
    nodes = nodes_of(draw(corpus / source, kind))
    assert all(node["op"] for node in nodes.values())
    assert nodes["", name]["inputs"] == inputs
    known = set(nodes)
    edges = [(node.get("within", ""), read.lstrip("^")) for node in nodes.values() for read in node["inputs"]]
    assert len(edges) > len(nodes) / 2
    assert set(edges) <= known


def test_an_architecture_that_makes_no_sense_costs_the_picture_only(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
        archive.writestr("config.json", json.dumps({"class_name": "Functional", "config": 7}))
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(_picture.NotDrawableError):
        draw(tmp_path / "model.keras", "keras.v3")


def test_what_has_no_nodes_has_no_picture(tmp_path):
    (tmp_path / "arrays.npz").write_bytes(b"")
    assert draw(tmp_path / "arrays.npz", "dataset") is None
