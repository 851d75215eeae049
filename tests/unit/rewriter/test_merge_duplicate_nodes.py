"""Merging: what computes the same becomes one node, and what is told apart by anything that counts stays two."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_worker import graph_def, tensors, weights_beside

MERGE = "merge_duplicate_nodes"


def twice(graph, operation="Neg", **attributes):
    """Two nodes of the same input, and an output that reads both."""
    graph.placeholder("x", (-1, 2))
    graph.node("first", operation, "x", **attributes)
    graph.node("second", operation, "x", **attributes)
    graph.outputs.append(graph.node("y", "Add", "first", "second"))


def test_merges_a_whole_branch_in_one_walk(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    for side in ("left", "right"):
        graph.constant(f"{side}/c", [1, 2])
        graph.node(f"{side}/add", "Add", "x", f"{side}/c")
        graph.node(f"{side}/relu", "Relu", f"{side}/add:0")
    graph.outputs.append(graph.node("y", "Mul", "left/relu", "right/relu"))
    rewritten = run_rules(graph, MERGE)
    assert rewritten.names == ["x", "left/c", "left/add", "left/relu", "y"]
    assert list(rewritten.find("y").input) == ["left/relu", "left/relu"]
    assert [firing.before for firing in rewritten.reports[0].fired] == [
        ("left/c", "right/c"),
        ("left/add", "right/add"),
        ("left/relu", "right/relu"),
    ]


def test_constants_are_the_same_however_they_are_spelled(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("bytes", [3, 3])
    spelled = graph.message.node.add()
    spelled.CopyFrom(graph.find("bytes"))
    spelled.name = "number"
    spelled.attr["value"].tensor.ClearField("tensor_content")
    spelled.attr["value"].tensor.float_val.append(3)
    graph.node("sum", "Add", "x", "bytes")
    graph.outputs.append(graph.node("y", "Mul", "sum", "number"))
    assert run_rules(graph, MERGE).names == ["x", "bytes", "sum", "y"]


@pytest.mark.parametrize(
    "other", [np.float32([1, 3]), np.float32([[1, 2]]), np.int32([1, 2]), np.float32([1, -0.0]), np.array([b"a", b"b"])]
)
def test_leaves_constants_alone_when_anything_differs(graph, run_rules, other):
    graph.constant("a", [1, 0])
    graph.constant("b", [1, 2])
    graph.message.node.append(graph_def.new_constant("other", other))
    graph.outputs += ["a", "b", "other"]
    graph.outputs = [graph.node("y", "Foo", "a", "b", "other")]
    assert run_rules(graph, MERGE).fired == 0


def test_merges_constants_of_strings(graph, run_rules):
    for name in ("a", "b"):
        graph.message.node.append(graph_def.new_constant(name, np.array([b"x", b"y"])))
    graph.outputs.append(graph.node("y", "Foo", "a", "b"))
    assert run_rules(graph, MERGE).names == ["a", "y"]


def test_leaves_constants_alone_when_they_lie_beside_the_graph(graph, run_rules):
    for name in ("a", "b"):
        graph.constant(name, [1, 2])
        graph.find(name).attr[graph_def.BESIDE].s = name.encode()
        graph.find(name).attr["value"].tensor.ClearField("tensor_content")
        assert weights_beside.is_emptied(graph.find(name))
    graph.outputs.append(graph.node("y", "Foo", "a", "b"))
    assert run_rules(graph, MERGE).fired == 0


def test_merges_nodes_with_the_same_attributes(graph, run_rules):
    twice(graph, "Softmax", axis=1, data_format=b"NHWC", strides=(1, 2))
    graph.find("second").attr["_output_shapes"].list.shape.add()
    graph.find("second").attr["_class"].list.s.append(b"loc:@x")
    assert run_rules(graph, MERGE).names == ["x", "first", "y"]


def test_leaves_nodes_alone_when_an_attribute_differs(graph, run_rules):
    twice(graph, "Softmax", axis=1)
    graph.find("second").attr["axis"].i = 2
    assert run_rules(graph, MERGE).fired == 0


def test_leaves_nodes_alone_when_they_lie_on_other_devices(graph, run_rules):
    twice(graph)
    graph.find("second").device = "/gpu:0"
    assert run_rules(graph, MERGE).fired == 0


def test_leaves_nodes_alone_when_one_waits_for_something(graph, run_rules):
    twice(graph)
    graph.node("table", "HashTableV2")
    graph.find("second").input.append("^table")
    assert run_rules(graph, MERGE).fired == 0


@pytest.mark.parametrize(
    "operation", ["RandomUniform", "Print", "VarHandleOp", "Placeholder", "TensorArrayV3", "Unheard"]
)
def test_leaves_nodes_alone_when_they_may_have_a_state(graph, run_rules, operation):
    twice(graph, operation)
    if operation in ("VarHandleOp", "Placeholder"):
        for name in ("first", "second"):
            del graph.find(name).input[:]
    assert run_rules(graph, MERGE).fired == 0


def test_leaves_nodes_alone_when_one_is_fed(graph, run_rules):
    twice(graph)
    graph.inputs.append("second")
    assert run_rules(graph, MERGE).fired == 0


def test_reads_the_output_of_the_model_where_that_is_the_same(graph, run_rules):
    twice(graph)
    graph.outputs.append("second")
    rewritten = run_rules(graph, MERGE)
    assert rewritten.names == ["x", "second", "y"]
    assert list(rewritten.find("y").input) == ["second", "second"]


def test_keeps_two_outputs_of_the_model_that_are_the_same(graph, run_rules):
    twice(graph)
    graph.outputs += ["first", "second"]
    assert run_rules(graph, MERGE).fired == 0


def test_hands_over_every_output_and_who_waits(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("axis", 1, "int32")
    graph.node("first", "Split", "axis", "x", num_split=2)
    graph.node("second", "Split", "axis", "x", num_split=2)
    graph.outputs.append(graph.node("y", "Add", "first:1", "second:1", "^second"))
    rewritten = run_rules(graph, MERGE)
    assert list(rewritten.find("y").input) == ["first:1", "first:1", "^first"]


def test_nothing_is_more_equal_the_second_time(graph, run_rules, new_graph):
    twice(graph)
    rewritten = run_rules(graph, MERGE)
    again = run_rules(new_graph(rewritten.message, graph.inputs, graph.outputs), MERGE)
    assert (rewritten.fired, again.fired) == (1, 0)


def test_large_graphs_take_time_in_their_size(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    last = "x"
    for number in range(10000):
        last = graph.node(f"n{number}", "Neg", "x" if number % 2 else last)
    graph.outputs.append(graph.node("y", "Neg", last))
    assert run_rules(graph, MERGE).names == ["x", "n0", "y"]


STEPS = strategies.lists(
    strategies.tuples(strategies.sampled_from(["Neg", "Abs", "Relu", "Add", "Mul"]), *[strategies.integers(0, 9)] * 2),
    min_size=3,
    max_size=25,
)


def generated(new_graph, steps):
    """Few different operations on few different tensors, so that many nodes are the same."""
    graph = new_graph()
    names = [graph.placeholder("x", (2, 3)), graph.constant("a", [1, 2, 3]), graph.constant("b", [1, 2, 3])]
    for number, (operation, first, second) in enumerate(steps):
        inputs = [names[first % len(names)]] + ([names[second % len(names)]] if operation in ("Add", "Mul") else [])
        names.append(graph.node(f"n{number}", operation, *inputs))
    graph.outputs = [graph.node("y", "Add", names[-1], "x"), names[-2]]
    return graph


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, seed=strategies.integers(0, 2**31))
def test_computes_the_same(new_graph, run_rules, compute, steps, seed):
    graph = generated(new_graph, steps)
    feeds = {"x": np.random.RandomState(seed).uniform(-1, 1, (2, 3)).astype(np.float32)}
    rewritten = run_rules(graph, MERGE)
    before, after = (compute(message, feeds, graph.outputs) for message in (graph.message, rewritten.message))
    for old, new in zip(before, after):
        np.testing.assert_array_equal(new, old)


def test_a_type_of_its_own_is_not_another_of_the_same_bytes(graph, run_rules):
    graph.constant("a", [1, 2], "int8")
    graph.message.node.append(graph_def.new_constant("b", np.int8([1, 2]), tensors.data_type_named("qint8")))
    graph.outputs.append(graph.node("y", "Foo", "a", "b"))
    assert run_rules(graph, MERGE).fired == 0
