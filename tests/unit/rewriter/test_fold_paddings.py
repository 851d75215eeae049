"""Borders of zeros into convolutions that add them themselves."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def net(graph, generator, size=(5, 6), kernel=(3, 3), stride=1, border=None, kind="Conv2D", pad="Pad", **more):
    """A Pad with the border that SAME would add, where none is told, and a convolution."""
    shape = (1, *size, 2) if size else (1, -1, -1, 2)
    graph.placeholder("x", shape)
    if border is None:
        border = [[0, 0], *(same(length, extent, stride) for length, extent in zip(size or (1, 1), kernel)), [0, 0]]
    graph.constant("border", border, "int32")
    graph.constant("value", 0.0)
    read = ("x", "border", "value") if pad == "PadV2" else ("x", "border")
    graph.node("padded", pad, *read, Tpaddings="int32")
    graph.constant("w", generator.normal(size=(*kernel, 2, 3)))
    given = {"strides": (1, stride, stride, 1), "padding": b"VALID", **more}
    graph.outputs.append(graph.node("y", kind, "padded", "w", **given))
    return graph


def same(length, extent, stride):
    total = max((-(-length // stride) - 1) * stride + extent - length, 0)
    return [total // 2, total - total // 2]


@SETTINGS
@given(
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    kind=st.sampled_from(["Conv2D", "DepthwiseConv2dNative"]),
    pad=st.sampled_from(["Pad", "PadV2"]),
)
def test_folds_the_border_that_same_adds(new_graph, run_rules, compute, size, kernel, stride, kind, pad):
    generator = np.random.default_rng(1)
    graph = net(new_graph(), generator, size, kernel, stride, kind=kind, pad=pad)
    rewritten = run_rules(graph, "fold_paddings")
    assert pad not in rewritten.operations
    feeds = {"x": generator.normal(size=(1, *size, 2)).astype(np.float32)}
    before, after = compute(graph.message, feeds, ["y"])[0], compute(rewritten.message, feeds, ["y"])[0]
    # The same products, of which kernels may leave out those with zeros: sums in another order.
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-6 * np.abs(before).max())


def test_an_unknown_size_does_not_matter_at_a_stride_of_one(graph, run_rules):
    rewritten = run_rules(
        net(graph, np.random.default_rng(0), None, border=[[0, 0], [1, 1], [1, 1], [0, 0]]), "fold_paddings"
    )
    assert rewritten.find("y").attr["padding"].s == b"SAME"


BORDER = [[0, 0], [1, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"padding": b"SAME"}, "it adds a border of its own to that of padded"),
        (
            {"border": [[0, 0], [2, 2], [1, 1], [0, 0]]},
            "its border is [[2, 2], [1, 1]], and SAME would add [[1, 1], [1, 1]]",
        ),
        ({"border": [[0, 0], [1, 1], [1, 1], [0, 2]]}, "padded adds to the batch or the channels"),
        (
            {"size": None, "stride": 2, "border": BORDER},
            "how large the image is, is not known, on which the border of SAME depends",
        ),
        (
            {"size": (6, 6), "stride": 2, "border": BORDER},
            "its border is [[1, 1], [1, 1]], and SAME would add [[0, 1], [0, 1]]",
        ),
    ],
)
def test_leaves_alone_when_same_is_another_border(graph, run_rules, more, reason):
    given_border = {"border": BORDER, **more}
    assert run_rules(net(graph, np.random.default_rng(0), **given_border), "fold_paddings").refused == {"y": reason}


def test_leaves_alone_when_the_border_is_fed(graph, run_rules):
    net(graph, np.random.default_rng(0))
    graph.placeholder("live", (4, 2), "int32")
    graph.find("padded").input[1] = "live"
    assert run_rules(graph, "fold_paddings").refused == {
        "y": "the border of padded, or the size of its filter, is not constant"
    }


def test_leaves_alone_when_the_border_is_not_of_zeros(graph, run_rules):
    net(graph, np.random.default_rng(0), pad="PadV2")
    graph.find("value").attr["value"].tensor.ClearField("tensor_content")
    graph.find("value").attr["value"].tensor.float_val[:] = [1.0]
    rewritten = run_rules(graph, "fold_paddings")
    assert (rewritten.fired, rewritten.refused) == (0, {})
