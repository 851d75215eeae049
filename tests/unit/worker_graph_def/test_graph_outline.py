"""A graph read without the content of its large constants is otherwise the same graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_worker import graph_def, graph_outline, tensors


def weighty_graph() -> "graph_def.GraphDef":
    graph = graph_def.new_graph()
    graph.node.append(graph_def.new_constant("weights", np.arange(100000, dtype=np.float32)))
    graph.node.append(graph_def.new_constant("axes", np.array([1, 2], np.int32)))
    graph.node.append(graph_def.new_node("sum", "Sum", ("weights", "axes")))
    function = graph.library.function.add()
    function.signature.name = "inner"
    function.node_def.append(graph_def.new_constant("inside", np.ones([300, 300], np.float64)))
    return graph


def test_leaves_large_contents_out_and_nothing_else(tmp_path):
    graph = weighty_graph()
    graph_def.write(tmp_path / "graph.pb", graph)

    outline = graph_outline.read(tmp_path / "graph.pb")

    for constant in (graph.node[0], graph.library.function[0].node_def[0]):
        constant.attr["value"].tensor.tensor_content = b""
    assert outline == graph


def test_reads_meta_graphs(tmp_path):
    meta_graph = graph_def.meta_graph_class()()
    meta_graph.meta_info_def.tensorflow_version = "1.15.5"
    meta_graph.graph_def.CopyFrom(weighty_graph())
    (tmp_path / "model.meta").write_bytes(meta_graph.SerializeToString())

    assert graph_outline.read_meta_graph(tmp_path / "model.meta").meta_info_def.tensorflow_version == "1.15.5"
    outline = graph_outline.read(tmp_path / "model.meta")
    assert [node.name for node in outline.node] == ["weights", "axes", "sum"]
    assert outline.node[0].attr["value"].tensor.tensor_content == b""
    assert tensors.decode_shape(outline.node[0].attr["value"].tensor.tensor_shape) == (100000,)


def test_keeps_strings_whole(tmp_path):
    graph = graph_def.new_graph()
    code = graph_def.new_constant("code", np.array([b"x" * 50000], dtype=object))
    content = graph_def.new_constant("content", np.array([b""], dtype=object))
    content.attr["value"].tensor.tensor_content = b"y" * 50000
    graph.node.extend([code, content])

    assert graph_outline.without_large_contents(graph.SerializeToString(), "GraphDef") == graph.SerializeToString()


@pytest.mark.parametrize("part", ["value", "entry"])
def test_keeps_what_is_said_twice(part):
    """A parser merges the two: the bytes of the one under the data type of the other are a string's."""
    numbers = graph_def.new_constant("x", np.zeros(50000, np.uint8)).attr["value"]
    strings = graph_def.new_constant("x", np.array([b""], dtype=object)).attr["value"]
    numbers.tensor.tensor_content = b"z" * 50000
    first, second = numbers.SerializeToString(), strings.SerializeToString()
    key = field(1, b"value")
    entry = key + (field(2, first + second) if part == "value" else field(2, first) + field(2, second))
    data = field(1, field(1, b"x") + field(2, b"Const") + field(5, entry))

    assert graph_outline.without_large_contents(data, "GraphDef") == data


def field(number, content):
    return graph_outline._varint(number << 3 | 2) + graph_outline._varint(len(content)) + content


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_damage_reads_as_it_would_whole(data, tmp_path_factory):
    """Whatever a parser accepts has the same nodes in outline; whatever it refuses is refused."""
    content = bytearray(weighty_graph().SerializeToString())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, 40) | st.integers(400000, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(1, len(content)) | st.just(len(content)))])

    cut = graph_outline.without_large_contents(content, "GraphDef")

    assert len(cut) <= len(content)
    assert names(cut) == names(content)


def names(content):
    try:
        graph = graph_def.parse_into(graph_def.new_graph(), content, "graph.pb")
    except graph_def.StepError as error:
        return error.reason
    return [(node.name, node.op, list(node.input)) for node in graph.node]
