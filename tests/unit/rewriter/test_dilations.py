"""Dilated convolutions over blocks in the batch: with their dilations again, or with zeros in their filters."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_rewriter.rules_api import Target

SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
RULES = ["restore_dilations", "flatten_atrous_conv"]
#: Relative to the largest output: sums of some dozens of products in another order.
TOLERANCES = {"float32": 2e-6, "float64": 1e-13}


def atrous(
    graph,
    generator,
    *,
    kind="Conv2D",
    block=(2, 2),
    size=(3, 3),
    image=(9, 7),
    pads="SAME",
    own=b"VALID",
    bias=False,
    dtype="float32",
):
    """A convolution in blocks. pads: SAME, VALID, or what to pad before rows and columns; the rest fills the blocks."""
    graph.placeholder("x", (2, *image, 3), dtype)
    paddings, crops = [], []
    for axis, rate in enumerate(block):
        reach = (size[axis] - 1) * rate
        before, after = (reach // 2, reach - reach // 2) if pads == "SAME" else (0, 0)
        if pads not in ("SAME", "VALID"):
            before = pads[axis]
        fill = -(image[axis] + before + after) % rate
        paddings.append([before, after + fill])
        crops.append([0, fill])
    graph.constant("block", block, "int32")
    graph.constant("paddings", paddings, "int32")
    graph.constant("crops", crops, "int32")
    graph.constant("w", generator.normal(size=(*size, 3, 2 if kind != "Conv2D" else 4)), dtype)
    types = {"Tblock_shape": "int32", "dtype": dtype}
    last = graph.node("blocks", "SpaceToBatchND", "x", "block", "paddings", Tpaddings="int32", **types)
    last = graph.node("conv", kind, last, "w", strides=(1, 1, 1, 1), padding=own, dtype=dtype)
    if bias:
        graph.constant("b", generator.normal(size=6 if kind != "Conv2D" else 4), dtype)
        last = graph.node("biased", "BiasAdd", last, "b", dtype=dtype)
    graph.outputs.append(graph.node("y", "BatchToSpaceND", last, "block", "crops", Tcrops="int32", **types))
    return graph


def operations(rewritten):
    return [item for item in rewritten.operations if item not in ("Const", "Placeholder")]


@SETTINGS
@given(
    rule=st.sampled_from(RULES),
    block=st.sampled_from([(2, 2), (3, 2), (1, 4), (2,), (3,)]),
    size=st.sampled_from([(3, 3), (1, 3), (2, 4), (5, 1)]),
    image=st.sampled_from([(9, 7), (12, 12), (11, 16)]),
    pads=st.sampled_from(["SAME", "VALID", (1, 5), (7, 0)]),
    own=st.sampled_from([b"SAME", b"VALID"]),
    kind=st.sampled_from(["Conv2D", "DepthwiseConv2dNative"]),
    bias=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 999),
)
def test_computes_the_same(new_graph, run_rules, compute, rule, kind, dtype, seed, **more):
    if rule == "restore_dilations":
        kind = "Conv2D"  # no TensorFlow of before 2.9 can tell what a dilated depthwise convolution is
    generator = np.random.default_rng(seed)
    image, block, size = more["image"], more["block"], more["size"]
    if more["own"] == b"VALID" and any(
        length < (reach - 1) * (*block, 1)[axis] + 1 for axis, (length, reach) in enumerate(zip(image, size))
    ):
        more["pads"] = "SAME"
    graph = atrous(new_graph(), generator, kind=kind, dtype=dtype, **more)
    rewritten = run_rules(graph, rule)
    kept = operations(rewritten)
    assert [item for item in kept if item != "Pad"] == [kind] + (["BiasAdd"] if more["bias"] else [])
    if more["own"] == b"VALID" and (more["pads"] == "VALID" or (more["pads"] == "SAME" and len(block) == 2)):
        assert "Pad" not in kept
    feeds = {"x": generator.normal(size=(2, *image, 3)).astype(dtype)}
    old, new = (compute(message, feeds, ["y"])[0] for message in (graph.message, rewritten.message))
    assert old.shape == new.shape
    np.testing.assert_allclose(new, old, rtol=0, atol=TOLERANCES[dtype] * np.abs(old).max())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("pads", "padding"), [("SAME", b"SAME"), ("VALID", b"VALID")])
def test_pads_by_name_where_that_pads_as_much(graph, run_rules, rule, pads, padding):
    rewritten = run_rules(atrous(graph, np.random.default_rng(0), pads=pads), rule)
    assert operations(rewritten) == ["Conv2D"]
    node = rewritten.find("y")
    assert node.attr["padding"].s == padding
    filters = rewritten.index.shape(rewritten.index.data_inputs("y")[1])
    if rule == "restore_dilations":
        assert (list(node.attr["dilations"].list.i), filters) == ([1, 2, 2, 1], (3, 3, 3, 4))
    else:
        assert filters == (5, 5, 3, 4)


def test_dilates_a_depthwise_convolution_where_that_is_computed(graph, run_rules):
    atrous(graph, np.random.default_rng(0), kind="DepthwiseConv2dNative")
    assert operations(run_rules(graph, "restore_dilations")) == ["DepthwiseConv2dNative"]
    assert run_rules(graph, "restore_dilations", target=Target("tflite", (2, 4))).refused == {
        "y": "TensorFlow before 2.9 computes no dilated DepthwiseConv2dNative"
    }


def test_leaves_alone_when_tensorflow_dilates_nothing(graph, run_rules):
    atrous(graph, np.random.default_rng(0))
    assert run_rules(graph, "restore_dilations", target=Target("tflite", (1, 6))).refused == {
        "y": "TensorFlow before 1.7 computes no dilated Conv2D"
    }


def test_shares_nothing_with_who_reads_the_same_filter(graph, run_rules):
    atrous(graph, np.random.default_rng(0))
    graph.outputs.append(graph.node("z", "Conv2D", "x", "w", strides=(1, 1, 1, 1), padding=b"SAME"))
    rewritten = run_rules(graph, "flatten_atrous_conv")
    assert rewritten.fired == 1
    assert list(rewritten.find("z").input) == ["x", "w"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"strides": (1, 2, 2, 1)}, "conv has strides, which skip rows within a block"),
        ({"dilations": (1, 2, 2, 1)}, "conv is dilated itself"),
        ({"data_format": b"NCHW"}, "conv has its channels before rows and columns, which were made blocks of"),
        ({"padding": b"EXPLICIT"}, "conv has explicit paddings"),
    ],
)
def test_leaves_alone_when_the_convolution_is_no_plain_one(graph, run_rules, rule, change, reason):
    atrous(graph, np.random.default_rng(0))
    node = graph.find("conv")
    for key, value in change.items():
        node.attr[key].Clear()
        if isinstance(value, bytes):
            node.attr[key].s = value
        else:
            node.attr[key].list.i.extend(value)
    assert run_rules(graph, rule).refused == {"y": reason}


@pytest.mark.parametrize("rule", RULES)
def test_leaves_alone_when_blocks_depend_on_the_image(graph, run_rules, rule):
    atrous(graph, np.random.default_rng(0))
    graph.placeholder("fill", (2, 2), "int32")
    graph.find("y").input[2] = "fill"
    assert run_rules(graph, rule).refused == {
        "y": "its blocks depend on the size of the image; fix that with fix_input_shapes, then run fold_constants"
    }


@pytest.mark.parametrize("rule", RULES)
def test_leaves_alone_when_blocks_differ(graph, run_rules, rule):
    atrous(graph, np.random.default_rng(0))
    graph.constant("other", [1, 4], "int32")
    graph.find("y").input[1] = "other"
    assert run_rules(graph, rule).refused == {
        "y": "its blocks and those of blocks are not the same, or not of rows and columns"
    }


@pytest.mark.parametrize("rule", RULES)
def test_leaves_alone_when_it_crops_the_image(graph, run_rules, rule):
    atrous(graph, np.random.default_rng(0), pads="VALID")
    graph.constant("more", [[1, 0], [0, 0]], "int32")
    graph.find("y").input[2] = "more"
    assert run_rules(graph, rule).refused == {"y": "it leaves out more of the image than was padded"}


@pytest.mark.parametrize("rule", RULES)
def test_leaves_alone_when_the_size_of_the_filter_is_not_known(graph, run_rules, rule):
    atrous(graph, np.random.default_rng(0))
    graph.placeholder("filter", (-1, 3, 3, 4))
    graph.find("conv").input[1] = "filter"
    assert run_rules(graph, rule).refused == {"y": "the size of the filter of conv is not known"}


def test_leaves_a_computed_filter_without_zeros(graph, run_rules):
    atrous(graph, np.random.default_rng(0))
    graph.placeholder("filter", (3, 3, 3, 4))
    graph.find("conv").input[1] = "filter"
    assert run_rules(graph, "flatten_atrous_conv").refused == {"y": "the filter of conv, filter, is not constant"}
    assert operations(run_rules(graph, "restore_dilations")) == ["Conv2D"]


@pytest.mark.parametrize("rule", RULES)
def test_leaves_alone_when_the_blocks_are_read_elsewhere(graph, run_rules, rule):
    atrous(graph, np.random.default_rng(0))
    graph.outputs.append(graph.node("z", "Relu", "conv"))
    assert run_rules(graph, rule).refused == {"y": "its part 'conv' is also used elsewhere"}
