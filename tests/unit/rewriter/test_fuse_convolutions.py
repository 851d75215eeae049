"""Resizes and mirrored borders into the fused convolutions of TensorFlow on CPUs."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
FUSED = {
    "fuse_pad_and_conv": "FusedPadConv2D",
    "fuse_resize_and_conv": "FusedResizeAndPadConv2D",
    "fuse_resize_pad_and_conv": "FusedResizeAndPadConv2D",
}


def net(graph, generator, rule, mode=b"REFLECT", align=False, dtype="float32", half=False, paddings="int32", **more):
    graph.placeholder("x", (1, 5, 6, 2), dtype)
    last = "x"
    if "resize" in rule:
        graph.constant("size", [7, 9], "int32")
        last = graph.node(
            "resized", "ResizeBilinear", last, "size", dtype=dtype, align_corners=align, half_pixel_centers=half
        )
    if "pad" in rule:
        graph.constant("border", [[0, 0], [1, 2], [2, 1], [0, 0]], paddings)
        last = graph.node("padded", "MirrorPad", last, "border", Tpaddings=paddings, mode=mode)
    graph.constant("w", generator.normal(size=(3, 3, 2, 3)))
    given = {"strides": (1, 1, 1, 1), "padding": b"VALID", **more}
    graph.outputs.append(graph.node("y", "Conv2D", last, "w", **given))
    return graph


@SETTINGS
@given(
    rule=st.sampled_from(sorted(FUSED)),
    mode=st.sampled_from([b"REFLECT", b"SYMMETRIC"]),
    align=st.booleans(),
    stride=st.integers(1, 2),
    padding=st.sampled_from([b"SAME", b"VALID"]),
)
def test_one_operation_computes_the_same(new_graph, run_rules, compute, rule, mode, align, stride, padding):
    generator = np.random.default_rng(3)
    graph = net(new_graph(), generator, rule, mode, align, strides=(1, stride, stride, 1), padding=padding)
    rewritten = run_rules(graph, rule)
    assert [item for item in rewritten.operations if item not in ("Const", "Placeholder")] == [FUSED[rule]]
    feeds = {"x": generator.normal(size=(1, 5, 6, 2)).astype(np.float32)}
    before, after = compute(graph.message, feeds, ["y"])[0], compute(rewritten.message, feeds, ["y"])[0]
    # The same sums by another kernel.
    np.testing.assert_allclose(after, before, rtol=0, atol=5e-6 * np.abs(before).max())


@pytest.mark.parametrize("rule", sorted(FUSED))
def test_the_group_fuses_each(graph, run_rules, rule):
    rewritten = run_rules(net(graph, np.random.default_rng(0), rule), "fuse_convolutions")
    assert [item for item in rewritten.operations if item not in ("Const", "Placeholder")] == [FUSED[rule]]


@pytest.mark.parametrize("rule", sorted(FUSED))
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"data_format": b"NCHW"}, "it has its channels first"),
        ({"dilations": (1, 2, 2, 1)}, "it has dilations"),
        ({"padding": b"EXPLICIT"}, "it has explicit paddings"),
    ],
)
def test_leaves_alone_what_the_fused_operations_do_not_know(graph, run_rules, rule, more, reason):
    assert run_rules(net(graph, np.random.default_rng(0), rule, **more), rule).refused == {"y": reason}


def test_leaves_alone_a_convolution_of_another_type(graph, run_rules):
    graph = net(graph, np.random.default_rng(0), "fuse_pad_and_conv")
    graph.find("y").attr["T"].type = 3
    assert run_rules(graph, "fuse_pad_and_conv").refused == {"y": "it computes int32"}


def test_leaves_alone_when_paddings_are_of_another_type(graph, run_rules):
    graph = net(graph, np.random.default_rng(0), "fuse_pad_and_conv", paddings="int64")
    assert run_rules(graph, "fuse_pad_and_conv").refused == {"y": "its paddings are not of type int32"}


@pytest.mark.parametrize("rule", ["fuse_resize_and_conv", "fuse_resize_pad_and_conv"])
@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"half": True}, "resized resizes by half pixels"),
        ({"dtype": "uint8"}, "resized reads another type than the convolution"),
    ],
)
def test_leaves_alone_a_resize_that_is_not_fused(graph, run_rules, rule, more, reason):
    assert run_rules(net(graph, np.random.default_rng(0), rule, **more), rule).refused == {"y": reason}
