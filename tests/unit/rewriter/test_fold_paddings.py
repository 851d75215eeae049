"""Borders of zeros, into the padding of convolutions."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_rewriter.rules_api import Target

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
#: Relative to the largest output: sums of some dozens of products in another order.
TOLERANCE = 2e-6


def padded(graph, generator, pads, *, kind="Conv2D", image=(7, 8), size=(3, 3), stride=1, rate=1, first=False):
    """A convolution of a padded image. pads: of rows and columns, before and after; first: channels come first."""
    depth = (3,) if kind == "Conv3D" else ()
    filters = 2 if kind == "DepthwiseConv2dNative" else 4
    layers = [(0, 0)] if kind == "Conv3D" else []
    across = [*layers, *pads]
    graph.placeholder("x", (2, 3, *depth, *image) if first else (2, *depth, *image, 3))
    graph.constant("pads", [(0, 0), (0, 0), *across] if first else [(0, 0), *across, (0, 0)], "int32")
    graph.constant("w", generator.normal(size=((1,) if kind == "Conv3D" else ()) + (*size, 3, filters)))
    graph.node("padded", "Pad", "x", "pads", Tpaddings="int32")
    ones = (1,) if kind == "Conv3D" else ()
    more = {"data_format": b"NCHW"} if first else {}
    if rate != 1:
        more["dilations"] = (1, 1, rate, rate) if first else (1, rate, rate, 1)
    strides = (1, 1, stride, stride) if first else (1, *ones, stride, stride, 1)
    graph.outputs.append(graph.node("y", kind, "padded", "w", strides=strides, padding=b"VALID", **more))
    return graph


def as_same(length, reach, stride):
    """What SAME pads, before and after."""
    needed = max((-(-length // stride) - 1) * stride + reach - length, 0)
    return needed // 2, needed - needed // 2


def assert_computes_the_same(compute, graph, rewritten, generator):
    shape = [dim.size for dim in graph.find("x").attr["shape"].shape.dim]
    feeds = {"x": generator.normal(size=shape).astype(np.float32)}
    old, new = (compute(message, feeds, ["y"])[0] for message in (graph.message, rewritten.message))
    assert old.shape == new.shape
    np.testing.assert_allclose(new, old, rtol=0, atol=TOLERANCE * np.abs(old).max())


@SETTINGS
@given(
    kind=st.sampled_from(["Conv2D", "DepthwiseConv2dNative"]),
    image=st.sampled_from([(7, 8), (6, 6), (9, 5)]),
    size=st.sampled_from([(3, 3), (2, 5), (1, 4)]),
    stride=st.sampled_from([1, 2, 3]),
    first=st.booleans(),
    seed=st.integers(0, 999),
)
def test_becomes_same_where_that_pads_as_much(new_graph, run_rules, compute, image, size, stride, seed, kind, first):
    graph, generator = new_graph(), np.random.default_rng(seed)
    pads = [as_same(length, reach, stride) for length, reach in zip(image, size)]
    padded(graph, generator, pads, kind=kind, image=image, size=size, stride=stride, first=first)
    rewritten = run_rules(graph, "fold_paddings")
    assert "Pad" not in rewritten.operations
    assert rewritten.find("y").attr["padding"].s == b"SAME"
    if not first:  # which TensorFlow has no kernels for
        assert_computes_the_same(compute, graph, rewritten, generator)


@SETTINGS
@given(
    pads=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=2),
    image=st.sampled_from([(7, 8), (6, 6), (9, 5)]),
    size=st.sampled_from([(3, 3), (2, 5), (1, 1)]),
    stride=st.sampled_from([1, 2, 3]),
    rate=st.sampled_from([1, 2]),
    explicit=st.booleans(),
    seed=st.integers(0, 999),
)
def test_computes_the_same_whatever_is_padded(
    new_graph, run_rules, compute, pads, image, size, stride, rate, explicit, seed
):
    graph, generator = new_graph(), np.random.default_rng(seed)
    reaches = [(length - 1) * rate + 1 for length in size]
    if any(length + sum(pair) < reach for length, pair, reach in zip(image, pads, reaches)) or (rate > 1 < stride):
        return  # no result, or what TensorFlow does not compute
    padded(graph, generator, pads, image=image, size=size, stride=stride, rate=rate)
    rewritten = run_rules(graph, f"fold_paddings(explicit={str(explicit).lower()})")
    assert not explicit or "Pad" not in rewritten.operations
    assert (rewritten.fired == 1) is ("Pad" not in rewritten.operations)
    assert_computes_the_same(compute, graph, rewritten, generator)


def test_zeros_that_no_window_reads_count_for_nothing(graph, run_rules, compute):
    """As PyTorch's exporters pad: (1, 1) before a filter of 3 with a stride of 2, where SAME pads (1, 1) or (0, 1)."""
    generator = np.random.default_rng(0)
    padded(graph, generator, [(1, 1), (1, 2)], image=(7, 7), stride=2)
    rewritten = run_rules(graph, "fold_paddings")
    assert rewritten.find("y").attr["padding"].s == b"SAME"
    assert_computes_the_same(compute, graph, rewritten, generator)


def test_images_of_any_size_where_the_stride_is_one(graph, run_rules):
    padded(graph, np.random.default_rng(0), [(1, 1), (1, 1)], image=(-1, -1))
    assert run_rules(graph, "fold_paddings").fired == 1


