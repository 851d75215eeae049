"""The spellings that PReLU is given, and which of them serves which converter.

What follows was measured with every TensorFlow from 1.5 to 2.21 and with TensorFlow.js 0.8, 1.7 and 4, behind
convolutions and matrix products.

LEAKY_RELU: one slope for all channels. TFLite has an operator for it from 1.13 on, TensorFlow knows the operation from
1.13 on; TensorFlow.js 4 makes it part of the convolution, 1.7 does not.

RELUS: the spelling that converters make one PRELU or Prelu of. TOCO does from 1.8 on, but until 1.10 a PRELU loads only
where x has rank 4 and alpha rank 3. The converters from 2.2 on (MLIR) want alpha to have the rank of x less one;
2.5 misses it behind a matrix product. TensorFlow.js does from 1.x on, 0.8 fuses nothing.

The others are for who makes no PRELU of anything; each has the fewest operators that can be had there.
MAXIMUM: two operators, for slopes up to 1; TFLite has Maximum from 1.8 on.
MAXIMUM_AND_MINIMUM: four; TFLite has Minimum from 1.9 on, and Neg, which 1.9 computes wrongly in a PReLU.
DIFFERENCE: four; TFLite has Sub from 1.6 on. It is no number where x is infinite.
TWO_FACTORS: four, and all that TFLite 1.5 has; it rounds twice where x is positive.
"""

import enum
from typing import Optional, Tuple

import numpy as np

from modelmill_rewriter.rules_api import Builder, Dtype, Layout, Match, Target, Tensor


class Form(enum.Enum):
    """A way to spell PReLU; its value is the expression."""

    LEAKY_RELU = "LeakyRelu(x)"
    RELUS = "relu(x) + (-alpha) * relu(neg(x))"
    MAXIMUM = "maximum(x, alpha * x)"
    MAXIMUM_AND_MINIMUM = "maximum(x, 0) + alpha * minimum(x, 0)"
    DIFFERENCE = "relu(x) + alpha * (x - relu(x))"
    TWO_FACTORS = "alpha * x + (1 - alpha) * relu(x)"


#: How many nodes a form has.
_NODES = {Form.MAXIMUM: 2, Form.MAXIMUM_AND_MINIMUM: 4, Form.DIFFERENCE: 4, Form.TWO_FACTORS: 4}

#: What TFLite has operators for, of what PReLU is spelled with, and since when.
_SINCE = {
    "Add": (1, 5),
    "AddV2": (1, 15),
    "Mul": (1, 5),
    "Relu": (1, 5),
    "Sub": (1, 6),
    "Maximum": (1, 8),
    "Minimum": (1, 9),
    "Greater": (1, 9),
    "Select": (1, 9),
}


def form_for(target: Target, alpha: np.ndarray, layout: Optional[Layout]) -> Form:
    """The form for a slope, where x has this rank and these channels.

    Slopes above 1 are no LEAKY_RELU: whether x or alpha * x is taken has not been the same in every version.
    """
    gentle = bool(np.all(alpha <= 1))
    if gentle and alpha.size == 1 and np.float32(alpha) == alpha and _knows_leaky_relu(target):
        return Form.LEAKY_RELU
    if _makes_one_operator(target, layout):
        return Form.RELUS
    if _is_tflite_before(target, 1, 6):
        return Form.TWO_FACTORS
    if gentle and not _is_tflite_before(target, 1, 8):
        return Form.MAXIMUM
    return Form.DIFFERENCE if _is_tflite_before(target, 1, 9) else Form.MAXIMUM_AND_MINIMUM


def is_no_worse(form: Form, operations: Tuple[str, ...], target: Target) -> bool:
    """Whether these operations, which compute a PReLU, serve the target as well as the form does."""
    if form not in _NODES or len(operations) > _NODES[form]:
        return False
    return target.name != "tflite" or not any(
        operation not in _SINCE or target.is_converted_before(*_SINCE[operation]) for operation in operations
    )


def _knows_leaky_relu(target: Target) -> bool:
    if target.name == "tfjs":
        return not target.is_converted_before(2, 13)  # which all TensorFlow.js 4 are made with
    return not target.is_converted_before(1, 13)


def _makes_one_operator(target: Target, layout: Optional[Layout]) -> bool:
    """Whether the converter recognises RELUS; where no target is told, some converter later will."""
    if target.name == "frozen-graph":
        return False
    if target.name == "tfjs":
        return not target.is_converted_before(1, 13)
    rank = None if layout is None else layout.rank
    if target.is_converted_before(1, 8):
        return False
    if target.is_converted_before(1, 11):
        return rank == 4
    if target.is_converted_before(2, 2) or target.name != "tflite":
        return True
    return rank is not None and rank > 1 and (target.tensorflow, rank) != ((2, 5), 2)


def _is_tflite_before(target: Target, major: int, minor: int) -> bool:
    return target.name == "tflite" and target.is_converted_before(major, minor)


def fitted(alpha: np.ndarray, layout: Optional[Layout]) -> np.ndarray:
    """Alpha with the rank of x less one, and a slope for each channel, as far as layout and alpha allow."""
    if layout is None or layout.rank < 2:
        return alpha
    while alpha.ndim >= layout.rank and alpha.shape[0] == 1:
        alpha = alpha[0]
    if alpha.ndim < layout.rank:
        alpha = alpha.reshape((1,) * (layout.rank - 1 - alpha.ndim) + alpha.shape)
        if layout.channels > 1 and alpha.size == 1:
            alpha = np.broadcast_to(alpha, alpha.shape[:-1] + (layout.channels,))
    return alpha


def build(form: Form, x: Tensor, alpha: np.ndarray, layout: Optional[Layout], match: Match, make: Builder) -> Tensor:
    """The form's nodes. In RELUS the relu comes first, which TensorFlow.js insists on."""
    newer = match.root_node.op == "AddV2" and not match.target.is_converted_before(1, 15)
    add = "AddV2" if newer else "Add"
    if form is Form.LEAKY_RELU:
        assert match.dtype is not None
        return make.node("LeakyRelu", x, attributes={"T": Dtype(match.dtype.number), "alpha": float(alpha.reshape(()))})
    if form is Form.RELUS:
        positive = make.node("Relu", x)
        minus_alpha = make.constant("minus_alpha", -fitted(alpha, layout))
        return make.node(add, positive, make.node("Mul", minus_alpha, make.node("Relu", make.node("Neg", x))))
    if form is Form.MAXIMUM:
        return make.node("Maximum", x, make.node("Mul", make.constant("alpha", alpha), x))
    if form is Form.MAXIMUM_AND_MINIMUM:
        zero = make.constant("zero", np.float32(0))
        negative = make.node("Mul", make.constant("alpha", alpha), make.node("Minimum", x, zero))
        return make.node(add, make.node("Maximum", x, zero), negative)
    positive = make.node("Relu", x)
    if form is Form.DIFFERENCE:
        negative = make.node("Mul", make.constant("alpha", alpha), make.node("Sub", x, positive))
        return make.node(add, positive, negative)
    scaled = make.node("Mul", make.constant("alpha", alpha), x)
    return make.node(add, scaled, make.node("Mul", make.constant("one_minus_alpha", 1 - alpha), positive))
