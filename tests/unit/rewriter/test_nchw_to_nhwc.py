"""Channels first to channels last: any network computes the same, and transpositions are left at its ends only.

TensorFlow's CPU kernels refuse NCHW, so the network as it was written is computed with NumPy.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules.shapes.nchw_to_nhwc import NchwToNhwc
from modelmill_rewriter.rules_api import Interface, Target, Tensor
from tflite_of_graphs import Interpreter, convert

NAME = "nchw_to_nhwc"
TO_LAST = (0, 2, 3, 1)


class Network:
    """A network over NCHW images, layer by layer; `shape` is that of the last layer."""

    def __init__(self, graph, shape, dtype="float32", seed=0, declared=None):
        self.graph = graph
        self.random = np.random.default_rng(seed)
        self.dtype = dtype
        self.shape = shape
        self.count = 0
        graph.placeholder("x", declared or shape, dtype)
        self.last = "x"

    def constant(self, label, *shape, positive=False):
        name = self.name(label)
        values = self.random.uniform(0.25, 1.0, shape)
        return self.graph.constant(name, values if positive else values - 0.6, self.dtype)

    def name(self, label):
        self.count += 1
        return f"{label}_{self.count}"

    def put(self, operation, *inputs, **attributes):
        self.last = self.graph.node(self.name(operation), operation, *inputs, dtype=self.dtype, **attributes)
        return self.last

    def numbers(self, label, value, dtype="int32"):
        return self.graph.constant(self.name(label), value, dtype)

    def conv(self, channels, size=3, stride=1, padding=b"SAME"):
        n, c, h, w = self.shape
        filters = self.constant("w", size, size, c, channels)
        strides, data = (1, 1, stride, stride), {"data_format": b"NCHW"}
        self.put("Conv2D", self.last, filters, strides=strides, padding=padding, **data)
        self.shape = (n, channels, -(-h // stride), -(-w // stride))
        if padding == b"VALID":
            self.shape = (n, channels, (h - size) // stride + 1, (w - size) // stride + 1)

    def explicit(self):
        n, c, h, w = self.shape
        filters = self.constant("w", 3, 2, c, c)
        pads = (0, 0, 0, 0, 2, 1, 0, 1)
        given = {"strides": (1, 1, 1, 1), "padding": b"EXPLICIT", "explicit_paddings": pads, "data_format": b"NCHW"}
        self.put("Conv2D", self.last, filters, **given)
        self.shape = (n, c, h + 1, w)

    def depthwise(self):
        n, c, h, w = self.shape
        given = {"strides": (1, 1, 1, 1), "padding": b"SAME", "data_format": b"NCHW"}
        self.put("DepthwiseConv2dNative", self.last, self.constant("w", 3, 3, c, 2), **given)
        self.shape = (n, 2 * c, h, w)

    def bias(self):
        self.put("BiasAdd", self.last, self.constant("b", self.shape[1]), data_format=b"NCHW")

    def normalise(self):
        c = self.shape[1]
        vectors = [self.constant(label, c, positive=label == "variance") for label in ("s", "o", "mean", "variance")]
        given = {"epsilon": 1e-3, "is_training": False, "data_format": b"NCHW"}
        self.put("FusedBatchNorm", self.last, *vectors, **given)

    def pool(self, operation="MaxPool"):
        n, c, h, w = self.shape
        given = {"ksize": (1, 1, 3, 2), "strides": (1, 1, 2, 1), "padding": b"SAME", "data_format": b"NCHW"}
        self.put(operation, self.last, **given)
        self.shape = (n, c, -(-h // 2), w)

    def average(self):
        self.pool("AvgPool")

    def relu(self):
        self.put("Relu", self.last)

    def prelu(self):
        alpha = self.constant("alpha", self.shape[1], 1, 1)
        x = self.last
        positive = self.put("Relu", x)
        negative = self.put("Relu", self.put("Neg", x))
        self.put("Add", positive, self.put("Mul", alpha, negative))

    def scale(self):
        self.put("Mul", self.last, self.constant("scale", 1, self.shape[1], 1, 1))
        self.put("Sub", self.constant("one"), self.last)
        self.put("Add", self.last, self.constant("column", self.shape[3]))

    def pad(self):
        n, c, h, w = self.shape
        self.put("Pad", self.last, self.numbers("pads", [[0, 0], [0, 1], [1, 2], [0, 3]]), Tpaddings="int32")
        self.shape = (n, c + 1, h + 3, w + 3)

    def residual(self):
        before = self.last
        self.conv(self.shape[1])
        self.bias()
        self.put("Add", self.last, before)

    def dense(self):
        before, channels = self.last, self.shape[1]
        self.conv(3)
        self.put("ConcatV2", before, self.last, self.numbers("axis", 1), N=2, Tidx="int32")
        self.shape = (self.shape[0], channels + 3, *self.shape[2:])

    def part(self):
        c = self.shape[1]
        split = self.put("Split", self.numbers("axis", -3), self.last, num_split=c)
        parts = [split, *(f"{split}:{at}" for at in range(1, c))]
        if c > 1:
            self.put("ConcatV2", *parts[::-1], self.numbers("axis", 1), N=c, Tidx="int32")

    def squeeze_and_excite(self):
        c = self.shape[1]
        before = self.last
        self.put("Mean", before, self.numbers("axes", [2, 3]), keep_dims=True, Tidx="int32")
        self.put("Conv2D", self.last, self.constant("w", 1, 1, c, c), strides=(1, 1, 1, 1), padding=b"VALID",
                 data_format=b"NCHW")  # fmt: skip
        self.put("Mul", before, self.last)

    def excite_a_row(self):
        """With the row made an image again by a Reshape."""
        n, c = self.shape[:2]
        before = self.last
        self.put("Mean", before, self.numbers("axes", [-1, -2]), keep_dims=False, Tidx="int32")
        self.put("MatMul", self.last, self.constant("w", c, c))
        self.put("Reshape", self.last, self.numbers("shape", [n, c, 1, 1]), Tshape="int32")
        self.put("Mul", self.last, before)

    def depth(self):
        n = self.shape[0]
        self.conv(4)
        self.put("DepthToSpace", self.last, block_size=2, data_format=b"NCHW")
        self.put("SpaceToDepth", self.last, block_size=2, data_format=b"NCHW")
        self.put("DepthToSpace", self.last, block_size=2, data_format=b"NCHW")
        self.shape = (n, 1, 2 * self.shape[2], 2 * self.shape[3])

    def cut(self):
        n, c, h, w = self.shape
        limits = [self.numbers("limit", value) for value in ([0, 0, 0], [1, c, h], [1, 1, 1])]
        self.put("StridedSlice", self.last, *limits, begin_mask=0, end_mask=5, Index="int32")
        self.put(
            "Slice", self.last, self.numbers("b", [0, c - 1, 0, 0]), self.numbers("s", [-1, 1, h, -1]), Index="int32"
        )
        self.shape = (n, 1, h, w)

    def tile(self):
        n, c, h, w = self.shape
        self.put("Tile", self.last, self.numbers("times", [1, 2, 1, 1]), Tmultiples="int32")
        self.shape = (n, 2 * c, h, w)

    def grow(self, computed=False):
        """A transposed convolution, told its result's sizes or computing them."""
        n, c, h, w = self.shape
        self.shape = (n, 2, 2 * h, 2 * w)
        sizes = self.numbers("sizes", self.shape)
        x = self.last
        if computed:
            self.put("Shape", x, out_type="int32")
            self.put("Mul", self.last, self.numbers("factors", [1, 1, 2, 2]), T="int32")
            limits = [self.numbers("limit", [value]) for value in (2, 4, 1)]
            self.put("StridedSlice", self.last, *limits, T="int32", Index="int32")
            first = self.numbers("first", [n, 2])
            sizes = self.put("ConcatV2", first, self.last, self.numbers("axis", 0), T="int32", N=2, Tidx="int32")
        given = {"strides": (1, 1, 2, 2), "padding": b"SAME", "data_format": b"NCHW"}
        self.put("Conv2DBackpropInput", sizes, self.constant("w", 3, 2, 2, c), x, **given)

    def grow_by_its_shape(self):
        self.grow(computed=True)

    def pad_by_its_shape(self):
        """Columns as many as there are channels."""
        n, c, h, w = self.shape
        x = self.last
        self.put("Shape", x, out_type="int32")
        turned = self.put("Reshape", self.last, self.numbers("sizes", [4, 1]), T="int32", Tshape="int32")
        begin, end, step = (self.numbers("limit", [value]) for value in (1, 2, 1))
        count = self.put("StridedSlice", turned, begin, end, step, T="int32", Index="int32")
        zero = self.numbers("zero", [[0], [0], [0]])
        column = self.put("ConcatV2", zero, count, self.numbers("axis", 0), T="int32", N=2, Tidx="int32")
        zeros = self.numbers("zeros", [[0], [0], [0], [0]])
        pads = self.put("ConcatV2", zeros, column, self.numbers("axis", 1), T="int32", N=2, Tidx="int32")
        self.put("Pad", x, pads, Tpaddings="int32")
        self.shape = (n, c, h, w + c)

    # what ends a network

    def nothing(self):
        pass

    def global_mean(self):
        c = self.shape[1]
        self.put("Mean", self.last, self.numbers("axes", [2, 3]), keep_dims=False, Tidx="int32")
        self.put("MatMul", self.last, self.constant("w", c, 3))

    def mean_and_squeeze(self):
        c = self.shape[1]
        self.put("Mean", self.last, self.numbers("axes", [2, 3]), keep_dims=True, Tidx="int32")
        self.put("Squeeze", self.last, squeeze_dims=(2, 3))
        self.put("MatMul", self.last, self.constant("w", c, 3))

    def flatten(self, transposed=False):
        c, h, w = self.shape[1:]
        self.put("Reshape", self.last, self.numbers("shape", [-1, c * h * w]), Tshape="int32")
        size = (3, c * h * w) if transposed else (c * h * w, 3)
        self.put("MatMul", self.last, self.constant("w", *size), transpose_b=transposed)

    def flatten_transposed(self):
        self.flatten(transposed=True)

    def flatten_and_relu(self):
        c, h, w = self.shape[1:]
        self.put("Reshape", self.last, self.numbers("shape", [-1, c * h * w]), Tshape="int32")
        self.put("Relu", self.last)

    def cut_a_channel(self):
        limits = [self.numbers("limit", value) for value in ([0, 0], [0, 1], [1, 1])]
        self.put("StridedSlice", self.last, *limits, begin_mask=1, end_mask=1, shrink_axis_mask=2, Index="int32")

    def sum_of_columns(self):
        self.put("Sum", self.last, self.numbers("axes", 3), keep_dims=False, Tidx="int32")

    def shape_of_it(self):
        self.put("Shape", self.last, out_type="int32")

    def softmax(self):
        self.put("Softmax", self.last)


