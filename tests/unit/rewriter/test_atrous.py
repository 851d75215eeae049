"""Convolutions with holes: spelt over batches, with zeros in the filter, and with dilations."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SETTINGS = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
RULES = ("flatten_atrous_conv", "restore_dilations")


def net(graph, generator, kind="Conv2D", size=(7, 9), kernel=(3, 3), apart=(2, 2), padding=b"SAME", **more):
    """As tf.nn.convolution writes it: the border of the padding, and what makes the sizes divide."""
    graph.placeholder("x", (1, *size, 2))
    border, crops = [], []
    for length, extent, step in zip(size, kernel, apart):
        total = (extent - 1) * step if padding == b"SAME" else 0
        before, after = total // 2, total - total // 2
        extra = -(length + total) % step
        border.append([before, after + extra])
        crops.append([0, extra])
    graph.constant("block", list(apart), "int32")
    graph.constant("border", more.pop("border", border), "int32")
    graph.constant("crops", crops, "int32")
    graph.node("spread", "SpaceToBatchND", "x", "block", "border", Tblock_shape="int32", Tpaddings="int32")
    graph.constant("w", generator.normal(size=(*kernel, 2, 3)))
    given = {"strides": (1, 1, 1, 1), "padding": b"VALID", **more}
    graph.node("conv", kind, "spread", "w", **given)
    graph.outputs.append(
        graph.node("y", "BatchToSpaceND", "conv", "block", "crops", Tblock_shape="int32", Tcrops="int32")
    )
    return graph


@SETTINGS
@given(
    rule=st.sampled_from(RULES),
    kind=st.sampled_from(["Conv2D", "DepthwiseConv2dNative"]),
    size=st.tuples(st.integers(7, 10), st.integers(7, 10)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    apart=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.sampled_from([b"SAME", b"VALID"]),
)
def test_one_convolution_computes_the_same(new_graph, run_rules, compute, rule, kind, size, kernel, apart, padding):
    generator = np.random.default_rng(2)
    graph = net(new_graph(), generator, kind, size, kernel, apart, padding)
    rewritten = run_rules(graph, rule)
    if rule == "restore_dilations" and kind != "Conv2D":
        assert rewritten.refused == {"y": "conv is a DepthwiseConv2dNative, which has no dilations"}
        return
    assert [item for item in rewritten.operations if item not in ("Const", "Placeholder")] == [kind]
    feeds = {"x": generator.normal(size=(1, *size, 2)).astype(np.float32)}
    before, after = compute(graph.message, feeds, ["y"])[0], compute(rewritten.message, feeds, ["y"])[0]
    assert before.shape == after.shape
    # The same products and zeros, in sums of another order.
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-6 * np.abs(before).max())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"padding": b"SAME", "strides": (1, 2, 2, 1)}, "conv has a border or strides of its own"),
        ({"dilations": (1, 2, 2, 1)}, "conv has dilations of its own"),
        ({"data_format": b"NCHW"}, "conv has its channels first"),
        ({"border": [[4, 2], [2, 3]]}, "its border is that of neither SAME nor VALID"),
    ],
)
def test_leaves_alone_what_is_another_convolution(graph, run_rules, rule, more, reason):
    assert run_rules(net(graph, np.random.default_rng(0), **more), rule).refused == {"y": reason}


@pytest.mark.parametrize("rule", RULES)
def test_leaves_alone_when_it_is_not_put_together_as_it_was_spread(graph, run_rules, rule):
    net(graph, np.random.default_rng(0))
    graph.constant("other", [2, 1], "int32")
    graph.find("y").input[1] = "other"
    assert run_rules(graph, rule).refused == {"y": "it is not put together as it was spread"}


@pytest.mark.parametrize("rule", RULES)
def test_leaves_alone_when_the_filter_is_fed(graph, run_rules, rule):
    net(graph, np.random.default_rng(0))
    graph.placeholder("live", (3, 3, 2, 3))
    graph.find("conv").input[1] = "live"
    assert run_rules(graph, rule).refused == {"y": "its filter, or how it is spread, is not constant"}


def test_leaves_alone_when_the_converter_knows_no_dilations(graph, run_rules):
    from modelmill_rewriter.rules_api import Target

    rewritten = run_rules(net(graph, np.random.default_rng(0)), "restore_dilations", target=Target("tflite", (1, 5)))
    assert rewritten.refused == {"y": "the TensorFlow that converts the graph knows no dilations"}
