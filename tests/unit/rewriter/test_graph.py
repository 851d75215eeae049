"""What a valid graph is, where its nodes lie, and what can be told of its tensors."""

import numpy as np
import pytest
from modelmill_rewriter._constants import constant_value
from modelmill_rewriter._control_flow import OUTSIDE, places
from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._layout import Layout, layout_of
from modelmill_rewriter._validity import require_valid
from modelmill_rewriter.rules_api import Tensor
from modelmill_worker.errors import StepError


def index(graph):
    return GraphIndex(graph.message, graph.interface)


def problem(graph):
    with pytest.raises(StepError) as raised:
        require_valid(graph.message, graph.interface)
    assert raised.value.reason == "GRAPH_INVALID"
    assert raised.value.fault == "INPUT"
    return raised.value.message


def test_refuses_two_nodes_of_one_name(graph):
    graph.placeholder("x", ())
    graph.node("x", "Relu", "x")
    assert "two nodes are named 'x'" in problem(graph)


def test_refuses_an_input_that_is_not_there(graph):
    graph.node("y", "Relu", "x:1")
    assert "'y' reads 'x:1', which is not there" in problem(graph)


def test_refuses_an_output_that_is_not_there(graph):
    graph.outputs.append("y")
    assert "input or output 'y' is not there" in problem(graph)


def test_refuses_a_circle(graph):
    graph.node("a", "Relu", "b")
    graph.node("b", "Relu", "a")
    assert "waits for itself" in problem(graph)


def test_refuses_data_after_a_control_dependency(graph):
    graph.placeholder("x", ())
    graph.node("y", "Add", "x", "^x", "x")
    assert "after a control dependency" in problem(graph)


def loop(graph, name, start):
    """while less(i): i = i + 1, as tf.while_loop of TensorFlow 1 writes it."""
    graph.node(name + "/enter", "Enter", start, frame_name=name.encode())
    graph.node(name + "/merge", "Merge", name + "/enter", name + "/next")
    graph.node(name + "/less", "Less", name + "/merge", name + "/merge")
    graph.node(name + "/cond", "LoopCond", name + "/less")
    graph.node(name + "/switch", "Switch", name + "/merge", name + "/cond")
    graph.node(name + "/body", "Neg", name + "/switch:1")
    graph.node(name + "/next", "NextIteration", name + "/body")
    graph.node(name + "/exit", "Exit", name + "/switch")


def test_a_loop_of_tensorflow_1_is_no_circle_and_ends_at_its_exit(graph):
    graph.placeholder("x", ())
    loop(graph, "while", "x")
    graph.outputs.append(graph.node("after", "Neg", "while/exit"))
    require_valid(graph.message, graph.interface)
    found = places(index(graph))
    assert found["while/body"].frames == ("while",)
    assert found.get("after", OUTSIDE) == OUTSIDE
    assert found.get("while/exit", OUTSIDE) == OUTSIDE


def test_what_follows_an_inner_loop_lies_in_the_outer_one(graph):
    graph.placeholder("x", ())
    graph.node("outer", "Enter", "x", frame_name=b"outer")
    loop(graph, "inner", "outer")
    graph.node("between", "Neg", "inner/exit")
    graph.node("exit", "Exit", "between")
    found = places(index(graph))
    assert found["inner/body"].frames == ("outer", "inner")
    assert found["between"].frames == ("outer",)
    assert found.get("exit", OUTSIDE) == OUTSIDE


def test_a_condition_ends_where_its_sides_merge(graph):
    graph.placeholder("x", ())
    graph.placeholder("p", (), "bool")
    graph.node("switch", "Switch", "x", "p")
    graph.node("yes", "Relu", "switch:1")
    graph.node("no", "Neg", "switch")
    graph.node("inner", "Switch", "yes", "p")
    graph.node("merge", "Merge", "no", "yes")
    graph.node("after", "Neg", "merge")
    found = places(index(graph))
    assert found["yes"].conditions == {("p", 1)}
    assert found["no"].conditions == {("p", 0)}
    assert found.get("merge", OUTSIDE) == OUTSIDE
    assert found.get("after", OUTSIDE) == OUTSIDE


