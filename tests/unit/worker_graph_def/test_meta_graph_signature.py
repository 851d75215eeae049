import pytest
from google.protobuf import text_format
from modelmill_worker import graph_def
from modelmill_worker.meta_graph_signature import read_outputs


@pytest.fixture(params=["binary", "text"])
def write(request, graph_of, tmp_path):
    """Write a MetaGraphDef with signatures: write({key: {output key: tensor}}) -> path."""

    def make(signatures):
        meta_graph = graph_def.meta_graph_class()()
        meta_graph.meta_info_def.tensorflow_version = "1.15.5"
        graph = graph_of(("x", "Placeholder"), ("y", "Relu", "x"))
        meta_graph.graph_def.ParseFromString(graph.SerializeToString())
        for key, outputs in signatures.items():
            for name, tensor in outputs.items():
                meta_graph.signature_def[key].outputs[name].name = tensor
        path = tmp_path / "model.meta"
        if request.param == "text":
            path.write_text(text_format.MessageToString(meta_graph))
        else:
            path.write_bytes(meta_graph.SerializeToString())
        return path

    return make


@pytest.mark.parametrize(
    ("signatures", "outputs"),
    [
        ({}, ()),
        ({"predict": {"b": "y:0", "a": "x:0", "c": "y:0"}}, ("x:0", "y:0")),
        ({"serving_default": {"b": "y:0"}, "other": {"a": "x:0"}}, ("y:0",)),
        ({"one": {"b": "y:0"}, "other": {"a": "x:0"}}, ()),
        ({"train": {}, "predict": {"b": "y:0"}}, ("y:0",)),
    ],
)
def test_the_signature_says_what_the_outputs_are(write, signatures, outputs):
    assert read_outputs(write(signatures)) == outputs


def test_a_plain_graph_has_no_signature(graph_of, tmp_path):
    graph_def.write(tmp_path / "graph.pb", graph_of(("x", "Placeholder")))
    assert read_outputs(tmp_path / "graph.pb") == ()
