"""Operations on images as NumPy computes them, for NCHW and NHWC alike, with every attribute that matters.

TensorFlow's CPU kernels know NHWC alone and group no convolutions before 2.5, so what a rule makes of such graphs is
held against these. Sums are taken in float64 and rounded once.
"""

from __future__ import annotations  # these tests run on Python 3.7 as well

from typing import Any

import numpy as np


def text(node: Any, name: str, default: str = "") -> str:
    return node.attr[name].s.decode() if name in node.attr else default


def integers(node: Any, name: str, default: Any = ()) -> list[int]:
    return list(node.attr[name].list.i) if name in node.attr else list(default)


def flag(node: Any, *names: str) -> bool:
    return any(name in node.attr and node.attr[name].b for name in names)


def channels_first(node: Any) -> bool:
    return text(node, "data_format", "NHWC") == "NCHW"


def channels_last(node: Any, x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1) if channels_first(node) else x


def as_written(node: Any, x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2) if channels_first(node) else x


def spatial(node: Any, name: str) -> list[int]:
    sizes = integers(node, name, (1, 1, 1, 1))
    return sizes[2:] if channels_first(node) else sizes[1:3]


def windows(node: Any, x: np.ndarray, size: Any, fill: float = 0) -> np.ndarray:
    """[N, rows, window height, columns, window width, C] of an NHWC image."""
    strides, dilations = spatial(node, "strides"), spatial(node, "dilations")
    explicit = integers(node, "explicit_paddings")
    places, pads = [], [(0, 0)]
    for at in (0, 1):
        reach = (size[at] - 1) * dilations[at] + 1
        length, before, after = x.shape[1 + at], 0, 0
        if text(node, "padding") == "SAME":
            needed = max((-(-length // strides[at]) - 1) * strides[at] + reach - length, 0)
            before, after = needed // 2, needed - needed // 2
        elif text(node, "padding") == "EXPLICIT":
            axis = (2 if channels_first(node) else 1) + at
            before, after = explicit[2 * axis : 2 * axis + 2]
        pads.append((before, after))
        count = (length + before + after - reach) // strides[at] + 1
        places.append(np.arange(count)[:, None] * strides[at] + np.arange(size[at]) * dilations[at])
    padded = np.pad(x, [*pads, (0, 0)], mode="constant", constant_values=fill)
    rows, columns = places
    return padded[:, rows[:, :, None, None], columns[None, None], :]


def convolution(node: Any, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    seen = windows(node, channels_last(node, x).astype(np.float64), w.shape[:2])
    groups = seen.shape[-1] // w.shape[2]
    seen = seen.reshape((*seen.shape[:-1], groups, w.shape[2]))
    filters = w.astype(np.float64).reshape((*w.shape[:3], groups, -1))
    result = np.einsum("nakbjgi,kjigo->nabgo", seen, filters)
    return as_written(node, result.reshape((*result.shape[:3], w.shape[3]))).astype(x.dtype)


def depthwise_convolution(node: Any, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    seen = windows(node, channels_last(node, x).astype(np.float64), w.shape[:2])
    result = np.einsum("nakbji,kjio->nabio", seen, w.astype(np.float64))
    return as_written(node, result.reshape((*result.shape[:3], -1))).astype(x.dtype)


def transposed_convolution(node: Any, sizes: np.ndarray, w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Every window of the result gets its element of x, times the filter."""
    x = channels_last(node, x).astype(np.float64)
    last = [int(size) for size in sizes]
    n, height, width, channels = [last[axis] for axis in (0, 2, 3, 1)] if channels_first(node) else last
    places = np.arange(n * height * width * channels).reshape(n, height, width, channels)
    seen = windows(node, places + 1.0, w.shape[:2]).astype(np.int64)  # 0 is what lies outside
    products = np.einsum("nabo,kjio->nakbji", x, w.astype(np.float64))
    result = np.bincount(seen.ravel(), products.ravel(), places.size + 1)[1:].reshape(places.shape)
    return as_written(node, result).astype(w.dtype)


def largest(node: Any, x: np.ndarray) -> np.ndarray:
    seen = windows(node, channels_last(node, x), spatial(node, "ksize"), fill=-np.inf)
    return as_written(node, seen.max(axis=(2, 4)))


def average(node: Any, x: np.ndarray) -> np.ndarray:
    """The mean of what lies in the image."""
    seen = windows(node, channels_last(node, x).astype(np.float64), spatial(node, "ksize"), fill=np.nan)
    return as_written(node, np.nanmean(seen, axis=(2, 4))).astype(x.dtype)


def along_channels(node: Any, x: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return vector.reshape((1, -1, 1, 1)) if channels_first(node) else vector


def normalised(node: Any, x: np.ndarray, scale: Any, offset: Any, mean: Any, variance: Any) -> np.ndarray:
    """By the mean and variance given, or by the image's own where it is training."""
    if flag(node, "is_training"):
        axes = (0, 2, 3) if channels_first(node) else (0, 1, 2)
        mean, variance = (function(x, axis=axes, dtype=np.float64) for function in (np.mean, np.var))
    vectors = [along_channels(node, x, item.astype(np.float64)) for item in (scale, offset, mean, variance)]
    epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else 1e-4
    result = (x - vectors[2]) / np.sqrt(vectors[3] + epsilon) * vectors[0] + vectors[1]
    return result.astype(x.dtype)


def padded(node: Any, x: np.ndarray, pads: np.ndarray, value: Any = 0) -> np.ndarray:
    if node.op == "MirrorPad":
        return np.pad(x, pads.tolist(), mode={"REFLECT": "reflect", "SYMMETRIC": "symmetric"}[text(node, "mode")])
    return np.pad(x, pads.tolist(), mode="constant", constant_values=value)


def reduction(function: Any) -> Any:
    def reduced(node: Any, x: np.ndarray, axes: np.ndarray) -> np.ndarray:
        axis = tuple(int(item) for item in np.ravel(axes))
        wide = x.astype(np.float64) if x.dtype.kind == "f" else x
        return np.asarray(function(wide, axis=axis, keepdims=flag(node, "keep_dims", "keepdims")), x.dtype)

    return reduced


def squeezed(node: Any, x: np.ndarray) -> np.ndarray:
    return np.squeeze(x, axis=tuple(integers(node, "squeeze_dims")) or None)


def depth_to_space(node: Any, x: np.ndarray) -> np.ndarray:
    """tensorflow/core/ops/array_ops.cc, DepthToSpace: the block's place is the channel's more significant part."""
    x, block = channels_last(node, x), node.attr["block_size"].i
    n, h, w, c = x.shape
    blocks = x.reshape(n, h, w, block, block, c // block**2).transpose(0, 1, 3, 2, 4, 5)
    return as_written(node, blocks.reshape(n, h * block, w * block, -1))


def space_to_depth(node: Any, x: np.ndarray) -> np.ndarray:
    x, block = channels_last(node, x), node.attr["block_size"].i
    n, h, w, c = x.shape
    blocks = x.reshape(n, h // block, block, w // block, block, c).transpose(0, 1, 3, 2, 4, 5)
    return as_written(node, blocks.reshape(n, h // block, w // block, -1))


def strided_slice(node: Any, x: np.ndarray, begin: Any, end: Any, strides: Any) -> np.ndarray:
    """Without an ellipsis and without new axes."""
    mask = {name: node.attr[name].i for name in ("begin_mask", "end_mask", "shrink_axis_mask") if name in node.attr}
    cuts: list[Any] = []
    for axis, (low, high, step) in enumerate(zip(begin, end, strides)):
        if mask.get("shrink_axis_mask", 0) >> axis & 1:
            cuts.append(int(low))
            continue
        first = None if mask.get("begin_mask", 0) >> axis & 1 else int(low)
        cuts.append(slice(first, None if mask.get("end_mask", 0) >> axis & 1 else int(high), int(step)))
    return x[tuple(cuts)]


def sliced(node: Any, x: np.ndarray, begin: Any, size: Any) -> np.ndarray:
    return x[tuple(slice(low, None if n < 0 else low + n) for low, n in zip(begin.tolist(), size.tolist()))]


def shape(node: Any, x: np.ndarray) -> np.ndarray:
    return np.array(x.shape, np.int64 if node.attr["out_type"].type == 9 else np.int32)


#: By the operation: from the node and its operands to the output, or to a list of all outputs.
KERNELS: dict[str, Any] = {
    "AddN": lambda node, *parts: sum(parts),
    "AvgPool": average,
    "BiasAdd": lambda node, x, bias: x + along_channels(node, x, bias),
    "ConcatV2": lambda node, *parts: np.concatenate(parts[:-1], axis=int(parts[-1])),
    "Conv2D": convolution,
    "Conv2DBackpropInput": transposed_convolution,
    "DepthToSpace": depth_to_space,
    "DepthwiseConv2dNative": depthwise_convolution,
    "ExpandDims": lambda node, x, axis: np.expand_dims(x, int(axis)),
    "Fill": lambda node, dims, value: np.full(dims.tolist(), value, value.dtype),
    "FusedBatchNorm": normalised,
    "FusedBatchNormV2": normalised,
    "FusedBatchNormV3": normalised,
    "GatherV2": lambda node, x, indices, axis: np.take(x, indices, axis=int(axis)),
    "LeakyRelu": lambda node, x: np.where(x > 0, x, x.dtype.type(node.attr["alpha"].f) * x),
    "MatMul": lambda node, a, b: (a.T if flag(node, "transpose_a") else a) @ (b.T if flag(node, "transpose_b") else b),
    "MaxPool": largest,
    "Max": reduction(np.max),
    "Mean": reduction(np.mean),
    "MirrorPad": padded,
    "Pack": lambda node, *parts: np.stack(parts, axis=node.attr["axis"].i),
    "Pad": padded,
    "PadV2": padded,
    "Relu6": lambda node, x: np.clip(x, 0, 6),
    "Reshape": lambda node, x, sizes: x.reshape(sizes.tolist()),
    "Shape": shape,
    "Slice": sliced,
    "SpaceToDepth": space_to_depth,
    "Split": lambda node, axis, x: np.split(x, node.attr["num_split"].i, axis=int(axis)),
    "Squeeze": squeezed,
    "StridedSlice": strided_slice,
    "Sum": reduction(np.sum),
    "Tile": lambda node, x, times: np.tile(x, times),
    "Transpose": lambda node, x, order: x.transpose(order),
}
