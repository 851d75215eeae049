import numpy as np
import pytest
from modelmill_worker import graph_def, graph_stream, source_files, tensors, weights_beside
from modelmill_worker.errors import StepError
from modelmill_worker.plugin_api import Tree

KINDS = {name: tensors.data_type_named(name) for name in ("float32", "bfloat16", "int64")}
VALUES = {
    "w": (np.arange(600, dtype=np.float32).reshape(20, 30), KINDS["float32"]),
    "odd": (np.linspace(-3, 3, 77).astype(np.float32), KINDS["bfloat16"]),
    "ids": (np.arange(9, dtype=np.int64), KINDS["int64"]),
    "none": (np.zeros((0, 4), np.float32), KINDS["float32"]),
}
CONTENTS = {
    name: (lambda value=value, kind=kind: tensors.stored(value, kind)) for name, (value, kind) in VALUES.items()
}


def make(constant):
    """A graph with constants, functions and versions; `constant` makes a node of a name, a value and a type."""
    graph = graph_def.new_graph()
    graph.versions.producer = 26
    graph.library.function.add().signature.name = "f"
    for name, (value, kind) in VALUES.items():
        node = graph.node.add()
        node.ParseFromString(constant(name, value, kind).SerializeToString())
        node.attr["zoom"].i = 3  # sorts after "value"
        node.device = "/cpu:0"
        node.input.append("^x")
    graph.node.add(name="x", op="Placeholder").attr["dtype"].type = 1
    return graph


@pytest.fixture
def whole():
    return make(graph_def.new_constant)


@pytest.fixture
def hollow():
    return make(lambda name, value, kind: weights_beside.emptied(name, value.shape, kind))


def test_a_graph_that_fits_is_one_file_as_if_its_weights_had_been_inside(tmp_path, whole, hollow):
    assert weights_beside.write(tmp_path, hollow, CONTENTS) is False
    assert [path.name for path in tmp_path.iterdir()] == ["graph.pb"]
    read = graph_def.read(tmp_path / "graph.pb")
    assert read.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)


@pytest.mark.parametrize("version", [0, 5])
def test_writes_the_bytes_that_protobuf_would_write(tmp_path, whole, version):
    whole.version = version
    graph_stream.write(tmp_path / "graph.pb", whole, {})
    assert (tmp_path / "graph.pb").read_bytes() == whole.SerializeToString(deterministic=True)


def test_filled_constants_have_the_bytes_that_protobuf_would_write(tmp_path):
    value = np.arange(100, dtype=np.float32)
    graph, expected = graph_def.new_graph(), graph_def.new_graph()
    graph.node.add().ParseFromString(weights_beside.emptied("w", (100,), KINDS["float32"]).SerializeToString())
    expected.node.add().ParseFromString(graph_def.new_constant("w", value).SerializeToString())
    graph_stream.write(tmp_path / "graph.pb", graph, {"w": lambda: value})
    assert (tmp_path / "graph.pb").read_bytes() == expected.SerializeToString(deterministic=True)


@pytest.fixture
def limited(monkeypatch):
    """A limit that the graph passes only with its weights."""
    monkeypatch.setattr(graph_def, "LARGEST_GRAPH", 2000)


@pytest.fixture
def beside(tmp_path, hollow, limited):
    assert weights_beside.write(tmp_path, hollow, CONTENTS) is True
    return tmp_path


def test_weights_that_do_not_fit_lie_beside_and_come_back(beside):
    assert sorted(path.name for path in beside.iterdir()) == ["graph.pb", "graph.weights"]
    graph = graph_def.read(beside / "graph.pb")
    found = weights_beside.contents(beside, graph)
    assert set(found) == set(VALUES)
    for name, (value, kind) in VALUES.items():
        array = found[name]()
        np.testing.assert_array_equal(array, tensors.stored(value, kind))
        assert array.shape == value.shape
        assert array.ctypes.data % 64 == 0


def test_contents_follow_a_node_that_is_renamed(beside):
    graph = graph_def.read(beside / "graph.pb")
    graph.node[0].name = "renamed"
    np.testing.assert_array_equal(weights_beside.contents(beside, graph)["renamed"](), VALUES["w"][0])


