"""Convolutions and matrix products with random weights, as the tests of folding build on them."""

import numpy as np

#: Each kind, with the shape of its input, of its filter, the number of its output channels, and its rank.
KINDS = ("Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3D", "MatMul", "MatMul transposed")


def random(generator, *shape):
    return generator.normal(size=shape).astype(np.float32)


def add_linear(graph, kind, generator, dtype="float32", padding=b"SAME"):
    """Adds "linear", with a filter "w", behind a placeholder "x"; gives the number of output channels and the rank."""
    inputs, channels = 3, 4
    strides = {"strides": (1, 1, 1, 1), "padding": padding}
    if kind.startswith("MatMul"):
        transposed = kind != "MatMul"
        graph.placeholder("x", (2, inputs), dtype)
        graph.constant("w", random(generator, *((channels, inputs) if transposed else (inputs, channels))), dtype)
        graph.node("linear", "MatMul", "x", "w", dtype=dtype, transpose_b=transposed)
        return channels, 2
    if kind == "Conv3D":
        graph.placeholder("x", (1, 3, 4, 4, inputs), dtype)
        graph.constant("w", random(generator, 2, 2, 2, inputs, channels), dtype)
        graph.node("linear", kind, "x", "w", dtype=dtype, strides=(1, 1, 1, 1, 1), padding=padding)
        return channels, 5
    graph.placeholder("x", (2, 6, 6, inputs), dtype)
    if kind == "DepthwiseConv2dNative":
        graph.constant("w", random(generator, 3, 3, inputs, 2), dtype)
        graph.node("linear", kind, "x", "w", dtype=dtype, **strides)
        return 2 * inputs, 4
    if kind == "Conv2DBackpropInput":
        graph.constant("w", random(generator, 3, 3, channels, inputs), dtype)
        graph.constant("sizes", [2, 6, 6, channels], "int32")
        graph.node("linear", kind, "sizes", "w", "x", dtype=dtype, **strides)
        return channels, 4
    graph.constant("w", random(generator, 3, 3, inputs, channels), dtype)
    graph.node("linear", kind, "x", "w", dtype=dtype, **strides)
    return channels, 4


def feeds(graph, generator):
    shape = [dim.size for dim in graph.find("x").attr["shape"].shape.dim]
    dtype = {1: np.float32, 2: np.float64, 19: np.float16}[graph.find("x").attr["dtype"].type]
    return {"x": generator.normal(size=shape).astype(dtype)}
