import subprocess
import sys

import pytest
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError


def test_binary_text_and_meta_graph_say_the_same(corpus):
    folder = corpus / "mtcnn/tf1.15.5/pnet"
    binary = graph_def.read(folder / "graph.pb")
    assert len(binary.node) > 100
    assert graph_def.read(folder / "graph.pbtxt") == binary
    assert [node.name for node in graph_def.read(folder / "model.ckpt.meta").node] == [n.name for n in binary.node]


def test_a_graph_that_was_written_is_read_back(graph_of, tmp_path):
    graph = graph_of(("x", "Placeholder"), ("y", "Relu", "x"))
    graph_def.write(tmp_path / "a", graph)
    graph_def.write_text(tmp_path / "b", graph)
    assert graph_def.read(tmp_path / "a") == graph
    assert graph_def.read(tmp_path / "b") == graph
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_says_what_a_file_is_that_is_no_graph(corpus):
    with pytest.raises(StepError) as caught:
        graph_def.read(corpus / "bad-inputs/weights_only.h5")
    assert caught.value.reason == "NOT_A_GRAPH_DEF"
    assert "HDF5" in caught.value.message
    assert caught.value.details == {"file": "weights_only.h5", "format": "HDF5"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EMPTY_FILE"),
        (b"node { name: 'x'", "GRAPH_DEF_DAMAGED"),
        (b"node { name: 3 }", "GRAPH_DEF_DAMAGED"),
        (b"node { name: '\xff' }", "GRAPH_DEF_DAMAGED"),
        (b"versions { producer: 26 }", "NOT_A_GRAPH_DEF"),
        (b"item { id: 1 }", "NOT_A_GRAPH_DEF"),
        (b"\x93NUMPY", "NOT_A_GRAPH_DEF"),
    ],
)
def test_refuses_with_a_typed_error(data, reason):
    with pytest.raises(StepError) as caught:
        graph_def.parse(data)
    assert caught.value.reason == reason


def test_refuses_a_graph_that_was_cut(graph_of):
    data = graph_of(("x", "Placeholder"), ("y", "Relu", "x")).SerializeToString()
    with pytest.raises(StepError, match="ends too early"):
        graph_def.parse(data[:-3])


def test_reads_past_fields_that_only_a_newer_tensorflow_knows():
    graph = graph_def.parse(b"node { name: 'x' op: 'NoOp' field_of_the_future { type_id: TFT_PRODUCT } }")
    assert [node.name for node in graph.node] == ["x"]


def test_refuses_two_nodes_of_one_name(graph_of):
    with pytest.raises(StepError, match="two nodes named x"):
        graph_def.nodes_by_name(graph_of(("x", "NoOp"), ("y", "NoOp"), ("x", "NoOp")))


@pytest.mark.parametrize(
    ("reference", "node", "index"), [("x", "x", 0), ("x:0", "x", 0), ("a/x:12", "a/x", 12), ("^x", "x", 0)]
)
def test_references_name_a_node_and_an_output(reference, node, index):
    assert graph_def.node_name(reference) == node
    assert graph_def.output_index(reference) == index


@pytest.mark.parametrize(("reference", "tensor"), [("x", "x:0"), ("x:0", "x:0"), ("x:2", "x:2")])
def test_tensor_names_are_completed(reference, tensor):
    assert graph_def.tensor_name(reference) == tensor


@pytest.mark.parametrize("reference", ["", "^x", "x:y", "x:", "a:0:0"])
def test_refuses_what_is_no_tensor_name(reference):
    with pytest.raises(StepError) as caught:
        graph_def.tensor_name(reference)
    assert caught.value.reason == "TENSOR_NAME_MALFORMED"


def test_an_old_placeholder_without_dimensions_has_an_unknown_shape(graph_of):
    node = graph_of(("x", "Placeholder")).node[0]
    node.attr["shape"].shape.Clear()
    assert graph_def.shape_of_placeholder(node, producer=11) is None
    assert graph_def.shape_of_placeholder(node, producer=26) == ()


def test_needs_no_tensorflow(corpus):
    """In a process of its own: the graph is read and TensorFlow is not imported."""
    script = (
        "import sys, pathlib; from modelmill_worker import graph_def, graph_outputs; "
        "graph = graph_def.read(pathlib.Path(sys.argv[1])); assert graph_outputs.find_outputs(graph); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    path = corpus / "mtcnn/tf1.9.0/pnet/graph.pb"
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 0
