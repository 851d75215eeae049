"""Convolutions and matrix products, as what a constant factor or summand may be folded into.

A linear operation is y = W * x, with a constant filter W whose output channels lie along known axes. Behind it may
stand a bias, and then an operation that moves values and keeps each in its channel:

    moved(W * x + b)
"""

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np
from modelmill_worker.graph_def import NodeDef, attribute
from modelmill_worker.tensors import FLOATING

from modelmill_rewriter.rules_api import (
    YES,
    Attribute,
    Builder,
    Dtype,
    Match,
    Pattern,
    Tensor,
    Verdict,
    either,
    no,
    op,
    value,
)

#: Where a data format puts channels; what has no data format has them last.
_CHANNELS_FIRST = (b"NCHW", b"NCDHW")
_FAKE_QUANT = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel")


def linear(x: Optional[Pattern] = None) -> Pattern:
    """The operation, as `match.node("linear")`; it reads the filter `w` and, to transpose, `sizes`.

    x: what it convolves or multiplies; any tensor, by the name `x`, where nothing is given.
    """
    x, w = x or value("x"), value("w")
    return either(
        op(("Conv2D", "Conv3D", "DepthwiseConv2dNative", "MatMul"), x, w, name="linear"),
        op("Conv2DBackpropInput", value("sizes"), w, x, name="linear"),
    )


def biased(source: Pattern) -> Pattern:
    """What the source gives out, with a bias `b` behind it or without; `match.node("bias")` adds or subtracts it."""
    b = value("b")
    return either(
        op(("BiasAdd",), source, b, name="bias"),
        op(("Add", "AddV2"), source, b, commutes=True, name="bias"),
        op("Sub", source, b, name="bias"),
        source,
    )


def moved(source: Pattern) -> Pattern:
    """The source behind an operation that only moves its values, `match.node("moved")`, or as it is."""
    return either(
        op("Reshape", source, value("moved_to"), name="moved"),
        op("BatchToSpaceND", source, value("moved_to"), value("crops"), name="moved"),
        source,
    )


def quantised_between() -> Pattern:
    """The source behind a FakeQuant, `match.node("between")`, over which nothing is folded."""
    source = moved(biased(linear()))
    return op((*_FAKE_QUANT, "FakeQuantWithMinMaxArgs"), source, open_ended=True, name="between")


def check_between(match: Match) -> Verdict:
    """No, with the reason, where a FakeQuant lies between the linear operation and the root."""
    if "between" not in match:
        return YES
    return no("{} quantises what it would be folded into".format(match.node("between").name))


@dataclass(frozen=True)
class Channels:
    """The output channels of a match's linear operation: how many, and the axis of its output that they lie along."""

    count: int
    axis: int


def channels_of(match: Match) -> Optional[Channels]:
    """None where the filter is not constant."""
    node = match.node("linear")
    filter_ = weights(match)
    if filter_ is None:
        return None
    if node.op == "DepthwiseConv2dNative":
        count = filter_.shape[2] * filter_.shape[3]
    elif node.op == "Conv2DBackpropInput":
        count = filter_.shape[2]
    elif node.op == "MatMul":
        count = filter_.shape[0] if attribute(node, "transpose_b").b else filter_.shape[1]
    else:
        count = filter_.shape[-1]
    return Channels(int(count), 1 if is_channels_first(node) else -1)


def is_channels_first(node: NodeDef) -> bool:
    """Whether an operation's data format has the channels behind the batch."""
    return attribute(node, "data_format").s in _CHANNELS_FIRST


def weights(match: Match) -> Optional[np.ndarray]:
    """The filter's value, behind a FakeQuant where it has one; None where it is not constant, or none for it."""
    quantised = fake_quant_of(match)
    source = match["w"] if quantised is None else match.graph.data_inputs(quantised.name)[0]
    array = match.graph.constant(source)
    return array if array is not None and array.ndim == rank_of(match) else None


def fake_quant_of(match: Match) -> Optional[NodeDef]:
    """The FakeQuant that the filter goes through; None where it goes through none."""
    node = match.graph.node(match["w"].node)
    return node if node.op in _FAKE_QUANT else None


def per_channel(array: Optional[np.ndarray], channels: Channels, rank: int) -> Optional[np.ndarray]:
    """A constant as one number for each channel; None where it differs within one, or would stretch what it meets.

    rank: of the tensor that the constant is broadcast with.
    """
    if array is None or array.dtype.kind != "f" or array.ndim > rank:
        return None
    if array.size == 1:
        return np.full(channels.count, array.reshape(()), array.dtype)
    aligned = array.reshape((1,) * (rank - array.ndim) + array.shape)
    axis = channels.axis % rank
    if aligned.shape[axis] != channels.count or aligned.size != channels.count:
        return None
    return aligned.reshape(channels.count)


def rank_of(match: Match) -> int:
    """The rank of what the linear operation gives out."""
    return {"MatMul": 2, "Conv3D": 5}.get(match.node("linear").op, 4)


def rank_behind(match: Match) -> int:
    """The rank of what stands behind the linear operation, moved or not."""
    if "moved" not in match:
        return rank_of(match)
    shape = match.graph.shape(Tensor(match.node("moved").name))
    return len(shape) if shape is not None else rank_of(match)


def bias_of(match: Match, channels: Channels) -> Optional[np.ndarray]:
    """What is added to the linear operation's output, for each channel, in float64; None where it is not constant."""
    if "b" not in match:
        return np.zeros(channels.count)
    node = match.node("bias")
    own = channels if node.op != "BiasAdd" else Channels(channels.count, -1)
    found = per_channel(match.constant("b"), own, rank_of(match) if node.op != "BiasAdd" else 1)
    if found is None:
        return None
    return -found.astype(np.float64) if node.op == "Sub" else found.astype(np.float64)


