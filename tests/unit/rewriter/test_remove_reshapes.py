"""Reshapes that the next one undoes or that change nothing: the same elements in the same shape, and when they stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies

NAME = "remove_reshapes"
SHAPES = [(12,), (3, 4), (2, 6), (1, 12, 1), (2, 1, 6), (2, 3, 2), (4, 1, 1, 3)]


def reshaped(graph, x, *shapes, dtype="float32"):
    for number, shape in enumerate(shapes):
        sizes = graph.constant(f"sizes_{number}", shape, "int32")
        x = graph.node(f"reshaped_{number}", "Reshape", x, sizes, dtype=dtype, Tshape="int32")
    return x


@strategies.composite
def chains(draw):
    """A shape and further ones for as many elements, with one size left open now and then."""
    first, *others = draw(strategies.lists(strategies.sampled_from(SHAPES), min_size=2, max_size=5))
    opened = []
    for shape in others:
        at = draw(strategies.integers(0, len(shape)))
        opened.append(tuple(-1 if axis == at else size for axis, size in enumerate(shape)))
    return first, opened


@given(chain=chains(), dtype=strategies.sampled_from(["float32", "int64", "bool"]), known=strategies.booleans())
def test_computes_the_same(chain, dtype, known, new_graph, run_rules, compute):
    shape, others = chain
    graph = new_graph()
    graph.placeholder("x", shape if known else (-1, *shape[1:]), dtype)
    graph.outputs.append(graph.node("y", "Identity", reshaped(graph, "x", *others, dtype=dtype), dtype=dtype))
    rewritten = run_rules(graph, NAME)
    x = (np.arange(12).reshape(shape) % 5).astype(dtype)
    before, after = (compute(item, {"x": x}, ["y"])[0] for item in (graph.message, rewritten.message))
    np.testing.assert_array_equal(after, before)
    assert after.shape == before.shape
    if known and before.shape == shape:
        assert "Reshape" not in rewritten.operations
    assert rewritten.operations.count("Reshape") <= 1


@pytest.mark.parametrize("operation", ["ExpandDims", "Squeeze"])
def test_what_adds_or_drops_an_axis_is_undone_as_well(operation, graph, run_rules, compute):
    graph.placeholder("x", (2, 1, 3))
    if operation == "ExpandDims":
        first = graph.node("first", "ExpandDims", "x", graph.constant("axis", -1, "int32"), Tdim="int32")
    else:
        first = graph.node("first", "Squeeze", "x", squeeze_dims=(1,))
    graph.outputs.append(reshaped(graph, first, (3, 2)))
    rewritten = run_rules(graph, NAME)
    assert rewritten.operations == ["Placeholder", "Const", "Reshape"]
    x = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    np.testing.assert_array_equal(compute(rewritten.message, {"x": x}, graph.outputs)[0], x.reshape(3, 2))


def test_the_first_of_two_stays_where_it_is_read_as_well(graph, run_rules):
    graph.placeholder("x", (12,))
    last = reshaped(graph, "x", (3, 4), (2, 6))
    graph.outputs.extend([graph.node("y", "Relu", last), graph.node("z", "Relu", "reshaped_0")])
    rewritten = run_rules(graph, NAME)
    assert list(rewritten.find(last).input) == ["x", "sizes_1"]
    assert list(rewritten.find("z").input) == ["reshaped_0"]


def test_an_open_batch_that_stays_the_only_open_size_changes_nothing(graph, run_rules):
    graph.placeholder("x", (-1, 4))
    graph.outputs.append(graph.node("y", "Relu", reshaped(graph, "x", (-1, 4))))
    assert run_rules(graph, NAME).operations == ["Placeholder", "Relu"]


@pytest.mark.parametrize(
    ("shape", "wanted"), [((-1, 4), (-1, 2)), ((-1, -1), (-1, 4)), ((-1, 4), (2, 4)), ((3, 4), (4, 3)), (None, (3, 4))]
)
def test_leaves_alone_when_it_changes_something_or_may(shape, wanted, graph, run_rules):
    graph.placeholder("x", shape)
    graph.outputs.append(graph.node("y", "Relu", reshaped(graph, "x", wanted)))
    rewritten = run_rules(graph, NAME)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_the_sizes_are_computed(graph, run_rules):
    graph.placeholder("x", (3, 4))
    graph.placeholder("sizes", (2,), "int32")
    graph.outputs.append(graph.node("y", "Reshape", "x", "sizes", Tshape="int32"))
    assert run_rules(graph, NAME).fired == 0
