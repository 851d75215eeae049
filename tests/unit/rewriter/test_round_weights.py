"""round_weights: how far weights move, how many values they have, and what stays."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, strategies
from modelmill_rewriter.rules.quantization.round_weights import RoundWeights
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError


def graph_of(new_graph, value, dtype="float32"):
    graph = new_graph()
    graph.outputs.append(graph.constant("w", value, dtype))
    return graph


def value(rewritten):
    return graph_def.constant_value(rewritten.find("w"))


weights = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=8).filter(lambda shape: np.prod(shape) >= 16),
    elements=strategies.floats(-1000, 1000, width=32),
)


@given(array=weights, num_steps=strategies.integers(1, 1000))
def test_moves_no_weight_by_more_than_half_a_step(array, num_steps, new_graph, run_rules):
    rewritten = run_rules(graph_of(new_graph, array), RoundWeights(num_steps))
    step = np.ptp(array) / num_steps
    assert value(rewritten).shape == array.shape
    # The middle of a step is a sum of two float32 numbers, each as far off as its last place.
    assert np.abs(value(rewritten) - array).max() <= step * 0.5001 + 3e-7 * np.abs(array).max()
    assert len(np.unique(value(rewritten))) <= num_steps + 1 or rewritten.fired == 0


@given(array=weights, num_steps=strategies.integers(1, 1000))
def test_leaves_what_it_wrote_as_it_is(array, num_steps, new_graph, run_rules):
    once = value(run_rules(graph_of(new_graph, array), RoundWeights(num_steps)))
    again = run_rules(graph_of(new_graph, once), RoundWeights(num_steps))
    np.testing.assert_array_equal(value(again), once)


def test_takes_few_values_that_compress(new_graph, run_rules):
    array = np.random.default_rng(0).normal(size=10000)
    rewritten = run_rules(graph_of(new_graph, array), "round_weights(num_steps=16)")
    assert rewritten.fired == 1
    assert len(np.unique(value(rewritten))) == 17


@pytest.mark.parametrize(
    ("array", "dtype"),
    [(np.arange(15) / 7, "float32"), (np.arange(100) / 7, "float64"), (np.arange(100), "int32")],
    ids=["small", "double", "whole numbers"],
)
def test_says_nothing_about_small_constants_and_other_types(array, dtype, new_graph, run_rules):
    rewritten = run_rules(graph_of(new_graph, array, dtype), "round_weights(num_steps=2)")
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_says_nothing_about_weights_of_one_value(new_graph, run_rules):
    assert run_rules(graph_of(new_graph, np.full(100, 0.3)), "round_weights").fired == 0


def test_leaves_alone_when_an_element_is_no_number(new_graph, run_rules):
    rewritten = run_rules(graph_of(new_graph, [np.inf] + [0.0] * 20), "round_weights")
    assert rewritten.refused == {"w": "it has elements that are no finite numbers"}


def test_leaves_alone_when_the_value_lies_beside_the_graph(new_graph, run_rules):
    graph = graph_of(new_graph, np.zeros(20))
    graph.find("w").attr["_modelmill_weights"].list.i.extend([64, 80])
    rewritten = run_rules(graph, "round_weights")
    assert rewritten.refused == {"w": "its value lies beside the graph, which is too large to hold it"}


def test_refuses_a_number_of_steps_that_is_none(new_graph, run_rules):
    with pytest.raises(StepError) as raised:
        run_rules(graph_of(new_graph, np.zeros(20)), "round_weights(num_steps=0)")
    assert raised.value.reason == "INVALID_OPTION"