def test_three_dimensions(graph, run_rules, compute):
    generator = np.random.default_rng(0)
    padded(graph, generator, [(1, 1), (1, 1)], kind="Conv3D")
    rewritten = run_rules(graph, "fold_paddings")
    assert rewritten.find("y").attr["padding"].s == b"SAME"
    assert_computes_the_same(compute, graph, rewritten, generator)


def test_a_border_that_is_read_elsewhere_stays_for_that(graph, run_rules):
    padded(graph, np.random.default_rng(0), [(1, 1), (1, 1)])
    graph.outputs.append(graph.node("z", "Relu", "padded"))
    rewritten = run_rules(graph, "fold_paddings")
    assert (list(rewritten.find("y").input), list(rewritten.find("z").input)) == (["x", "w"], ["padded"])


def test_explicit_paddings_add_up(graph, run_rules):
    padded(graph, np.random.default_rng(0), [(1, 0), (2, 3)])
    node = graph.find("y")
    node.attr["padding"].s = b"EXPLICIT"
    node.attr["explicit_paddings"].list.i.extend([0, 0, 1, 1, 0, 2, 0, 0])
    rewritten = run_rules(graph, "fold_paddings(explicit=true)")
    assert list(rewritten.find("y").attr["explicit_paddings"].list.i) == [0, 0, 2, 1, 2, 5, 0, 0]


@pytest.mark.parametrize(("fill", "fired"), [(0.0, 1), (1.0, 0)])
def test_leaves_alone_when_it_pads_with_something_else(graph, run_rules, fill, fired):
    padded(graph, np.random.default_rng(0), [(1, 1), (1, 1)])
    graph.constant("fill", fill)
    graph.find("padded").op = "PadV2"
    graph.find("padded").input.append("fill")
    rewritten = run_rules(graph, "fold_paddings")
    assert rewritten.fired == fired
    assert rewritten.refused == ({} if fired else {"y": "padded pads with something else than zeros"})


def test_leaves_alone_when_paddings_are_computed(graph, run_rules):
    padded(graph, np.random.default_rng(0), [(1, 1), (1, 1)])
    graph.placeholder("live", (4, 2), "int32")
    graph.find("padded").input[1] = "live"
    assert run_rules(graph, "fold_paddings").refused == {"y": "how much padded pads is not constant"}


def test_leaves_alone_when_channels_are_padded(graph, run_rules):
    padded(graph, np.random.default_rng(0), [(1, 1), (1, 1)])
    graph.constant("more", [[0, 0], [1, 1], [1, 1], [0, 1]], "int32")
    graph.find("padded").input[1] = "more"
    assert run_rules(graph, "fold_paddings").refused == {"y": "padded pads the batch or the channels"}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"pads": [(2, 2), (1, 1)]}, "its border is [(2, 2), (1, 1)], and SAME would add [(1, 1), (1, 1)]"),
        (
            {"pads": [(1, 1), (1, 1)], "image": (6, 6), "stride": 2},
            "its border is [(1, 1), (1, 1)], and SAME would add [(0, 1), (0, 1)]",
        ),
        (
            {"pads": [(1, 1), (1, 1)], "image": (-1, 8), "stride": 2},
            "how large the image is, is not known, on which the border of SAME depends",
        ),
    ],
)
def test_leaves_alone_when_same_pads_otherwise(graph, run_rules, more, reason):
    padded(graph, np.random.default_rng(0), **more)
    assert run_rules(graph, "fold_paddings").refused == {"y": reason}


def test_leaves_alone_when_the_filter_has_no_known_size(graph, run_rules):
    padded(graph, np.random.default_rng(0), [(1, 1), (1, 1)])
    graph.placeholder("filter", (-1, 3, 3, 4))
    graph.find("y").input[1] = "filter"
    assert run_rules(graph, "fold_paddings").refused == {"y": "the size of its filter is not known"}


def test_leaves_alone_when_the_convolution_has_a_border_of_its_own(graph, run_rules):
    padded(graph, np.random.default_rng(0), [(1, 1), (1, 1)])
    graph.find("y").attr["padding"].s = b"SAME"
    assert run_rules(graph, "fold_paddings").refused == {"y": "it adds a border of its own to that of padded"}


@pytest.mark.parametrize(
    ("kind", "version", "reason"),
    [
        ("Conv2D", (1, 13), "TensorFlow before 1.14 knows no explicit paddings of Conv2D"),
        (
            "DepthwiseConv2dNative",
            (2, 3),
            "TensorFlow before 2.4 knows no explicit paddings of DepthwiseConv2dNative",
        ),
        ("Conv3D", (2, 15), "Conv3D knows no explicit paddings"),
    ],
)
def test_leaves_alone_when_explicit_paddings_are_not_known(graph, run_rules, kind, version, reason):
    padded(graph, np.random.default_rng(0), [(2, 2), (1, 1)], kind=kind)
    assert run_rules(graph, "fold_paddings(explicit=true)", target=Target("", version)).refused == {"y": reason}


def test_leaves_alone_when_the_convolution_pads_by_same(graph, run_rules):
    padded(graph, np.random.default_rng(0), [(2, 2), (1, 1)])
    graph.find("y").attr["padding"].s = b"SAME"
    assert run_rules(graph, "fold_paddings(explicit=true)").refused == {
        "y": "it pads by SAME itself, as much as it takes for the padded image"
    }
