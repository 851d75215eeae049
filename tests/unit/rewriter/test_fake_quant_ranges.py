"""The range that a fake quantisation really has is the one that TensorFlow's own operation makes of it."""

import numpy as np
import pytest
from hypothesis import given, strategies
from modelmill_rewriter.rules.quantization._about_fake_quant import nudged, range_of
from modelmill_rewriter.rules_api import GraphIndex
from modelmill_worker import installed_tensorflow

LOWS = strategies.floats(-100, 0.5, width=32)
WIDTHS = strategies.floats(0.0625, 100, width=32)


@pytest.fixture(scope="module")
def by_tensorflow():
    """What TensorFlow lets through of numbers, for a range, bits and whether it is narrow."""
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    v1 = installed_tensorflow.v1()
    with tf.Graph().as_default():
        ends = v1.placeholder(tf.float32, [2])
        numbers = v1.placeholder(tf.float32, [None])
        made = {
            (bits, narrow): tf.quantization.fake_quant_with_min_max_vars(numbers, ends[0], ends[1], bits, narrow)
            for bits in (4, 8)
            for narrow in (False, True)
        }
        with v1.Session() as session:
            yield lambda x, low, high, *kind: session.run(made[kind], {numbers: x, ends: [low, high]})


@given(low=LOWS, width=WIDTHS, bits=strategies.sampled_from([4, 8]), narrow=strategies.booleans())
def test_agrees_with_tensorflow(by_tensorflow, low, width, bits, narrow):
    high = np.float32(low + width)
    span = nudged(low, high, bits, narrow)
    found = by_tensorflow([-1e6, 1e6, 0.0], low, high, bits, narrow)
    np.testing.assert_allclose(found, [span.low, span.high, 0], rtol=1e-6, atol=1e-6 * width)


@given(low=LOWS, width=WIDTHS)
def test_the_kernel_of_these_tests_agrees_with_tensorflow(by_tensorflow, new_graph, compute, low, width):
    graph = new_graph()
    graph.placeholder("x", (-1,))
    graph.constant("low", low)
    graph.constant("high", np.float32(low + width))
    graph.node("y", "FakeQuantWithMinMaxVars", "x", "low", "high", T=None)
    x = np.random.default_rng(3).uniform(-130, 130, 53).astype(np.float32)
    found = compute(graph.message, {"x": x}, ["y"])[0]
    wanted = by_tensorflow(x, low, np.float32(low + width), 8, False)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * (width + abs(low)))


def test_symmetric_ranges_have_0_on_one_side_of_the_middle():
    span = nudged(-4.0, 4.0)
    assert (span.low, span.high) == pytest.approx((-127 * 8 / 255, 128 * 8 / 255))
    assert span.lets_through(0.0)
    assert not span.lets_through(4.0)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_there_are_no_empty_ranges(low, high):
    assert nudged(low, high) is None


def test_attributes_that_are_left_out_have_their_defaults(graph):
    graph.placeholder("x", (1,))
    graph.node("y", "FakeQuantWithMinMaxArgs", "x", T=None)
    graph.outputs = ["y"]
    span = range_of(GraphIndex(graph.message, graph.interface), "y")
    assert (span.low, span.high) == pytest.approx((-6, 6), abs=0.03)
    assert (span.bits, span.narrow) == (8, False)
