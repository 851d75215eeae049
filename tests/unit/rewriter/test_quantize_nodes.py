"""quantize_nodes: what it makes of each operation, that 8 bits go through, and what stays in floats."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError

IMAGE = (2, 6, 6, 4)
ONES = (1, 1, 1, 1)


def convolution(graph, x, **attributes):
    graph.constant("w", np.random.default_rng(1).uniform(-1, 1, (3, 3, 4, 4)))
    return graph.node("y", "Conv2D", x, "w", **{"strides": ONES, "padding": b"SAME", **attributes})


def pool(graph, x, operation="MaxPool", **attributes):
    given = {"ksize": (1, 2, 2, 1), "strides": (1, 2, 2, 1), "padding": b"VALID", **attributes}
    return graph.node("y", operation, x, **given)


def product(graph, x):
    graph.constant("rows", [-1, 4], "int32")
    graph.node("flat", "Reshape", x, "rows", Tshape="int32")
    graph.constant("w", np.random.default_rng(1).uniform(-1, 1, (4, 3)))
    return graph.node("y", "MatMul", "flat", "w", transpose_a=False, transpose_b=False)


def combined(operation, values):
    def build(graph, x):
        graph.constant("k", values)
        return graph.node("y", operation, "k", x)

    return build


def joined(operation, axis, order):
    def build(graph, x):
        graph.node("absolute", "Abs", x)
        graph.constant("axis", axis, "int32")
        inputs = ("axis", x, "absolute") if order == "first" else (x, "absolute", "axis")
        return graph.node("y", operation, *inputs, N=2)

    return build


def resize(graph, x):
    graph.constant("size", [9, 11], "int32")
    return graph.node("y", "ResizeBilinear", x, "size", align_corners=True)


def bias(graph, x, **attributes):
    graph.constant("b", [0.5, -0.5, 0.25, 1])
    return graph.node("y", "BiasAdd", x, "b", **attributes)


OPERATIONS = {
    "Conv2D": (convolution, "QuantizedConv2D"),
    "MatMul": (product, "QuantizedMatMul"),
    "BiasAdd": (bias, "QuantizedBiasAdd"),
    "Add": (combined("Add", 0.5), "QuantizedAdd"),
    "AddV2": (combined("AddV2", [1.0, -1.0, 0.5, 2.0]), "QuantizedAdd"),
    "Mul": (combined("Mul", [1.0, -1.0, 0.5, 2.0]), "QuantizedMul"),
    "Relu": (lambda graph, x: graph.node("y", "Relu", x), "QuantizedRelu"),
    "Relu6": (lambda graph, x: graph.node("y", "Relu6", x), "QuantizedRelu6"),
    "MaxPool": (pool, "QuantizedMaxPool"),
    "AvgPool": (lambda graph, x: pool(graph, x, "AvgPool"), "QuantizedAvgPool"),
    "Concat": (joined("Concat", 3, "first"), "QuantizedConcat"),
    "ConcatV2": (joined("ConcatV2", -1, "last"), "QuantizedConcat"),
    "ResizeBilinear": (resize, "QuantizedResizeBilinear"),
}


def graph_of(new_graph, build, shape=IMAGE):
    graph = new_graph()
    graph.placeholder("x", shape)
    graph.outputs.append(build(graph, "x"))
    return graph


@pytest.mark.parametrize("name", OPERATIONS)
@given(seed=strategies.integers(0, 10**6), spread=strategies.floats(0.5, 100))
@settings(max_examples=10, deadline=None)
def test_computes_nearly_the_same(name, seed, spread, new_graph, run_rules, compute):
    build, quantized = OPERATIONS[name]
    graph = graph_of(new_graph, build)
    rewritten = run_rules(graph, "quantize_nodes")
    assert quantized in rewritten.operations
    x = np.random.default_rng(seed).uniform(-spread, spread, IMAGE).astype(np.float32)
    before, after = (
        compute(on_tensorflow(message), {"x": x}, ["y"])[0] for message in (graph.message, rewritten.message)
    )
    assert after.shape == before.shape
    # A step of the input, one of the constant, and one of the result: 1/255 of a range each; in sums of 36 products
    # they add up like random numbers.
    assert np.abs(after - before).max() <= 0.03 * max(np.ptp(before), spread * 0.5)


def on_tensorflow(message):
    """The graph with an operation that only TensorFlow computes, as the tests' NumPy knows 1x1 convolutions only."""
    changed = graph_def.copy(message)
    node = next(node for node in changed.node if node.name == "y")
    node.name = "y/before"
    last = changed.node.add()
    last.name, last.op = "y", "IdentityN"
    last.input.append("y/before")
    last.attr["T"].list.type.append(1)
    return changed