LAYERS = [
    "conv",
    "explicit",
    "depthwise",
    "bias",
    "normalise",
    "pool",
    "average",
    "relu",
    "prelu",
    "scale",
    "pad",
    "residual",
    "dense",
    "part",
    "squeeze_and_excite",
    "excite_a_row",
    "depth",
    "cut",
    "tile",
    "grow",
    "grow_by_its_shape",
    "pad_by_its_shape",
]
ENDS = [
    "nothing",
    "global_mean",
    "mean_and_squeeze",
    "flatten",
    "flatten_transposed",
    "flatten_and_relu",
    "cut_a_channel",
    "sum_of_columns",
    "shape_of_it",
    "softmax",
]


@strategies.composite
def networks(draw):
    """Seed, shape of the input, layers and end; the first layer says NCHW."""
    shape = tuple(draw(strategies.integers(low, 5)) for low in (1, 1, 2, 2))
    middle = draw(strategies.lists(strategies.sampled_from(LAYERS), max_size=4))
    layers = [*draw(strategies.lists(strategies.sampled_from(["scale", "relu", "pad"]), max_size=2)), "conv", *middle]
    return draw(strategies.integers(0, 2**16)), shape, layers, draw(strategies.sampled_from(ENDS))


class Surrounded(Network):
    """The same over operations that say NHWC, each between two Transposes."""

    def put(self, operation, *inputs, **attributes):
        if attributes.get("data_format") != b"NCHW":
            return super().put(operation, *inputs, **attributes)
        operands = list(inputs)
        image = 2 if operation == "Conv2DBackpropInput" else 0
        operands[image] = super().put("Transpose", inputs[image], self.numbers("perm", TO_LAST), Tperm="int32")
        if image:
            order, axis = self.numbers("order", TO_LAST), self.numbers("axis", 0)
            given = {"Tparams": "int32", "Tindices": "int32", "Taxis": "int32"}
            operands[0] = super().put("GatherV2", inputs[0], order, axis, T=None, **given)
        for name, value in attributes.items():
            if isinstance(value, tuple):
                pairs = [
                    value[2 * axis : 2 * axis + 2] if len(value) == 8 else value[axis : axis + 1] for axis in TO_LAST
                ]
                attributes[name] = tuple(size for pair in pairs for size in pair)
        last = super().put(operation, *operands, **{**attributes, "data_format": b"NHWC"})
        return super().put("Transpose", last, self.numbers("perm", [0, 3, 1, 2]), Tperm="int32")


