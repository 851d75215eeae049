"""Folding against TensorFlow 1's own TransformGraph: no more nodes, and the same numbers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linear_nets import add_linear, feeds, random
from modelmill_worker import graph_def

SETTINGS = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
#: Relative to the range of the output.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def transform_graph():
    tool = pytest.importorskip("tensorflow.tools.graph_transforms", reason="needs the tool, of TensorFlow before 2.0")
    return lambda graph, rule: tool.TransformGraph(graph_def.copy(graph.message), graph.inputs, graph.outputs, [rule])


def require_as_good(graph, rule, generator, run_rules, compute, transform_graph):
    """Ours has no more nodes than theirs, and all three compute the same."""
    theirs, ours = transform_graph(graph, rule), run_rules(graph, rule)
    assert ours.fired > 0
    assert len(ours.names) <= len(theirs.node)
    given_feeds = feeds(graph, generator)
    before, wanted, found = (
        compute(message, given_feeds, graph.outputs)[0] for message in (graph.message, theirs, ours.message)
    )
    span = before.max() - before.min()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * span)
    np.testing.assert_allclose(found, before, rtol=0, atol=TOLERANCE * span)


def statistics(graph, generator, count):
    for name in ("gamma", "beta", "mean"):
        graph.constant(name, random(generator, count))
    graph.constant("variance", generator.uniform(0.1, 2, count))


def normalise(graph, operation, last):
    if operation == "FusedBatchNorm":
        read = ("gamma", "beta", "mean", "variance")
        return graph.node("norm", operation, last, *read, epsilon=0.001, is_training=False)
    read = ("mean", "variance", "beta", "gamma")
    return graph.node("norm", operation, last, *read, variance_epsilon=0.001, scale_after_normalization=True)


@SETTINGS
@given(kind=st.sampled_from(["Conv2D", "DepthwiseConv2dNative", "MatMul"]), seed=st.integers(0, 999))
def test_factors(new_graph, run_rules, compute, transform_graph, kind, seed):
    graph, generator = new_graph(), np.random.default_rng(seed)
    channels, _ = add_linear(graph, kind, generator)
    graph.constant("factor", random(generator, channels))
    graph.outputs.append(graph.node("y", "Mul", "linear", "factor"))
    require_as_good(graph, "fold_batch_norms", generator, run_rules, compute, transform_graph)


@SETTINGS
@given(operation=st.sampled_from(["FusedBatchNorm", "BatchNormWithGlobalNormalization"]), seed=st.integers(0, 999))
def test_normalisations(new_graph, run_rules, compute, transform_graph, operation, seed):
    graph, generator = new_graph(), np.random.default_rng(seed)
    statistics(graph, generator, add_linear(graph, "Conv2D", generator)[0])
    graph.outputs.append(normalise(graph, operation, "linear"))
    require_as_good(graph, "fold_old_batch_norms", generator, run_rules, compute, transform_graph)


@SETTINGS
@given(
    operation=st.sampled_from(["FusedBatchNorm", "BatchNormWithGlobalNormalization"]),
    axis=st.sampled_from([0, 1, 2, 3]),
    seed=st.integers(0, 999),
)
def test_normalisations_of_two(new_graph, run_rules, compute, transform_graph, operation, axis, seed):
    graph, generator = new_graph(), np.random.default_rng(seed)
    channels, _ = add_linear(graph, "Conv2D", generator)
    graph.constant("w2", random(generator, 3, 3, 3, channels))
    graph.node("bent", "Tanh", "x")  # where both read the same, the tool writes that twice
    graph.node("other", "Conv2D", "bent", "w2", strides=(1, 1, 1, 1), padding=b"SAME")
    graph.constant("axis", axis, "int32")
    graph.node("both", "ConcatV2", "linear", "other", "axis", N=2, Tidx="int32")
    statistics(graph, generator, 2 * channels if axis == 3 else channels)
    graph.outputs.append(normalise(graph, operation, "both"))
    require_as_good(graph, "fold_old_batch_norms", generator, run_rules, compute, transform_graph)


def in_blocks(graph, generator, kind="Conv2D"):
    """A dilated convolution that pads as SAME does, over blocks in the batch; gives the number of channels."""
    graph.placeholder("x", (2, 6, 8, 3))
    graph.constant("w", random(generator, 3, 3, 3, 4))
    graph.constant("block", [2, 2], "int32")
    graph.constant("paddings", [[2, 2], [2, 2]], "int32")
    graph.constant("crops", [[0, 0], [0, 0]], "int32")
    types = {"Tblock_shape": "int32"}
    graph.node("blocks", "SpaceToBatchND", "x", "block", "paddings", Tpaddings="int32", **types)
    graph.node("conv", kind, "blocks", "w", strides=(1, 1, 1, 1), padding=b"VALID", data_format=b"NHWC")
    if kind == "Conv2D":  # the tool copies attributes that it takes to be there
        graph.find("conv").attr["use_cudnn_on_gpu"].b = True
    graph.node("image", "BatchToSpaceND", "conv", "block", "crops", Tcrops="int32", **types)
    return 4 if kind == "Conv2D" else 12


@SETTINGS
@given(operation=st.sampled_from(["FusedBatchNorm", "BatchNormWithGlobalNormalization"]), seed=st.integers(0, 999))
def test_normalisations_behind_blocks(new_graph, run_rules, compute, transform_graph, operation, seed):
    graph, generator = new_graph(), np.random.default_rng(seed)
    statistics(graph, generator, in_blocks(graph, generator))
    graph.outputs.append(normalise(graph, operation, "image"))
    require_as_good(graph, "fold_old_batch_norms", generator, run_rules, compute, transform_graph)


@SETTINGS
@given(kind=st.sampled_from(["Conv2D", "DepthwiseConv2dNative"]), seed=st.integers(0, 999))
def test_dilated_convolutions(new_graph, run_rules, compute, transform_graph, kind, seed):
    graph, generator = new_graph(), np.random.default_rng(seed)
    in_blocks(graph, generator, kind)
    graph.outputs.append(graph.node("y", "Relu", "image"))
    require_as_good(graph, "flatten_atrous_conv", generator, run_rules, compute, transform_graph)


FUSED = {
    "fuse_resize_pad_and_conv": (True, True),
    "fuse_resize_and_conv": (True, False),
    "fuse_pad_and_conv": (False, True),
}


@pytest.mark.parametrize("rule", sorted(FUSED))
def test_fused_convolutions(graph, run_rules, compute, transform_graph, rule):
    """They are the nodes that the tool writes."""
    resize, pad = FUSED[rule]
    generator = np.random.default_rng(0)
    last = graph.placeholder("x", (1, 6, 7, 3))
    if resize:
        graph.constant("size", [9, 10], "int32")
        last = graph.node("resized", "ResizeBilinear", last, "size", align_corners=True)
    if pad:
        graph.constant("pads", [[0, 0], [1, 2], [2, 0], [0, 0]], "int32")
        last = graph.node("mirrored", "MirrorPad", last, "pads", mode=b"SYMMETRIC", Tpaddings="int32")
    graph.constant("w", random(generator, 3, 3, 3, 4))
    graph.outputs.append(graph.node("y", "Conv2D", last, "w", strides=(1, 2, 2, 1), padding=b"SAME"))
    require_as_good(graph, rule, generator, run_rules, compute, transform_graph)
    wanted = next(node for node in transform_graph(graph, rule).node if node.name == "y")
    found = run_rules(graph, rule).find("y")
    assert found.op == wanted.op
    for key in wanted.attr:
        assert found.attr[key].SerializeToString() == wanted.attr[key].SerializeToString()
    if rule != "fuse_resize_and_conv":  # whose border of no width has a name of its own
        assert list(found.input) == list(wanted.input)
