"""Transpositions that cancel, merge or move nothing: the same elements at the same places, and when they stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies
from modelmill_rewriter.rules_api import Tensor

NAME = "remove_transposes"


def transposed(graph, x, *orders, dtype="float32"):
    for number, order in enumerate(orders):
        perm = graph.constant(f"order_{number}", order, "int32")
        x = graph.node(f"turned_{number}", "Transpose", x, perm, dtype=dtype, Tperm="int32")
    return x


@strategies.composite
def chains(draw):
    """A shape, and orders to transpose by, one after the other."""
    shape = tuple(draw(strategies.lists(strategies.integers(1, 3), min_size=1, max_size=4)))
    order = strategies.permutations(range(len(shape)))
    return shape, draw(strategies.lists(order, min_size=1, max_size=4))


@given(
    chain=chains(),
    dtype=strategies.sampled_from(["float32", "int32", "bool"]),
    known=strategies.sampled_from(["yes", "no", "some"]),
)
def test_computes_the_same(chain, dtype, known, new_graph, run_rules, compute):
    shape, orders = chain
    graph = new_graph()
    declared = {"yes": shape, "no": None, "some": (-1, *shape[1:])}[known]
    graph.placeholder("x", declared, dtype)
    last = transposed(graph, "x", *orders, dtype=dtype)
    graph.outputs.append(graph.node("y", "Identity", last, dtype=dtype))
    rewritten = run_rules(graph, NAME)
    x = (np.arange(np.prod(shape)).reshape(shape) % 7).astype(dtype)
    before, after = (compute(item, {"x": x}, ["y"])[0] for item in (graph.message, rewritten.message))
    np.testing.assert_array_equal(after, before)
    assert rewritten.operations.count("Transpose") <= 1
    if known == "yes" and sum(size > 1 for size in shape) <= 1:
        assert "Transpose" not in rewritten.operations


def test_a_pair_that_cancels_leaves_nothing(graph, run_rules):
    graph.placeholder("x", (2, 3, 4, 5))
    last = transposed(graph, "x", [0, 2, 3, 1], [0, 3, 1, 2])
    graph.outputs.append(graph.node("y", "Relu", last))
    rewritten = run_rules(graph, NAME)
    assert rewritten.operations == ["Placeholder", "Relu"]


def test_the_first_of_two_stays_where_it_is_read_as_well(graph, run_rules):
    graph.placeholder("x", (2, 3, 4))
    last = transposed(graph, "x", [0, 2, 1], [1, 0, 2])
    graph.outputs.extend([graph.node("y", "Relu", last), graph.node("z", "Relu", "turned_0")])
    rewritten = run_rules(graph, NAME)
    assert list(rewritten.find(last).input) == ["x", last + "/perm"]
    assert list(rewritten.find("z").input) == ["turned_0"]


def test_an_open_batch_is_left_to_the_reshape(graph, run_rules):
    graph.placeholder("x", (-1, 1, 1, 5))
    graph.outputs.append(transposed(graph, "x", [0, 3, 1, 2]))
    rewritten = run_rules(graph, NAME)
    assert rewritten.find("turned_0").op == "Reshape"
    assert rewritten.index.constant(Tensor("turned_0/shape")).tolist() == [-1, 5, 1, 1]


@pytest.mark.parametrize("shape", [(-1, -1, 1, 5), (2, 3, 1, 5), None])
def test_leaves_alone_when_elements_move_or_may_move(shape, graph, run_rules):
    graph.placeholder("x", shape)
    graph.outputs.append(transposed(graph, "x", [0, 3, 2, 1] if shape != (-1, -1, 1, 5) else [1, 0, 2, 3]))
    rewritten = run_rules(graph, NAME)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_two_open_sizes_would_have_to_be_told(graph, run_rules):
    graph.placeholder("x", (-1, -1, 1, 5))
    graph.outputs.append(transposed(graph, "x", [0, 2, 1, 3]))
    assert run_rules(graph, NAME).fired == 0


def test_leaves_alone_when_the_order_is_computed(graph, run_rules):
    graph.placeholder("x", (2, 3))
    graph.placeholder("order", (2,), "int32")
    graph.outputs.append(graph.node("y", "Transpose", "x", "order", Tperm="int32"))
    assert run_rules(graph, NAME).refused == {"y": "the order of its axes is computed"}


def test_leaves_alone_when_the_order_of_the_first_is_computed(graph, run_rules):
    graph.placeholder("x", (2, 3))
    graph.placeholder("order", (2,), "int32")
    graph.node("first", "Transpose", "x", "order", Tperm="int32")
    graph.outputs.append(transposed(graph, "first", [1, 0]))
    rewritten = run_rules(graph, NAME)
    assert (rewritten.fired, rewritten.refused["first"]) == (0, "the order of its axes is computed")