def foldable(match: Match) -> Verdict:
    """Whether the linear operation has a constant filter, a constant bias, and its channels where they are known."""
    node, dtype = match.node("linear"), match.dtype_of("x")
    if dtype is None or dtype.name not in FLOATING:
        return no("it computes {}, and filters are folded in floats only".format(dtype.name if dtype else "no type"))
    if node.op == "Conv3D" and is_channels_first(node):
        return no("{} has its channels before three dimensions".format(node.name))
    channels = channels_of(match)
    if channels is None:
        return no("the filter of {}, {}, is not constant".format(node.name, match["w"]))
    if bias_of(match, channels) is None:
        return no("what {} adds, {}, is no constant for each channel".format(match.node("bias").name, match["b"]))
    return _keeps_channels(match, channels) if "moved" in match else YES


def _keeps_channels(match: Match, channels: Channels) -> Verdict:
    """Whether what moves values leaves each in its channel."""
    node = match.node("moved")
    if is_channels_first(match.node("linear")):
        return no("{} moves channels that do not lie last".format(node.name))
    shape = match.graph.shape(Tensor(node.name))
    if node.op == "Reshape" and (not shape or shape[-1] != channels.count):
        return no("{} may not keep the channels last".format(node.name))
    return YES


def scaling(match: Match, factor: np.ndarray) -> Verdict:
    """Whether the filter can be multiplied by a factor for each channel and keep its quantisation ranges right."""
    quantised = fake_quant_of(match)
    if quantised is None:
        return YES
    if np.any(factor <= 0):
        return no("its factor is not above zero everywhere, and {} quantises the filter".format(quantised.name))
    ranges = [match.graph.constant(tensor) for tensor in match.graph.data_inputs(quantised.name)[1:3]]
    if any(array is None for array in ranges):
        return no("the range of {}, which quantises the filter, is not constant".format(quantised.name))
    if quantised.op == "FakeQuantWithMinMaxVars" and np.any(factor != factor[0]):
        return no(
            "its factor differs from channel to channel, and {} quantises the whole filter with one range".format(
                quantised.name
            )
        )
    if quantised.op == "FakeQuantWithMinMaxVarsPerChannel" and not _ranges_lie_along(match, factor):
        return no("{} has ranges for other channels than those of the factor".format(quantised.name))
    return YES


def _ranges_lie_along(match: Match, factor: np.ndarray) -> bool:
    """Whether a FakeQuant for each channel, which is along the filter's last axis, is along the output's channels."""
    node = match.node("linear")
    if node.op == "Conv2DBackpropInput" or (node.op == "MatMul" and attribute(node, "transpose_b").b):
        return False
    array = weights(match)
    return array is not None and array.shape[-1] == factor.size


def scaled_filter(match: Match, make: Builder, factor: np.ndarray) -> Tensor:
    """The filter times a factor for each output channel, with its FakeQuant's range multiplied as well."""
    array = weights(match)
    assert array is not None
    node = match.node("linear")
    dtype = _dtype_name(match)
    made = make.constant("weights", (array.astype(np.float64) * _along(node, factor, array.shape)), dtype)
    quantised = fake_quant_of(match)
    if quantised is None:
        return made
    ranges = [match.graph.constant(tensor) for tensor in match.graph.data_inputs(quantised.name)[1:3]]
    one_range = quantised.op == "FakeQuantWithMinMaxVars"
    low, high = (
        make.constant(label, np.asarray(array, np.float64) * (factor[0] if one_range else factor), "float32")
        for label, array in zip(("min", "max"), ranges)
    )
    return make.like(quantised, made, low, high, label="quantised")


def _along(node: NodeDef, factor: np.ndarray, shape: Tuple[int, ...]) -> np.ndarray:
    """A factor for each output channel in the shape that multiplies a filter of that shape."""
    if node.op == "DepthwiseConv2dNative":
        return factor.reshape((1, 1) + shape[2:])
    if node.op == "Conv2DBackpropInput":
        return factor.reshape((1, 1, -1, 1))
    if node.op == "MatMul" and attribute(node, "transpose_b").b:
        return factor.reshape((-1, 1))
    return factor


def linear_like(match: Match, make: Builder, filter_: Tensor) -> Tensor:
    """The linear operation with another filter."""
    node = match.node("linear")
    if node.op == "Conv2DBackpropInput":
        return make.like(node, match["sizes"], filter_, match["x"])
    return make.like(node, match["x"], filter_)


def with_bias(match: Match, make: Builder, source: Tensor, bias: np.ndarray) -> Tensor:
    """A BiasAdd behind a tensor with the channels of the match's linear operation; none for a bias of zeros."""
    if not np.any(bias):
        return source
    attributes: Dict[str, Attribute] = {"T": Dtype(match.graph.dtype(match["x"]))}
    if is_channels_first(match.node("linear")):
        attributes["data_format"] = b"NCHW"
    return make.node("BiasAdd", source, make.constant("bias", bias, _dtype_name(match)), attributes=attributes)


def moved_like(match: Match, make: Builder, source: Tensor) -> Tensor:
    """The moving operation over another tensor, where the match has one."""
    if "moved" not in match:
        return source
    others = [match[name] for name in ("moved_to", "crops") if name in match]
    return make.like(match.node("moved"), source, *others)


def _dtype_name(match: Match) -> str:
    dtype = match.dtype_of("x")
    assert dtype is not None
    return dtype.name
