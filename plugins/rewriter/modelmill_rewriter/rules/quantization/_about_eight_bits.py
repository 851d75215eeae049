"""Floats as 8-bit codes and a range, as TensorFlow's own quantised operations understand them (mode MIN_FIRST).

A code q in 0 ... 255 stands for low + q * (high - low) / 255, with low moved by less than half a step so that 0 has a
code: q = round(x * 255 / (high - low)) - round(low * 255 / (high - low)), halves away from zero.
(tensorflow/core/kernels/quantization_utils.h, FloatToQuantizedUnclamped.)
"""

from typing import List, NamedTuple, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import Dtype, Tensor, set_attribute

QUINT8 = Dtype(tensors.data_type_named("quint8").number)
QINT32 = Dtype(tensors.data_type_named("qint32").number)
INT32 = Dtype(tensors.data_type_named("int32").number)
FLOAT = Dtype(tensors.data_type_named("float32").number)

#: What weights or results of so few values may cost, relative to an output's range: as much as a conversion to TFLite
#: with int8 weights may. Of the corpus, trained nets cost up to 0.09, and nets with a batch normalisation folded into
#: one range for all channels of a depthwise convolution more than this.
LOW_PRECISION = 0.25
#: How many elements are worked on at once, so that the doubles in between stay small beside a large constant.
_PIECE = 2**18


class EightBit(NamedTuple):
    """A tensor in 8 bits: its codes, and the scalar tensors between which they lie."""

    codes: Tensor
    low: Tensor
    high: Tensor


def range_of(array: np.ndarray) -> Tuple[np.float32, np.float32]:
    """The range to give an array's codes: from its smallest to its largest element, with 0 inside; 0 to 1 for zeros.

    Where low lies half-way between two codes, float32 would round it one way here and another way when the model runs:
    such a range is widened by a hundredth of a step.

    array: float32, finite.
    """
    low = np.float32(min(array.min(), 0)) if array.size else np.float32(0)
    high = np.float32(max(array.max(), 0)) if array.size else np.float32(0)
    if not low < high:
        return low, np.float32(1)
    step = (float(high) - float(low)) / 255
    if abs(abs(float(low)) / step % 1 - 0.5) < 1e-3:
        low = np.float32(low - step / 100)
    return low, high


def nudged(low: float, high: float) -> Tuple[float, float]:
    """The range that a FakeQuant of this range takes: moved so that 0 has a code, by half a step at most.

    low, high: with 0 between them. (tensorflow/core/kernels/fake_quant_ops_functor.h, Nudge.)
    """
    step = (high - low) / 255
    zero = np.floor(-low / step + 0.5)
    return float(-zero * step), float((255 - zero) * step)


def codes_of(array: np.ndarray, low: np.float32, high: np.float32) -> np.ndarray:
    """The codes of an array's elements, as uint8; what lies outside the range gets the code of its end."""
    codes = np.empty(array.shape, np.uint8)
    flat, given = codes.reshape(-1), array.reshape(-1)
    scale = 256 / (float(high - low) * (256 / 255))
    zero = _rounded(np.float64(low) * scale)
    for start in range(0, given.size, _PIECE):
        piece = _rounded(given[start : start + _PIECE].astype(np.float64) * scale) - zero
        flat[start : start + _PIECE] = np.clip(piece, 0, 255)
    return codes


def constant_nodes(name: str, array: np.ndarray, low: np.float32, high: np.float32) -> List[NodeDef]:
    """The three constants that stand for a float constant: codes, low and high, named after it."""
    return [
        graph_def.new_constant(name + "_quantized_const", codes_of(array, low, high), tensors.data_type(QUINT8)),
        scalar(name + "_quantized_min", low),
        scalar(name + "_quantized_max", high),
    ]


def scalar(name: str, value: float) -> NodeDef:
    """A float32 constant without dimensions."""
    return graph_def.new_constant(name, np.asarray(value, np.float32))


def dequantize(name: str, value: EightBit) -> NodeDef:
    """The node that makes floats of codes again."""
    node = graph_def.new_node(name, "Dequantize", tuple(str(tensor) for tensor in value))
    set_attribute(node, "T", QUINT8)
    set_attribute(node, "mode", b"MIN_FIRST")
    return node


def quantize(name: str, value: Tensor, low: Tensor, high: Tensor) -> NodeDef:
    """The node that makes codes of floats when the model runs; its three outputs are an `EightBit`."""
    node = graph_def.new_node(name, "QuantizeV2", (str(value), str(low), str(high)))
    set_attribute(node, "T", QUINT8)
    set_attribute(node, "mode", b"MIN_FIRST")
    return node


def _rounded(values: np.ndarray) -> np.ndarray:
    """To the nearest whole number, halves away from zero, as C rounds."""
    return np.trunc(values + np.copysign(0.5, values))