@given(seed=strategies.integers(0, 10**6), known=strategies.booleans())
@settings(max_examples=10, deadline=None)
def test_computes_nearly_the_same_through_a_network(seed, known, new_graph, run_rules, compute):
    graph = network(new_graph, IMAGE if known else None)
    rewritten = run_rules(graph, "quantize_nodes")
    x = np.random.default_rng(seed).normal(size=IMAGE).astype(np.float32)
    widest, before = compute(on_tensorflow(graph.message), {"x": x}, ["bias", "y"])
    after = compute(on_tensorflow(rewritten.message), {"x": x}, ["y"])[0]
    # Steps are 1/255 of what goes through before Relu6 cuts it off: ten of them.
    assert np.abs(after - before).max() <= 0.04 * np.ptp(widest)


def network(new_graph, shape=IMAGE):
    graph = new_graph()
    graph.placeholder("x", shape)
    graph.constant("w", np.random.default_rng(1).uniform(-1, 1, (3, 3, 4, 4)))
    graph.constant("b", [0.5, -0.5, 0.25, 1])
    graph.node("conv", "Conv2D", "x", "w", strides=ONES, padding=b"SAME")
    graph.node("bias", "BiasAdd", "conv", "b")
    graph.node("relu", "Relu", "bias")
    graph.node("pool", "MaxPool", "relu", ksize=(1, 2, 2, 1), strides=(1, 2, 2, 1), padding=b"VALID")
    graph.outputs.append(graph.node("y", "Relu6", "pool"))
    return graph


def test_8_bits_go_from_operation_to_operation(new_graph, run_rules):
    operations = run_rules(network(new_graph), "quantize_nodes").operations
    assert operations.count("QuantizeV2") == 1
    assert operations.count("Dequantize") == 1
    assert operations.count("Requantize") == 2, "behind the convolution and the bias"


def test_quantises_once_what_many_read(graph, run_rules):
    graph.placeholder("x", IMAGE)
    graph.outputs += [graph.node("a", "Relu", "x"), graph.node("b", "Relu6", "x")]
    assert run_rules(graph, "quantize_nodes").operations.count("QuantizeV2") == 1


def test_keeps_floats_for_who_reads_floats(graph, run_rules):
    graph.placeholder("x", IMAGE)
    graph.node("relu", "Relu", "x")
    graph.outputs += [graph.node("pooled", "Relu6", "relu"), graph.node("soft", "Softmax", "relu")]
    rewritten = run_rules(graph, "quantize_nodes")
    assert rewritten.find("relu").op == "Dequantize"
    assert rewritten.find("soft").input[0] == "relu"
    assert rewritten.find("pooled/eightbit").input[0] == "relu/eightbit"


def test_waits_for_what_the_operation_waited_for(graph, run_rules):
    graph.placeholder("x", IMAGE)
    graph.node("first", "NoOp", T=None)
    graph.outputs.append(graph.node("relu", "Relu", "x", "^first"))
    assert list(run_rules(graph, "quantize_nodes").find("relu/eightbit").input)[-1] == "^first"


def test_reads_the_codes_of_quantize_weights(new_graph, run_rules):
    graph = graph_of(new_graph, convolution)
    rewritten = run_rules(graph, "quantize_weights(minimum_size=10) quantize_nodes")
    assert rewritten.find("y/eightbit").input[1] == "w_quantized_const"
    assert rewritten.operations.count("Dequantize") == 1


def test_makes_inputs_8_bits_where_their_range_is_given(new_graph, run_rules, compute):
    graph = network(new_graph)
    rewritten = run_rules(graph, "quantize_nodes(input_min=-1, input_max=1)")
    assert tensors.data_type(rewritten.find("x").attr["dtype"].type).name == "quint8"
    assert [str(tensor) for tensor in rewritten.interface.inputs] == ["x"]
    assert "QuantizeV2" not in rewritten.operations
    assert "Dequantize" not in {rewritten.find(name).op for name in rewritten.names if name != "y"}

    codes = np.random.default_rng(0).integers(0, 256, IMAGE)
    floats = (np.round(-127.5) + codes) * 2 / 255
    before = compute(on_tensorflow(graph.message), {"x": floats.astype(np.float32)}, ["y"])[0]
    after = compute(on_tensorflow(fed_with_bytes(rewritten.message)), {"bytes": codes.astype(np.uint8)}, ["y"])[0]
    assert np.abs(after - before).max() <= 0.04 * np.ptp(before)