@pytest.mark.parametrize(
    ("operation", "inputs", "attributes", "expected"),
    [
        ("Conv2D", ("x4", "filter"), {"data_format": b"NHWC"}, Layout(4, 5)),
        ("Conv2D", ("x4", "filter"), {"data_format": b"NCHW"}, Layout(4, -1)),
        ("DepthwiseConv2dNative", ("x4", "filter"), {}, Layout(4, 15)),
        ("Conv2DBackpropInput", ("x4", "filter", "x4"), {}, Layout(4, 3)),
        ("MatMul", ("x2", "matrix"), {"transpose_b": False}, Layout(2, 7)),
        ("MatMul", ("x2", "matrix"), {"transpose_b": True}, Layout(2, 6)),
        ("Relu", ("x2",), {}, Layout(2, 6)),
        ("Add", ("x4", "bias"), {}, Layout(4, 3)),
        ("Reshape", ("x4", "shape"), {}, Layout(2, 9)),
        ("Unheard", ("x4",), {}, None),
        ("Relu", ("any",), {}, None),
    ],
)
def test_tells_rank_and_channels(graph, operation, inputs, attributes, expected):
    graph.placeholder("x4", (-1, -1, -1, 3))
    graph.placeholder("x2", (-1, 6))
    graph.placeholder("any", None)
    graph.constant("filter", np.zeros((1, 1, 3, 5)))
    graph.constant("matrix", np.zeros((6, 7)))
    graph.constant("bias", np.zeros(3))
    graph.constant("shape", [-1, 9], "int32")
    graph.node("y", operation, *inputs, **attributes)
    assert layout_of(index(graph), Tensor("y")) == expected


def test_a_second_output_has_no_known_layout(graph):
    graph.placeholder("x", (-1, 6))
    graph.node("y", "Relu", "x")
    assert layout_of(index(graph), Tensor("y", 1)) is None


def test_looks_up_a_deep_network_without_exhausting_the_stack(graph):
    graph.placeholder("n0", (-1, 6))
    for number in range(5000):
        graph.node(f"n{number + 1}", "Relu", f"n{number}")
    assert layout_of(index(graph), Tensor("n5000")) is None
    assert layout_of(index(graph), Tensor("n100")) == Layout(2, 6)


def test_decodes_no_weights_where_the_rest_is_not_constant(graph):
    graph.placeholder("x", (2,), "int32")
    graph.constant("table", np.zeros((9, 2)))
    graph.constant("axis", 0, "int32")
    graph.node("y", "GatherV2", "table", "x", "axis")
    found = index(graph)
    assert found.constant(Tensor("y")) is None
    assert found._arrays.get("table") is None


def test_computes_no_constant_that_is_much_larger_than_what_it_is_computed_from(graph):
    graph.constant("shape", [3000, 1000], "int32")
    graph.constant("zero", 0)
    graph.node("y", "Fill", "shape", "zero")
    assert index(graph).constant(Tensor("y")) is None
    graph.constant("large", np.ones((3000, 1000)))
    graph.node("z", "Neg", "large")
    assert index(graph).constant(Tensor("z")).shape == (3000, 1000)


@pytest.mark.parametrize(
    ("operation", "inputs", "expected"),
    [
        ("Neg", ("a",), [-1, -2]),
        ("Mul", ("a", "b"), [3, 8]),
        ("RealDiv", ("a", "b"), [1 / 3, 0.5]),
        ("Reshape", ("a", "shape"), [[1], [2]]),
        ("ExpandDims", ("a", "zero"), [[1, 2]]),
        ("PlaceholderWithDefault", ("a",), [1, 2]),
        ("Relu", ("x",), None),
        ("Softmax", ("zeros",), [0.5, 0.5]),
        ("LRN", ("a",), None),
        ("Add", ("a", "matrix"), None),
    ],
)
def test_tells_what_is_constant(graph, operation, inputs, expected):
    graph.placeholder("x", (2,))
    graph.constant("a", [1, 2])
    graph.constant("b", [3, 4])
    graph.constant("zeros", [0, 0])
    graph.constant("matrix", np.zeros((3, 3)))
    graph.constant("shape", [2, 1], "int32")
    graph.constant("zero", 0, "int32")
    graph.node("y", operation, *inputs)
    computed = constant_value(index(graph), Tensor("y"))
    if expected is None:
        assert computed is None
    else:
        assert computed.dtype == np.float32
        np.testing.assert_array_equal(computed, np.asarray(expected, np.float32))
