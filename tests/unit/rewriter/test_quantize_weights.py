"""quantize_weights: how far weights move, in loops too, and what stays."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_rewriter.rules.quantization.quantize_weights import QuantizeWeights
from modelmill_worker import graph_def

weights = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5),
    elements=strategies.floats(-1000, 1000, width=32).filter(lambda value: value == 0 or abs(value) > 1e-3),
)


def graph_of(new_graph, value, dtype="float32"):
    graph = new_graph()
    graph.outputs.append(graph.constant("w", value, dtype))
    return graph


def dequantized(rewritten):
    """As TensorFlow's Dequantize computes in the mode MIN_FIRST."""
    codes, low, high = (graph_def.constant_value(rewritten.find(name)) for name in rewritten.find("w").input)
    step = (high - low) / np.float32(255)
    return np.round(low / step) * step + codes * step


@given(array=weights)
def test_moves_no_weight_by_more_than_half_a_step(array, new_graph, run_rules):
    rewritten = run_rules(graph_of(new_graph, array), QuantizeWeights(minimum_size=1))
    assert rewritten.operations == ["Const", "Const", "Const", "Dequantize"]
    step = (max(array.max(), 0) - min(array.min(), 0)) / 255
    assert dequantized(rewritten).shape == array.shape
    # Low is moved by up to half a step, so that the ends of the range can be a whole one away.
    assert np.abs(dequantized(rewritten) - array).max() <= step * 1.001


@given(array=weights)
@settings(max_examples=25)
def test_tensorflow_reads_the_same(array, new_graph, run_rules, compute):
    rewritten = run_rules(graph_of(new_graph, array), QuantizeWeights(minimum_size=1))
    computed = compute(rewritten.message, {}, ["w"])[0]
    np.testing.assert_allclose(computed, dequantized(rewritten), rtol=1e-5, atol=1e-5 * float(np.abs(array).max()))


def test_zeros_stay_zeros(new_graph, run_rules):
    array = np.random.default_rng(0).normal(size=2000)
    array[::2] = 0
    rewritten = run_rules(graph_of(new_graph, array), "quantize_weights")
    assert np.abs(dequantized(rewritten)[::2]).max() < 1e-6


def test_a_quarter_of_the_bytes_remains(new_graph, run_rules):
    graph = graph_of(new_graph, np.random.default_rng(0).normal(size=10**5))
    assert run_rules(graph, "quantize_weights").message.ByteSize() < graph.message.ByteSize() * 0.26


def test_constants_of_a_loop_stay_in_it(graph, run_rules, compute):
    graph.placeholder("x", (20,))
    graph.constant("n", 3, "int32")
    graph.node("begin", "Enter", "x", frame_name=b"loop", is_constant=False)
    graph.node("count/begin", "Enter", "count/zero", dtype="int32", frame_name=b"loop", is_constant=False)
    graph.constant("count/zero", 0, "int32")
    graph.node("limit", "Enter", "n", dtype="int32", frame_name=b"loop", is_constant=True)
    graph.node("merge", "Merge", "begin", "next", N=2)
    graph.node("count", "Merge", "count/begin", "count/next", dtype="int32", N=2)
    graph.node("less", "Less", "count", "limit", dtype="int32")
    graph.node("goes_on", "LoopCond", "less", T=None)
    graph.node("switch", "Switch", "merge", "goes_on")
    graph.node("count/switch", "Switch", "count", "goes_on", dtype="int32")
    graph.node("inside", "Identity", "count/switch:1", dtype="int32")
    graph.find(graph.constant("one", 1, "int32")).input.append("^inside")
    graph.find(graph.constant("w", np.linspace(-1, 1, 20))).input.append("^inside")
    graph.node("count/add", "Add", "inside", "one", dtype="int32")
    graph.node("count/next", "NextIteration", "count/add", dtype="int32")
    graph.node("sum", "Add", "switch:1", "w")
    graph.node("next", "NextIteration", "sum")
    graph.outputs.append(graph.node("out", "Exit", "switch"))

    rewritten = run_rules(graph, "quantize_weights(minimum_size=20)")

    assert rewritten.fired == 1
    for name in rewritten.find("w").input:
        assert list(rewritten.find(name).input) == ["^inside"]
    before, after = (
        compute(message, {"x": np.zeros(20, np.float32)}, ["out"])[0] for message in (graph.message, rewritten.message)
    )
    np.testing.assert_allclose(after, before, atol=3 * 2 / 255)  # Three times one step.


@pytest.mark.parametrize(
    ("array", "dtype"),
    [(np.ones(1023), "float32"), (np.ones(2000), "float64"), (np.ones(2000), "int32")],
    ids=["small", "double", "whole numbers"],
)
def test_says_nothing_about_small_constants_and_other_types(array, dtype, new_graph, run_rules):
    rewritten = run_rules(graph_of(new_graph, array, dtype), "quantize_weights")
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_an_element_is_no_number(new_graph, run_rules):
    rewritten = run_rules(graph_of(new_graph, [np.nan] + [0.0] * 2000), "quantize_weights")
    assert rewritten.refused == {"w": "it has elements that are no finite numbers"}


def test_leaves_alone_when_it_is_fed(new_graph, run_rules):
    graph = graph_of(new_graph, np.ones(2000))
    graph.inputs.append("w")
    assert run_rules(graph, "quantize_weights").refused == {"w": "it is an input of the model"}


def test_leaves_alone_when_the_value_lies_beside_the_graph(new_graph, run_rules):
    graph = graph_of(new_graph, np.zeros(2000))
    graph.find("w").attr["_modelmill_weights"].list.i.extend([64, 8000])
    rewritten = run_rules(graph, "quantize_weights")
    assert rewritten.refused == {"w": "its value lies beside the graph, which is too large to hold it"}