def fed_with_bytes(message):
    """The graph with a uint8 Placeholder in front, as NumPy has no quint8."""
    changed = graph_def.copy(message)
    node = next(node for node in changed.node if node.name == "x")
    node.op = "Bitcast"
    node.input.append("bytes")
    for key in ("dtype", "shape"):
        del node.attr[key]
    node.attr["T"].type, node.attr["type"].type = 4, 12
    fed = changed.node.add()
    fed.name, fed.op = "bytes", "Placeholder"
    fed.attr["dtype"].type = 4
    return changed


def test_takes_the_fallback_range(new_graph, run_rules):
    rewritten = run_rules(network(new_graph), "quantize_nodes(fallback_min=-2.5, fallback_max=9)")
    assert "RequantizationRange" not in rewritten.operations
    low, high = (rewritten.find(name) for name in rewritten.find("bias/eightbit/requantize").input[3:])
    assert (graph_def.constant_value(low), graph_def.constant_value(high)) == (-2.5, 9)


@pytest.mark.parametrize("between", ["Relu", "Relu6", "MaxPool", "Identity"])
def test_takes_the_range_of_a_fake_quant_behind(between, graph, run_rules):
    graph.placeholder("x", IMAGE)
    convolution(graph, "x")
    attributes = {"ksize": ONES, "strides": ONES, "padding": b"VALID"} if between == "MaxPool" else {}
    graph.node("between", between, "y", **attributes)
    graph.node("fake", "FakeQuantWithMinMaxArgs", "between", T=None, min=0.0, max=6.0)
    graph.outputs.append(graph.node("out", "Softmax", "fake"))
    rewritten = run_rules(graph, "quantize_nodes")
    assert "RequantizationRange" not in rewritten.operations
    assert "FakeQuantWithMinMaxArgs" not in rewritten.operations
    low, high = (rewritten.find(name) for name in rewritten.find("y/eightbit/requantize").input[3:])
    assert (graph_def.constant_value(low), graph_def.constant_value(high)) == (0, 6)


def test_leaves_a_fake_quant_where_its_range_is_not_for_all(graph, run_rules):
    graph.placeholder("x", IMAGE)
    convolution(graph, "x")
    graph.node("fake", "FakeQuantWithMinMaxArgs", "y", T=None, min=0.0, max=6.0)
    graph.outputs += [graph.node("a", "Softmax", "fake"), graph.node("b", "Softmax", "y")]
    rewritten = run_rules(graph, "quantize_nodes")
    assert "FakeQuantWithMinMaxArgs" in rewritten.operations
    assert "RequantizationRange" in rewritten.operations


def test_leaves_alone_what_it_is_told_to(new_graph, run_rules):
    rewritten = run_rules(network(new_graph), "quantize_nodes(ignore_op=Conv2D, ignore_op=MaxPool)")
    assert rewritten.find("conv").op == "Conv2D"
    assert rewritten.find("pool").op == "MaxPool"
    assert rewritten.find("relu/eightbit").op == "QuantizedRelu"


def test_leaves_arithmetic_of_constants_alone(graph, run_rules):
    graph.constant("a", [1.0, 2.0])
    graph.outputs.append(graph.node("sum", "Add", "a", "a"))
    rewritten = run_rules(graph, "quantize_nodes")
    assert (rewritten.fired, rewritten.refused) == (0, {})