def test_goes_back_into_one_file_where_it_fits_again(beside, whole, monkeypatch, tmp_path):
    monkeypatch.undo()
    graph = graph_def.read(beside / "graph.pb")
    (tmp_path / "one").mkdir()
    assert weights_beside.write(tmp_path / "one", graph, weights_beside.contents(beside, graph)) is False
    read = graph_def.read(tmp_path / "one/graph.pb")
    assert read.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)


def test_an_emptied_constant_is_never_taken_for_zeros(beside):
    graph = graph_def.read(beside / "graph.pb")
    with pytest.raises(StepError) as caught:
        graph_def.constant_value(graph.node[0])
    assert caught.value.reason == "WEIGHTS_BESIDE"


def test_placeholders_take_the_place_of_emptied_constants(beside):
    graph = graph_def.read(beside / "graph.pb")
    assert weights_beside.become_placeholders(graph) == list(VALUES)
    assert [node.op for node in graph.node] == ["Placeholder"] * 5
    assert graph_def.shape_of_placeholder(graph.node[0], 26) == (20, 30)
    assert list(graph.node[0].input) == ["^x"]
    assert weights_beside.contents(beside, graph) == {}


def test_without_weights_there_are_shapes_in_place_of_what_is_large(whole):
    small = weights_beside.without_weights(whole)
    assert [node.name for node in small.node if node.op == "Placeholder"] == ["w", "x"]
    assert graph_def.shape_of_placeholder(small.node[0], 26) == (20, 30)
    assert (small.versions.producer, len(small.library.function)) == (26, 1)
    np.testing.assert_array_equal(graph_def.constant_value(small.node[2]), VALUES["ids"][0])


def test_refuses_a_graph_without_its_weights(beside):
    (beside / "graph.weights").unlink()
    with pytest.raises(StepError) as caught:
        weights_beside.contents(beside, graph_def.read(beside / "graph.pb"))
    assert caught.value.reason == "WEIGHTS_MISSING"


@pytest.mark.parametrize("place", [[64], [64, 2401], [65, 2400], [0, 2400], [-64, 2400], [2**40, 2400], [64, 2396]])
def test_refuses_places_that_are_not_there(beside, place):
    graph = graph_def.read(beside / "graph.pb")
    graph.node[0].attr[graph_def.BESIDE].list.i[:] = place
    with pytest.raises(StepError) as caught:
        weights_beside.contents(beside, graph)
    assert caught.value.reason == "WEIGHTS_DAMAGED"


def test_refuses_weights_that_were_cut_off(beside):
    content = (beside / "graph.weights").read_bytes()
    (beside / "graph.weights").write_bytes(content[:-80])
    with pytest.raises(StepError) as caught:
        weights_beside.contents(beside, graph_def.read(beside / "graph.pb"))
    assert caught.value.reason == "WEIGHTS_DAMAGED"


def test_refuses_another_file_in_their_place(beside):
    content = (beside / "graph.weights").read_bytes()
    for other in (b"", content[64:]):
        (beside / "graph.weights").write_bytes(other)
        with pytest.raises(StepError) as caught:
            weights_beside.contents(beside, graph_def.read(beside / "graph.pb"))
        assert caught.value.reason == "WEIGHTS_DAMAGED"


def test_the_weights_are_taken_for_no_model(beside):
    tree = Tree("", beside, ("graph.pb", "graph.weights"))
    assert source_files.choose_graph(source_files.survey(tree), None).name == "graph.pb"


def test_a_graph_that_is_too_large_without_weights_is_refused_and_leaves_nothing(tmp_path, whole, limited):
    with pytest.raises(StepError) as caught:
        graph_def.write(tmp_path / "graph.pb", whole)
    assert caught.value.reason == "GRAPH_TOO_LARGE"
    assert list(tmp_path.iterdir()) == []


def test_steps_that_need_one_file_refuse_two(beside):
    with pytest.raises(StepError) as caught:
        weights_beside.refuse(beside, "a TFLite file", "Choose other outputs.")
    assert caught.value.reason == "GRAPH_TOO_LARGE"
    assert "a TFLite file" in caught.value.message
    (beside / "graph.weights").unlink()
    weights_beside.refuse(beside, "a TFLite file", "Choose other outputs.")
