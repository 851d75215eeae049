"""Folding: what is constant becomes a constant and computes the same, and what is left alone, with the reason."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_rewriter._kernels import OPERATIONS
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules.folding.fold_constants import FoldConstants
from modelmill_rewriter.rules_api import Interface, ShapeOf, Target, Tensor
from modelmill_worker import graph_def, op_versions_table, tensors
from modelmill_worker.errors import StepError

FOLD = "fold_constants"


def value_of(rewritten, name):
    return graph_def.constant_value(rewritten.find(name))


def output(graph, *inputs, operation="Add"):
    graph.outputs.append(graph.node("out", operation, *inputs))


def test_folds_a_chain_into_one_constant(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("a", [1, 2])
    graph.constant("b", [3, 4])
    graph.node("sum", "Add", "a", "b")
    graph.node("scaled", "Mul", "sum", "b")
    output(graph, "x", "scaled")
    rewritten = run_rules(graph, FOLD)
    assert rewritten.names == ["x", "scaled", "out"]
    assert value_of(rewritten, "scaled").tolist() == [12, 24]
    (firing,) = rewritten.reports[0].fired
    assert set(firing.before) == {"scaled", "sum", "a", "b"}
    assert firing.after == ("scaled",)


def test_keeps_what_is_read_on_the_way(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("a", [1, 2])
    graph.node("neg", "Neg", "a")
    graph.node("twice", "Neg", "neg")
    graph.node("first", "Add", "x", "neg")
    output(graph, "first", "twice")
    assert run_rules(graph, FOLD).operations == ["Placeholder", "Const", "Const", "Add", "Add"]


def test_reads_a_constant_itself_instead_of_through_an_identity(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("weights", [1, 2])
    graph.node("weights/read", "Identity", "weights")
    output(graph, "x", "weights/read")
    rewritten = run_rules(graph, FOLD)
    assert rewritten.names == ["x", "weights", "out"]
    assert list(rewritten.find("out").input) == ["x", "weights"]


def test_removes_an_identity_that_nobody_reads(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("a", [1, 2])
    graph.node("neg", "Neg", "a")
    graph.node("awaited", "Abs", "a")
    graph.node("unread", "Identity", "neg", "^awaited")
    graph.outputs.append(graph.node("out", "Neg", "x"))
    assert run_rules(graph, FOLD).names == ["x", "out"]


def test_keeps_an_identity_of_a_constant_that_is_an_output(graph, run_rules):
    graph.constant("weights", [1, 2])
    graph.outputs.append(graph.node("out", "Identity", "weights"))
    assert run_rules(graph, FOLD).fired == 0


def test_an_output_becomes_a_constant_of_its_name(graph, run_rules):
    graph.constant("a", [1, 2])
    graph.outputs.append(graph.node("out", "Neg", "a"))
    rewritten = run_rules(graph, FOLD)
    assert rewritten.names == ["out"]
    assert value_of(rewritten, "out").tolist() == [-1, -2]


def test_each_output_that_is_read_becomes_a_constant(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("axis", 0, "int32")
    graph.constant("a", [[1, 2], [3, 4], [5, 6]])
    graph.node("parts", "Split", "axis", "a", num_split=3)
    graph.node("first", "Mul", "x", "parts")
    output(graph, "first", "parts:2")
    rewritten = run_rules(graph, FOLD)
    assert sorted(rewritten.names) == ["first", "out", "parts", "parts/output_2", "x"]
    assert value_of(rewritten, "parts").tolist() == [[1, 2]]
    assert value_of(rewritten, "parts/output_2").tolist() == [[5, 6]]


def test_folds_the_shape_of_what_has_a_known_one(graph, run_rules):
    graph.placeholder("x", (2, 3))
    graph.node("relu", "Relu", "x")
    graph.node("shape", "Shape", "relu", out_type="int32")
    graph.node("y", "Reshape", "x", "shape")
    graph.outputs.append("y")
    rewritten = run_rules(graph, FOLD)
    assert rewritten.names == ["x", "shape", "y"]
    assert value_of(rewritten, "shape").tolist() == [2, 3]
    assert value_of(rewritten, "shape").dtype == np.int32


def test_folds_the_known_part_of_a_shape(graph, run_rules):
    graph.placeholder("x", (-1, 3, 5))
    graph.constant("one", [1], "int32")
    graph.constant("three", [3], "int32")
    graph.node("shape", "Shape", "x", out_type="int32")
    graph.node("size", "StridedSlice", "shape", "one", "three", "one", dtype="int32", Index="int32")
    graph.outputs.append(graph.node("y", "ResizeNearestNeighbor", "x", "size"))
    rewritten = run_rules(graph, FOLD)
    assert rewritten.names == ["x", "size", "y"]
    assert value_of(rewritten, "size").tolist() == [3, 5]


def test_leaves_a_shape_alone_when_a_batch_is_part_of_it(graph, run_rules):
    graph.placeholder("x", (-1, 3))
    graph.outputs.append(graph.node("shape", "Shape", "x", out_type="int32"))
    assert run_rules(graph, FOLD).fired == 0


def test_leaves_a_shape_alone_when_something_else_may_be_fed_above_it(graph, run_rules):
    graph.placeholder("image", (2, 3))
    graph.node("fed", "Relu", "image")
    graph.inputs.append("fed")
    graph.node("y", "Neg", "fed")
    graph.outputs.append(graph.node("shape", "Shape", "y", out_type="int32"))
    assert run_rules(graph, FOLD).fired == 0


def test_leaves_a_constant_alone_when_it_is_fed(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("rate", 1)
    graph.inputs.append("rate")
    graph.node("half", "Neg", "rate")
    output(graph, "x", "half")
    assert run_rules(graph, FOLD).fired == 0


def test_takes_the_default_of_what_nobody_feeds(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("default", 3)
    graph.node("rate", "PlaceholderWithDefault", "default")
    graph.node("minus", "Neg", "rate")
    output(graph, "x", "minus")
    assert value_of(run_rules(graph, FOLD), "minus") == -3


#: Of operations with more than one.
INPUTS = {
    "Multinomial": 2,
    "Conv2D": 2,
    "Dequantize": 3,
    "FakeQuantWithMinMaxVarsPerChannel": 3,
    "QuantizeAndDequantizeV3": 4,
}


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("RandomUniform", "RandomUniform may give something else each time"),
        ("Multinomial", "Multinomial may give something else each time"),
        ("Conv2D", "nothing here computes Conv2D"),
        ("Dequantize", "nothing here computes Dequantize"),
        ("FakeQuantWithMinMaxArgs", "it tells a converter in which range to quantise"),
        ("FakeQuantWithMinMaxVarsPerChannel", "it tells a converter in which range to quantise"),
        ("QuantizeAndDequantizeV3", "it tells a converter in which range to quantise"),
    ],
)
def test_leaves_a_node_alone_when_it_may_not_be_computed(graph, run_rules, operation, reason):
    graph.placeholder("x", (-1, 2))
    graph.constant("a", [1, 2])
    graph.node("held", operation, *["a"] * INPUTS.get(operation, 1))
    graph.node("neg", "Neg", "held")
    output(graph, "x", "neg")
    rewritten = run_rules(graph, FOLD)
    assert rewritten.refused == {"held": reason}
    assert rewritten.fired == 0


def test_leaves_a_node_alone_when_it_waits_for_something(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.node("table", "HashTableV2")
    graph.constant("a", [1, 2])
    graph.node("neg", "Neg", "a", "^table")
    output(graph, "x", "neg")
    assert run_rules(graph, FOLD).refused == {"neg": "it waits for table"}


def test_no_longer_waits_for_what_is_constant(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("a", [1, 2])
    graph.node("neg", "Neg", "a")
    graph.node("twice", "Neg", "a", "^neg")
    output(graph, "x", "twice", "^neg", "^a")
    rewritten = run_rules(graph, FOLD)
    assert rewritten.names == ["x", "twice", "out"]
    assert list(rewritten.find("out").input) == ["x", "twice"]


def test_leaves_a_node_alone_when_it_lies_inside_a_condition(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("p", (), "bool")
    graph.node("switch", "Switch", "x", "p")
    graph.node("pivot", "Identity", "switch:1")
    graph.constant("one", 1)
    graph.find("one").input.append("^pivot")
    graph.node("minus", "Neg", "one")
    graph.node("merge", "Merge", "switch", "minus", N=2)
    graph.outputs.append(graph.node("y", "Neg", "merge"))
    assert run_rules(graph, FOLD).fired == 0


def test_leaves_a_node_alone_when_another_output_of_it_is_an_output_of_the_model(graph):
    graph.constant("axis", 0, "int32")
    graph.constant("a", [1, 2])
    graph.node("parts", "Split", "axis", "a", num_split=2)
    interface = Interface((), (Tensor("parts", 1),))
    _, (report,), _ = rewrite_graph(graph.message, interface, [FoldConstants()], Target())
    reason = "another output of it than the first is an output of the model"
    assert [(item.node, item.reason) for item in report.refused] == [("parts", reason)]
    assert report.fired == ()


def test_makes_no_constant_that_is_too_large(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("shape", [3000, 1000], "int32")
    graph.constant("zero", 0)
    graph.node("zeros", "Fill", "shape", "zero", index_type="int32")
    output(graph, "x", "zeros")
    reason = "its value would take 12,000,000 bytes, and no constant of more than 10,485,760 is made"
    assert run_rules(graph, FOLD).refused == {"zeros": reason}
    assert run_rules(graph, "fold_constants(largest_bytes=12000000)").names == ["x", "zeros", "out"]


def test_turns_large_weights_as_they_only_take_the_place_of_others(graph, run_rules):
    graph.placeholder("x", (-1, 30))
    graph.constant("weights", np.zeros((20, 30)))
    graph.constant("order", [1, 0], "int32")
    graph.node("turned", "Transpose", "weights", "order", Tperm="int32")
    graph.outputs.append(graph.node("y", "MatMul", "x", "turned"))
    assert run_rules(graph, "fold_constants(largest_bytes=100)").names == ["x", "turned", "y"]
    graph.outputs.append(graph.node("z", "MatMul", "y", "weights"))
    reason = "its value would take 2,400 bytes, and no constant of more than 100 is made"
    assert run_rules(graph, "fold_constants(largest_bytes=100)").refused == {"turned": reason}


def test_stops_when_many_constants_together_are_too_large(graph, run_rules):
    graph.placeholder("x", (-1, 1))
    graph.constant("shape", [25], "int32")
    graph.constant("zero", 0)
    last = "x"
    for number in range(12):
        graph.node(f"zeros{number}", "Fill", "shape", "zero", index_type="int32")
        last = graph.node(f"y{number}", "Add", last, f"zeros{number}")
    graph.outputs.append(last)
    rewritten = run_rules(graph, "fold_constants(largest_bytes=100)")
    assert sorted(rewritten.refused.values()) == ["folding has made the graph 920 bytes larger, which is enough"] * 2


def test_says_what_cannot_be_computed_or_stops(graph, run_rules):
    graph.placeholder("x", (-1, 2), "int32")
    graph.constant("a", [1, 2], "int32")
    graph.constant("zero", 0, "int32")
    graph.node("held", "FloorDiv", "a", "zero", dtype="int32")
    output(graph, "x", "held")
    assert run_rules(graph, FOLD).refused == {"held": "it divides integers by zero"}
    with pytest.raises(StepError) as caught:
        run_rules(graph, "fold_constants(ignore_errors=false)")
    assert caught.value.reason == "FOLDING_FAILED"
    assert "it divides integers by zero" in caught.value.message


def test_clears_output_shapes_unless_told_otherwise(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.outputs.append(graph.node("y", "Neg", "x"))
    graph.find("y").attr["_output_shapes"].list.shape.add().dim.add().size = 7
    rewritten = run_rules(graph, FOLD)
    assert "_output_shapes" not in rewritten.find("y").attr
    assert [firing.before for firing in rewritten.reports[0].fired] == [("y",)]
    assert run_rules(graph, "fold_constants(clear_output_shapes=false)").fired == 0


def test_a_bfloat16_stays_one(graph, run_rules):
    graph.placeholder("x", (-1,), "int32")
    graph.message.node.append(graph_def.new_constant("a", np.float32([1.0078125]), tensors.BFLOAT16))
    graph.node("squared", "Square", "a", dtype="bfloat16")
    graph.outputs.append(graph.node("y", "Select", "x", "squared", "squared", dtype="bfloat16"))
    constant = run_rules(graph, FOLD).find("squared")
    assert constant.attr["dtype"].type == tensors.BFLOAT16.number
    assert graph_def.constant_value(constant).tolist() == [1.015625]


def test_folds_thousands_of_nodes_in_one_walk(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("c", [1, 2])
    last, constant = "x", "c"
    for number in range(2000):
        constant = graph.node(f"n{number}", "Neg", constant)
        last = graph.node(f"y{number}", "Add", last, constant)
    graph.outputs.append(last)
    assert run_rules(graph, FOLD).fired == 2000


# -- generated graphs ------------------------------------------------------------------------------------------------

UNARY = ["Neg", "Abs", "Relu", "Identity", "Floor"]
BINARY = ["Add", "Sub", "Mul", "Maximum", "Minimum"]
STEPS = strategies.lists(
    strategies.tuples(strategies.sampled_from(UNARY + BINARY), strategies.integers(0, 99), strategies.integers(0, 99)),
    min_size=3,
    max_size=25,
)


def generated(new_graph, steps, values):
    """A graph of operations on constants and an input of one shape, every one of which may read any before it."""
    graph = new_graph()
    names = [
        graph.placeholder("x", (2, 3)),
        graph.constant("a", values[:6].reshape(2, 3)),
        graph.constant("b", values[6:9]),
    ]
    for number, (operation, first, second) in enumerate(steps):
        inputs = [names[first % len(names)]] + ([names[second % len(names)]] if operation in BINARY else [])
        names.append(graph.node(f"n{number}", operation, *inputs))
    graph.outputs = [graph.node("y", "Add", names[-1], "x"), names[-2]]
    return graph


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, seed=strategies.integers(0, 2**31))
def test_computes_the_same(new_graph, run_rules, compute, steps, seed):
    random = np.random.RandomState(seed)
    graph = generated(new_graph, steps, random.uniform(-1.5, 1.5, 9).astype(np.float32))
    feeds = {"x": random.uniform(-1, 1, (2, 3)).astype(np.float32)}
    rewritten = run_rules(graph, FOLD)
    assert len(rewritten.names) <= len(graph.message.node)
    with np.errstate(all="ignore"):
        before = compute(graph.message, feeds, graph.outputs)
        after = compute(rewritten.message, feeds, graph.outputs)
    for old, new in zip(before, after):
        # The same single operations on the same numbers: nothing is rounded otherwise.
        np.testing.assert_array_equal(new, np.broadcast_to(old, new.shape))


def test_every_operation_that_is_computed_is_stateless():
    for operation in OPERATIONS:
        history = [found for found in op_versions_table.table().history(operation) if found is not None]
        assert history
        assert not any(found.stateful for found in history)


RICH = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(
            ["Neg", "Identity", "Add", "Mul", "Split", "Default", "Shape", "Tile", "Constant", "Random"]
        ),
        strategies.integers(0, 99),
        strategies.integers(0, 99),
        strategies.sampled_from(["", "", "", "waits", "output", "fed"]),
    ),
    min_size=4,
    max_size=22,
)


def rich(new_graph, steps):
    """A graph of tensors of two columns, in which nodes wait for others, have several outputs, are fed or fetched."""
    graph = new_graph()
    tensors_so_far = [graph.placeholder("x", (2, 2)), graph.constant("a", [[1, 2], [3, 4]])]
    graph.constant("axis", 0, "int32")
    for number, (operation, first, second, mark) in enumerate(steps):
        read = [tensors_so_far[first % len(tensors_so_far)], tensors_so_far[second % len(tensors_so_far)]]
        waits = ["^" + graph_def.node_name(read[1])] if mark == "waits" else []
        name = f"n{number}"
        if operation in ("Add", "Mul"):
            made = [graph.node(name, operation, *read, *waits)]
        elif operation == "Split":
            graph.node(name, operation, "axis", read[0], *waits, num_split=2)
            graph.constant(f"{name}/axis", 0, "int32")
            joined = graph.node(f"{name}/joined", "ConcatV2", f"{name}:1", name, f"{name}/axis", N=2, Tidx="int32")
            made = [joined]
        elif operation == "Default":
            graph.node(name, "PlaceholderWithDefault", read[0], *waits, T=None, shape=ShapeOf((2, 2)))
            graph.find(name).attr["dtype"].type = 1
            made = [name]
        elif operation == "Shape":
            graph.node(f"{name}/shape", "Shape", read[0], *waits, out_type="int32")
            made = [graph.node(name, "Cast", f"{name}/shape", T=None, SrcT="int32", DstT="float32")]
            made = [graph.node(f"{name}/rows", "Add", name, "a")]
        elif operation == "Tile":
            graph.constant(f"{name}/counts", [1, 1], "int32")
            made = [graph.node(name, operation, read[0], f"{name}/counts", *waits, Tmultiples="int32")]
        elif operation == "Constant":
            made = [graph.constant(name, [[number, 1], [2, 3]])]
            graph.find(name).input.extend(waits)
        elif operation == "Random":
            graph.constant(f"{name}/shape", [2, 2], "int32")
            graph.node(f"{name}/u", "RandomUniform", f"{name}/shape", T="int32", seed=7, seed2=7)
            graph.find(f"{name}/u").attr["dtype"].type = 1
            made = [graph.node(name, "Floor", f"{name}/u", *waits)]
        else:
            made = [graph.node(name, operation, read[0], *waits)]
        tensors_so_far.extend(made)
        if mark == "output":
            graph.outputs.append(made[0])
        if mark == "fed":
            graph.inputs.append(made[0])
    graph.outputs.append(graph.node("y", "Add", tensors_so_far[-1], "x"))
    return graph


@settings(max_examples=150, deadline=None)
@given(steps=RICH, seed=strategies.integers(0, 2**31))
def test_computes_the_same_whatever_waits_is_fed_or_fetched(new_graph, run_rules, compute, steps, seed):
    graph = rich(new_graph, steps)
    random = np.random.RandomState(seed)
    rewritten = run_rules(graph, FOLD)
    assert len(rewritten.names) <= len(graph.message.node) + sum(step[0] == "Split" for step in steps)
    again = run_rules(new_graph(rewritten.message, graph.inputs, graph.outputs), FOLD)
    assert again.fired == 0
    feeds = {name: random.randint(-3, 3, (2, 2)).astype(np.float32) for name in graph.inputs}
    before = compute(graph.message, feeds, graph.outputs)
    after = compute(rewritten.message, feeds, graph.outputs)
    for old, new in zip(before, after):
        np.testing.assert_array_equal(new, old)  # Small whole numbers: nothing is rounded.