def built(new_graph, network, dtype="float32", declared=None, kind=Network):
    seed, shape, layers, end = network
    made = kind(new_graph(), shape, dtype, seed, declared)
    for layer in layers:
        made.conv(4) if layer == "conv" else getattr(made, layer)()
    getattr(made, end)()
    made.graph.outputs.append(made.last)
    return made


def fed(network, dtype="float32"):
    return np.random.default_rng(network[0] + 1).normal(size=network[1]).astype(dtype)


def turned(value):
    return value.transpose(TO_LAST) if value.ndim == 4 else value


def assert_close(new, old, dtype):
    """A product over a flattened image sums in another order; all else is the same arithmetic."""
    assert new.shape == old.shape
    largest = float(np.abs(old).max()) if old.size else 0.0
    precision = {"float16": 4e-3, "float32": 3e-6, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(new, old, rtol=precision, atol=precision * max(largest, 1e-3))


@given(
    network=networks(), dtype=strategies.sampled_from(["float32", "float64", "float16"]), known=strategies.booleans()
)
@settings(max_examples=150)
def test_computes_the_same(network, dtype, known, new_graph, run_rules, compute):
    made = built(new_graph, network, dtype, None if known else (-1, network[1][1], -1, -1))
    x = fed(network, dtype)
    rewritten = run_rules(made.graph, NAME)
    with np.errstate(over="ignore", invalid="ignore"):
        before = compute(made.graph.message, {"x": x}, made.graph.outputs)[0]
        after = compute(rewritten.message, {"x": x}, made.graph.outputs)[0]
    assert not [node.name for node in rewritten.message.node if node.attr["data_format"].s == b"NCHW"]
    if np.isfinite(before.astype(np.float64)).all():
        assert_close(after, before, dtype)


@given(network=networks(), inputs=strategies.booleans())
@settings(max_examples=60)
def test_computes_the_same_over_other_inputs_and_outputs(network, inputs, new_graph, run_rules, compute):
    made = built(new_graph, network)
    x = fed(network)
    rewritten = run_rules(made.graph, NchwToNhwc(inputs=inputs, outputs=True))
    before = compute(made.graph.message, {"x": x}, made.graph.outputs)[0]
    after = compute(rewritten.message, {"x": turned(x) if inputs else x}, made.graph.outputs)[0]
    declared = [dim.size for dim in rewritten.find("x").attr["shape"].shape.dim]
    assert declared == list(turned(x).shape if inputs else x.shape)
    # An output that is still an image is turned; the one of a Softmax is not, as it reads an NCHW image.
    assert_close(after, turned(before) if network[3] == "nothing" else before, "float32")


TYPICAL = [
    (0, (2, 3, 8, 8), ["conv", "normalise", "relu", "pool", "residual", "prelu", "dense", "squeeze_and_excite"], end)
    for end in ("global_mean", "mean_and_squeeze", "flatten", "flatten_transposed")
]


@pytest.mark.parametrize("network", TYPICAL, ids=[network[3] for network in TYPICAL])
def test_a_typical_network_keeps_one_transpose_at_its_input(network, new_graph, run_rules):
    made = built(new_graph, network)
    rewritten = run_rules(made.graph, NAME)
    assert [node.name for node in rewritten.message.node if node.op == "Transpose"] == ["x/nhwc"]
    assert not rewritten.refused
    assert rewritten.find(made.last).op == "MatMul"


@pytest.mark.parametrize("network", TYPICAL, ids=[network[3] for network in TYPICAL])
def test_a_typical_network_keeps_none_where_its_input_may_change(network, new_graph, run_rules):
    made = built(new_graph, network)
    rewritten = run_rules(made.graph, NAME + "(inputs=true)")
    assert "Transpose" not in rewritten.operations
    assert rewritten.reports[0].note == "These inputs take NHWC images now: x."
    assert [dim.size for dim in rewritten.find("x").attr["shape"].shape.dim] == [2, 8, 8, 3]


@given(network=networks())
@settings(max_examples=15)
def test_tensorflow_computes_what_was_computed_before(network, new_graph, run_rules, compute, compute_with_tensorflow):
    made = built(new_graph, network)
    rewritten = run_rules(made.graph, NAME)
    x = fed(network)
    after = compute_with_tensorflow(rewritten.message, {"x": x}, made.graph.outputs)[0]
    assert_close(after, compute(made.graph.message, {"x": x}, made.graph.outputs)[0], "float32")


@pytest.mark.parametrize("network", TYPICAL, ids=[network[3] for network in TYPICAL])
def test_tflite_computes_what_was_computed_before(network, new_graph, run_rules, compute, tmp_path):
    made = built(new_graph, network)
    rewritten = run_rules(made.graph, NAME)
    found = Interpreter(convert(rewritten.message, ["x"], made.graph.outputs, tmp_path)).run(fed(network))[0]
    before = compute(made.graph.message, {"x": fed(network)}, made.graph.outputs)[0]
    # Six layers of sums in float32, and batch normalisation folded into weights by the converter.
    np.testing.assert_allclose(found, before, rtol=1e-4, atol=1e-5 * np.abs(before).max())


@given(network=networks(), inputs=strategies.booleans())
@settings(max_examples=100)
def test_transposes_around_each_operation_become_fewer(network, inputs, new_graph, run_rules, compute):
    made = built(new_graph, network, kind=Surrounded)
    rewritten = run_rules(made.graph, NchwToNhwc(inputs=inputs))
    x = fed(network)
    shape = [dim.size for dim in rewritten.find("x").attr["shape"].shape.dim]
    turns = shape != list(x.shape) or (inputs and rewritten.reports[0].note != "")
    before = compute(made.graph.message, {"x": x}, made.graph.outputs)[0]
    after = compute(rewritten.message, {"x": turned(x) if turns else x}, made.graph.outputs)[0]
    assert_close(after, before, "float32")
    counts = [[node.op for node in item.node].count("Transpose") for item in (made.graph.message, rewritten.message)]
    assert counts[1] < counts[0] if rewritten.fired else counts[1] == counts[0]


@pytest.mark.parametrize("network", TYPICAL, ids=[network[3] for network in TYPICAL])
@pytest.mark.parametrize("inputs", [False, True])
def test_a_typical_network_with_transposes_around_each_operation_keeps_that_of_its_input(
    network, inputs, new_graph, run_rules
):
    made = built(new_graph, network, kind=Surrounded)
    rewritten = run_rules(made.graph, NchwToNhwc(inputs=inputs))
    assert rewritten.operations.count("Transpose") == (0 if inputs else 1)


def test_leaves_transposes_alone_when_no_fewer_would_be_left(graph, run_rules):
    """Between them lies what works on NCHW images only."""
    made = Surrounded(graph, (1, 2, 4, 4))
    made.conv(2)
    made.softmax()
    made.conv(2)
    graph.outputs.append(made.last)
    assert run_rules(graph, NAME).fired == 0


def test_sizes_that_are_computed_are_put_in_order(new_graph, run_rules):
    network = (0, (1, 2, 3, 3), ["conv", "grow_by_its_shape"], "nothing")
    rewritten = run_rules(built(new_graph, network, declared=(-1, 2, -1, -1)).graph, NAME)
    assert (
        rewritten.operations.count("GatherV2") == 2
    )  # the Shape's result, and the sizes of the transposed convolution
    assert rewritten.operations.count("Transpose") == 2  # of the input and of the output


def test_transpositions_that_were_there_go(graph, run_rules, compute):
    """As where NHWC operations lie between NCHW ones: the way there and back cancels."""
    made = Network(graph, (1, 3, 4, 4))
    made.conv(4)
    made.put("Transpose", made.last, made.numbers("perm", [0, 2, 3, 1]), Tperm="int32")
    made.put("Neg", made.last)
    made.put("Transpose", made.last, made.numbers("perm", [0, 3, 1, 2]), Tperm="int32")
    made.conv(2)
    graph.outputs.append(made.last)
    rewritten = run_rules(graph, NAME)
    x = np.random.default_rng(1).normal(size=(1, 3, 4, 4)).astype(np.float32)
    assert [node.name for node in rewritten.message.node if node.op == "Transpose"] == ["x/nhwc", made.last]
    np.testing.assert_allclose(
        *(compute(item, {"x": x}, graph.outputs)[0] for item in (graph.message, rewritten.message))
    )


def test_an_output_that_is_read_as_well_keeps_its_name_and_its_layout(graph, run_rules, compute):
    made = Network(graph, (1, 3, 4, 4))
    made.conv(4)
    made.relu()
    relu = made.last
    made.conv(2)
    graph.outputs.extend([relu, made.last])
    rewritten = run_rules(graph, NAME)
    x = np.random.default_rng(1).normal(size=(1, 3, 4, 4)).astype(np.float32)
    assert rewritten.find(relu).op == "Transpose"
    assert rewritten.find(made.last + "/nhwc").input[0] == relu + "/nhwc"
    for old, new in zip(*(compute(item, {"x": x}, graph.outputs) for item in (graph.message, rewritten.message))):
        np.testing.assert_allclose(new, old)


def test_a_filter_that_is_an_image_of_its_own_stays(graph, run_rules):
    """Filters lie the same way in both layouts."""
    graph.placeholder("x", (1, 2, 4, 4))
    graph.placeholder("w", (3, 3, 2, 4))
    graph.node("conv", "Conv2D", "x", "w", strides=(1, 1, 1, 1), padding=b"SAME", data_format=b"NCHW")
    graph.outputs.append("conv")
    assert list(run_rules(graph, NAME + "(inputs=true)").find("conv/nhwc").input) == ["x", "w"]


def test_finds_nothing_more_in_what_it_wrote(new_graph, run_rules):
    made = built(new_graph, TYPICAL[0])
    first = run_rules(made.graph, NAME)
    second = run_rules(new_graph(first.message, ["x"], made.graph.outputs), NAME)
    assert (first.fired > 0, second.fired) == (True, 0)


def test_is_an_edit_only_where_it_changes_inputs_or_outputs():
    chosen = [NchwToNhwc(), NchwToNhwc(inputs=True), NchwToNhwc(outputs=True)]
    assert [item.changes_interface for item in chosen] == [False, True, True]


def test_leaves_alone_what_says_nhwc(graph, run_rules):
    graph.placeholder("x", (1, 4, 4, 2))
    graph.constant("w", np.ones((1, 1, 2, 2)))
    graph.outputs.append(
        graph.node("y", "Conv2D", "x", "w", strides=(1, 1, 1, 1), padding=b"SAME", data_format=b"NHWC")
    )
    rewritten = run_rules(graph, NAME)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_it_lies_in_a_condition(graph, run_rules):
    graph.placeholder("x", (1, 2, 4, 4))
    graph.placeholder("p", (), "bool")
    graph.node("switch", "Switch", "x", "p")
    graph.node(
        "pool", "MaxPool", "switch:1", ksize=(1, 1, 2, 2), strides=(1, 1, 1, 1), padding=b"SAME", data_format=b"NCHW"
    )
    graph.outputs.append(graph.node("y", "Merge", "switch", "pool"))
    rewritten = run_rules(graph, NAME)
    assert (rewritten.fired, rewritten.refused) == (0, {"pool": "it lies inside a loop or a condition"})


def test_leaves_a_bias_alone_when_the_rank_is_not_known(graph, run_rules):
    graph.placeholder("x", None)
    graph.constant("b", [1, 2])
    graph.outputs.append(graph.node("y", "BiasAdd", "x", "b", data_format=b"NCHW"))
    rewritten = run_rules(graph, NAME)
    assert rewritten.refused == {"y": "the rank of what it reads is not known, or is not 4"}


def test_leaves_a_normalisation_alone_when_the_model_gives_its_mean_out(graph):
    made = Network(graph, (1, 2, 4, 4))
    made.normalise()
    interface = Interface((Tensor("x"),), (Tensor(made.last), Tensor(made.last, 1)))
    reports = rewrite_graph(graph.message, interface, [NchwToNhwc()], Target()).reports
    assert [item.reason for item in reports[0].refused] == [
        "another of its outputs than the first is an output of the model"
    ]


def test_says_where_a_transpose_goes_before_what_needs_channels_first(graph, run_rules):
    made = Network(graph, (1, 2, 4, 4))
    made.conv(3)
    graph.outputs.append(made.put("Softmax", made.last))
    assert run_rules(graph, NAME).refused == {
        made.last: "it reads images with the channels first, so a Transpose goes before it"
    }