REFUSALS = {
    "dilated": (
        lambda graph, x: convolution(graph, x, dilations=(1, 2, 2, 1)),
        "it is dilated, which no 8-bit convolution is",
    ),
    "explicit padding": (
        lambda graph, x: convolution(graph, x, padding=b"EXPLICIT"),
        "its padding is explicit, which no 8-bit convolution's is",
    ),
    "other strides": (
        lambda graph, x: convolution(graph, x, strides=(1, 1, 2, 1)),
        "its strides differ, which those of 8-bit convolutions may not",
    ),
    "channels first": (
        lambda graph, x: convolution(graph, x, data_format=b"NCHW"),
        "its data format is NCHW, and 8-bit operations are for NHWC",
    ),
    "bias with channels first": (
        lambda graph, x: bias(graph, x, data_format=b"NCHW"),
        "its data format is NCHW, and 8-bit operations are for NHWC",
    ),
    "pooling over channels": (
        lambda graph, x: pool(graph, x, ksize=(1, 1, 1, 2)),
        "it pools over the batch or the channels, which 8-bit pooling does not",
    ),
    "pooling with explicit padding": (
        lambda graph, x: pool(graph, x, padding=b"EXPLICIT"),
        "its padding is explicit, which that of 8-bit pooling is not",
    ),
    "stretched": (
        combined("Mul", np.ones((2, 1, 1, 4))),
        "it stretches the shape [2, 1, 1, 4] over [2, 6, 6, 4], which no 8-bit operation does",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_leaves_alone_when_the_operation_has_no_8_bit_form(case, new_graph, run_rules):
    build, reason = REFUSALS[case]
    assert run_rules(graph_of(new_graph, build), "quantize_nodes").refused == {"y": reason}


def test_leaves_alone_when_it_works_on_groups(graph, run_rules):
    graph.placeholder("x", IMAGE)
    graph.constant("w", np.ones((1, 1, 2, 4)))
    graph.outputs.append(graph.node("y", "Conv2D", "x", "w", strides=ONES, padding=b"SAME"))
    reason = "it works on groups of channels, which no 8-bit convolution does"
    assert run_rules(graph, "quantize_nodes").refused == {"y": reason}


def test_leaves_alone_when_shapes_are_not_known(new_graph, run_rules):
    graph = graph_of(new_graph, combined("Add", [1.0, 2.0, 3.0, 4.0]), None)
    assert run_rules(graph, "quantize_nodes").refused == {"y": "the shapes of what it combines are not known"}


def test_leaves_alone_when_an_axis_counts_from_no_known_end(new_graph, run_rules):
    graph = graph_of(new_graph, joined("ConcatV2", -1, "last"), None)
    reason = "its axis is computed, or counts from the end of no known rank"
    assert run_rules(graph, "quantize_nodes").refused == {"y": reason}


def test_leaves_alone_when_it_computes_doubles(graph, run_rules):
    graph.placeholder("x", IMAGE, "float64")
    graph.outputs.append(graph.node("y", "Relu", "x", dtype="float64"))
    reason = "it computes float64, and 8-bit operations are for float32"
    assert run_rules(graph, "quantize_nodes").refused == {"y": reason}


def test_leaves_alone_when_it_lies_in_a_loop(graph, run_rules):
    graph.placeholder("start", (2,))
    graph.node("x", "Enter", "start", frame_name=b"while")
    graph.outputs.append(graph.node("y", "Relu", "x"))
    reason = "it lies inside a loop or a condition, where new constants cannot be read"
    assert run_rules(graph, "quantize_nodes").refused == {"y": reason}


def test_leaves_alone_when_it_is_a_transposed_convolution(graph, run_rules):
    graph.placeholder("x", IMAGE)
    graph.constant("size", [2, 12, 12, 4], "int32")
    graph.constant("w", np.ones((2, 2, 4, 4)))
    graph.outputs.append(graph.node("y", "Conv2DBackpropInput", "size", "w", "x", strides=ONES, padding=b"SAME"))
    reason = "TensorFlow has no 8-bit kernel for a transposed convolution"
    assert run_rules(graph, "quantize_nodes").refused == {"y": reason}


def test_leaves_an_input_alone_when_it_is_an_output_too(graph, run_rules):
    graph.placeholder("x", IMAGE)
    graph.outputs.append("x")
    rewritten = run_rules(graph, "quantize_nodes(input_min=0, input_max=1)")
    assert rewritten.refused == {"x": "it is an output of the model as well"}


@pytest.mark.parametrize("options", ["input_min=0", "fallback_max=0", "input_min=1, input_max=1"])
def test_refuses_half_a_range(options, new_graph, run_rules):
    with pytest.raises(StepError) as raised:
        run_rules(network(new_graph), f"quantize_nodes({options})")
    assert raised.value.reason == "INVALID_OPTION"
