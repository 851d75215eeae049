"""Every way in which old operations are written with those that came in their place, and the reasons against."""

from __future__ import annotations  # these tests run on Python 3.7 as well

import numpy as np
import pytest
from modelmill_rewriter.rules_api import Target

#: Knows all but the diagonals of version 3, and so does what these tests run in.
KNOWN = Target("", (1, 15))


def numbers(shape, seed=0):
    return np.asarray(np.random.default_rng(seed).normal(size=shape), np.float32)


def raised(graph, run_rules, operation, target=KNOWN):
    rewritten = run_rules(graph, "raise_operations", target=target)
    assert rewritten.refused == {}
    assert rewritten.find("y").op == operation
    return rewritten


def assert_same(graph, rewritten, feeds, compute):
    before = compute(graph.message, feeds, graph.outputs)
    after = compute(rewritten.message, feeds, graph.outputs)
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    ("old", "new", "first", "second", "attributes"),
    [
        ("Add", "AddV2", (2, 3), (3,), {}),
        ("BatchMatMul", "BatchMatMulV2", (2, 3, 4), (2, 5, 4), {"adj_x": False, "adj_y": True}),
        ("BiasAddV1", "BiasAdd", (2, 3), (3,), {}),
    ],
)
def test_operations_of_two_tensors(graph, run_rules, compute, old, new, first, second, attributes):
    graph.placeholder("x", first)
    graph.placeholder("z", second)
    graph.outputs.append(graph.node("y", old, "x", "z", **attributes))
    feeds = {"x": numbers(first), "z": numbers(second, 1)}
    assert_same(graph, raised(graph, run_rules, new), feeds, compute)


def test_joins(graph, run_rules, compute):
    graph.placeholder("x", (2, 3))
    graph.constant("axis", 1, "int32")
    graph.outputs.append(graph.node("y", "Concat", "axis", "x", "x", N=2))
    rewritten = raised(graph, run_rules, "ConcatV2")
    assert list(rewritten.find("y").input) == ["x", "x", "axis"]
    assert_same(graph, rewritten, {"x": numbers((2, 3))}, compute)


def test_gathers(graph, run_rules, compute):
    graph.placeholder("x", (4, 3))
    graph.constant("rows", [2, 0], "int32")
    graph.outputs.append(graph.node("y", "Gather", "x", "rows", T=None, Tparams="float32", Tindices="int32"))
    assert_same(graph, raised(graph, run_rules, "GatherV2"), {"x": numbers((4, 3))}, compute)


def test_norms(graph, run_rules, compute):
    graph.placeholder("x", (2, 3, 3, 4))
    for number, name in enumerate(("scale", "offset", "mean", "variance")):
        graph.constant(name, np.abs(numbers((4,), number)) + 0.5)
    inputs = ("x", "scale", "offset", "mean", "variance")
    graph.outputs.append(graph.node("y", "FusedBatchNorm", *inputs, epsilon=0.001, is_training=False))
    assert_same(graph, raised(graph, run_rules, "FusedBatchNormV3"), {"x": numbers((2, 3, 3, 4))}, compute)


@pytest.mark.parametrize(("condition", "rank"), [((2,), 3), ((2, 3), 2), ((2,), 1), ((), 2)])
def test_selections(graph, run_rules, compute, condition, rank):
    shape = (2, 3, 4)[:rank]
    graph.message.versions.producer = 38  # which knows scalars from unknown shapes
    graph.placeholder("c", condition, "bool")
    graph.placeholder("x", shape)
    graph.placeholder("z", shape)
    graph.outputs.append(graph.node("y", "Select", "c", "x", "z"))
    feeds = {"c": numbers(condition) > 0, "x": numbers(shape, 1), "z": numbers(shape, 2)}
    assert_same(graph, raised(graph, run_rules, "SelectV2"), feeds, compute)


@pytest.mark.parametrize("old", ["MatrixDiag", "MatrixDiagPart", "MatrixSetDiag"])
def test_diagonals_name_the_main_one(graph, run_rules, old):
    graph.placeholder("x", (2, 2))
    graph.constant("row", [1, 2])
    graph.outputs.append(graph.node("y", old, *(["x", "row"] if old == "MatrixSetDiag" else ["x"])))
    rewritten = raised(graph, run_rules, old + "V3", Target("", (2, 15)))
    again = run_rules(_taken(graph, rewritten), "lower_operations", target=KNOWN)
    assert again.find("y").op == old
    assert list(again.find("y").input) == list(graph.find("y").input)


def _taken(graph, rewritten):
    return type(graph)(rewritten.message, graph.inputs, graph.outputs)


def test_leaves_alone_when_the_version_does_not_know_it(graph, run_rules):
    graph.placeholder("x", (2,))
    graph.outputs.append(graph.node("y", "Add", "x", "x"))
    rewritten = run_rules(graph, "raise_operations", target=Target("", (1, 12)))
    assert rewritten.refused == {"y": "TensorFlow 1.15 is the first that knows what would be in its place"}


def test_leaves_alone_when_strings_are_joined(graph, run_rules):
    graph.placeholder("x", (2,))
    graph.find("x").attr["dtype"].type = 7
    graph.outputs.append(graph.node("y", "Add", "x", "x", T=None))
    graph.find("y").attr["T"].type = 7
    rewritten = run_rules(graph, "raise_operations", target=KNOWN)
    assert rewritten.refused == {"y": "it joins strings, which AddV2 does not"}


def test_leaves_alone_when_a_condition_may_choose_rows(graph, run_rules):
    graph.placeholder("c", None, "bool")
    graph.placeholder("x", (2,))
    graph.outputs.append(graph.node("y", "Select", "c", "x", "x"))
    rewritten = run_rules(graph, "raise_operations", target=KNOWN)
    assert rewritten.refused == {
        "y": "the ranks of its condition and values are not known, and a vector would choose rows"
    }
