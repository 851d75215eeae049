"""Operations that compute each element by itself: arithmetic, comparison, logic, casts, choices.

Integers wrap round as TensorFlow's do; what it refuses (division of integers by zero) or leaves open (a float beyond
the integers that it is cast to) is not computed. Floats are rounded once where NumPy and TensorFlow both do.
"""

import math
from typing import Any, Callable, Dict

import numpy as np
from modelmill_worker import tensors

from modelmill_rewriter._kernels._call import Call, ComputationError, Kernel, broadcast_shape, require


def _unary(function: Callable[[np.ndarray], Any]) -> Kernel:
    """A function of each element; it keeps the dtype unless it answers with bools."""

    def kernel(call: Call) -> Any:
        (x,) = call.inputs
        return [_like(x, function(x))]

    return kernel


def _float_unary(function: Callable[[np.ndarray], Any]) -> Kernel:
    """A function that TensorFlow has for floats only. Half precision is computed in single, and rounded once."""

    def kernel(call: Call) -> Any:
        (x,) = call.inputs
        require(x.dtype.kind in "fc", "it computes {}, which it is not made for".format(x.dtype))
        return [_like(x, function(x.astype(np.float32) if x.dtype == np.float16 else x))]

    return kernel


def _binary(function: Callable[[np.ndarray, np.ndarray], Any]) -> Kernel:
    """A function of two elements, whose operands broadcast."""

    def kernel(call: Call) -> Any:
        x, y = call.inputs
        require(x.dtype == y.dtype, "it reads {} and {}".format(x.dtype, y.dtype))
        call.require_room(broadcast_shape([x, y]), x.dtype)
        return [_like(x, function(x, y))]

    return kernel


def _like(x: np.ndarray, result: Any) -> np.ndarray:
    array = np.asarray(result)
    return array if array.dtype.kind == "b" else array.astype(x.dtype, copy=False)


def _truncated_quotient(x: np.ndarray, y: np.ndarray) -> Any:
    """As C divides integers: towards zero."""
    if x.dtype.kind not in "iu":
        return np.divide(x, y)
    _require_no_zero(y)
    quotient = np.floor_divide(x, y)
    return quotient + ((quotient < 0) & (quotient * y != x)).astype(x.dtype)


def _real_quotient(x: np.ndarray, y: np.ndarray) -> Any:
    require(x.dtype.kind in "fc", "it divides {}".format(x.dtype))
    return np.divide(x, y)


def _floored_quotient(x: np.ndarray, y: np.ndarray) -> Any:
    if x.dtype.kind in "iu":
        _require_no_zero(y)
        return np.floor_divide(x, y)
    return np.floor(np.divide(x, y))


def _floored_rest(x: np.ndarray, y: np.ndarray) -> Any:
    if x.dtype.kind in "iu":
        _require_no_zero(y)
        return np.mod(x, y)
    rest = np.fmod(x, y)
    return np.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)


def _truncated_rest(x: np.ndarray, y: np.ndarray) -> Any:
    if x.dtype.kind in "iu":
        _require_no_zero(y)
    return np.fmod(x, y)


def _require_no_zero(y: np.ndarray) -> None:
    require(np.all(y != 0), "it divides integers by zero")


def _quotient_or_zero(x: np.ndarray, y: np.ndarray) -> Any:
    return np.where(y == 0, np.zeros((), x.dtype), np.divide(x, y))


def _product_or_zero(x: np.ndarray, y: np.ndarray) -> Any:
    return np.where(y == 0, np.zeros((), x.dtype), np.multiply(x, y))


def _power(x: np.ndarray, y: np.ndarray) -> Any:
    if x.dtype.kind in "iu":
        require(np.all(y >= 0), "it raises integers to negative powers")
    return np.power(x, y)


def _square_of_difference(x: np.ndarray, y: np.ndarray) -> Any:
    difference = np.subtract(x, y)
    return difference * difference


def _shift(function: Callable[[np.ndarray, np.ndarray], Any]) -> Callable[[np.ndarray, np.ndarray], Any]:
    def shift(x: np.ndarray, y: np.ndarray) -> Any:
        require(np.all((y >= 0) & (y < 8 * x.dtype.itemsize)), "it shifts by more than there are bits")
        return function(x, y)

    return shift


def _sign(x: np.ndarray) -> Any:
    require(x.dtype.kind != "c", "it computes complex numbers")
    return np.sign(x)


def _round(x: np.ndarray) -> Any:
    """To the nearest integer, halves to the even one."""
    return x if x.dtype.kind in "iu" else np.rint(x)


def _reciprocal(x: np.ndarray) -> Any:
    require(x.dtype.kind in "fc", "it divides {}".format(x.dtype))
    return np.divide(np.ones((), x.dtype), x)


def _erf(x: np.ndarray) -> Any:
    require(x.dtype.kind == "f", "it computes {}".format(x.dtype))
    flat = [math.erf(item) for item in x.ravel().tolist()]
    return np.array(flat, np.float64).reshape(x.shape)


def _sigmoid(x: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-x.astype(np.float64))) if x.dtype.kind == "f" else 1 / (1 + np.exp(-x))


def _elu(x: np.ndarray) -> Any:
    return np.where(x < 0, np.expm1(np.minimum(x, 0)), x)


def _softplus(x: np.ndarray) -> Any:
    return np.logaddexp(x, np.zeros((), x.dtype))


def _softmax(x: np.ndarray) -> Any:
    """Over the last axis."""
    require(x.ndim > 0, "it reads a scalar")
    powers = np.exp((x - x.max(-1, keepdims=True)).astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


def _log_softmax(x: np.ndarray) -> Any:
    require(x.ndim > 0, "it reads a scalar")
    shifted = (x - x.max(-1, keepdims=True)).astype(np.float64)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _leaky_relu(call: Call) -> Any:
    (x,) = call.inputs
    # The attribute is single precision, and so is what TensorFlow multiplies with.
    alpha = np.float32(call.number("alpha", 0.2)).astype(x.dtype)
    return [np.where(x > 0, x, alpha * x)]


def _cast(call: Call) -> Any:
    (x,) = call.inputs
    target = tensors.data_type(call.type_number("DstT", 0))
    require(not call.flag("Truncate"), "it rounds towards zero")
    require(target.storage is not None, "it makes {}".format(target.name))
    dtype = np.dtype(np.float32) if target.name == "bfloat16" else np.dtype(target.storage)
    require(x.dtype.kind != "c" or dtype.kind == "c", "it drops the imaginary part")
    if x.dtype.kind == "f" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        whole = np.trunc(x.astype(np.float64))
        fits = (whole >= float(limits.min)) & (whole < float(limits.max) + 1)
        require(np.all(fits), "it casts a number to {} which that cannot hold".format(dtype))
    call.require_room(x.shape, dtype)
    return [x.astype(dtype)]


def _choice(broadcasts: bool) -> Kernel:
    """The first where the condition holds, else the second; Select takes a vector as condition for whole rows."""

    def kernel(call: Call) -> Any:
        condition, x, y = call.inputs
        require(condition.dtype == bool and x.dtype == y.dtype, "its dtypes do not go together")
        if not broadcasts:
            require(x.shape == y.shape, "its sides have the shapes {} and {}".format(list(x.shape), list(y.shape)))
            if condition.ndim == 1 and x.ndim > 1:
                require(condition.shape[0] == x.shape[0], "its condition has another length than its sides")
                condition = condition.reshape((-1,) + (1,) * (x.ndim - 1))
            else:
                require(condition.shape in ((), x.shape), "its condition has another shape than its sides")
        call.require_room(broadcast_shape([condition, x, y]), x.dtype)
        return [np.where(condition, x, y)]

    return kernel


def _clip(call: Call) -> Any:
    x, low, high = call.inputs
    call.require_room(broadcast_shape([x, low, high]), x.dtype)
    return [np.minimum(np.maximum(x, low), high)]


def _sum_of_all(call: Call) -> Any:
    first = call.inputs[0]
    total = first
    for other in call.inputs[1:]:
        require(other.shape == first.shape, "it adds tensors of different shapes")
        total = total + other
    return [total]


def _bias_add(call: Call) -> Any:
    x, bias = call.inputs
    require(bias.ndim == 1 and x.ndim >= 2, "it adds no bias to channels")
    if call.text("data_format", "NHWC") == "NCHW":
        require(x.shape[1] == bias.shape[0], "its bias does not fit")
        return [x + bias.reshape((1, -1) + (1,) * (x.ndim - 2))]
    require(x.shape[-1] == bias.shape[0], "its bias does not fit")
    return [x + bias]


def _as_it_is(call: Call) -> Any:
    if not call.inputs:
        raise ComputationError("it reads nothing")
    return call.inputs


_UNARY: Dict[str, Callable[[np.ndarray], Any]] = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Floor": np.floor,
    "Invert": np.invert,
    "IsFinite": np.isfinite,
    "IsInf": np.isinf,
    "IsNan": np.isnan,
    "LogicalNot": np.logical_not,
    "Neg": np.negative,
    "OnesLike": np.ones_like,
    "Relu": lambda x: np.maximum(x, np.zeros((), x.dtype)),
    "Relu6": lambda x: np.minimum(np.maximum(x, np.zeros((), x.dtype)), np.array(6, x.dtype)),
    "Round": _round,
    "Rint": _round,
    "Sign": _sign,
    "Square": lambda x: x * x,
    "ZerosLike": np.zeros_like,
}

_FLOAT_UNARY: Dict[str, Callable[[np.ndarray], Any]] = {
    "Acos": np.arccos,
    "Asin": np.arcsin,
    "Atan": np.arctan,
    "Cos": np.cos,
    "Cosh": np.cosh,
    "Elu": _elu,
    "Erf": _erf,
    "Exp": np.exp,
    "Expm1": np.expm1,
    "Inv": _reciprocal,
    "Log": np.log,
    "Log1p": np.log1p,
    "LogSoftmax": _log_softmax,
    "Reciprocal": _reciprocal,
    "Rsqrt": lambda x: _reciprocal(np.sqrt(x)),
    "Sigmoid": _sigmoid,
    "Sin": np.sin,
    "Sinh": np.sinh,
    "Softmax": _softmax,
    "Softplus": _softplus,
    "Sqrt": np.sqrt,
    "Tan": np.tan,
    "Tanh": np.tanh,
}

_BINARY: Dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
    "Add": np.add,
    "AddV2": np.add,
    "Atan2": np.arctan2,
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
    "Div": _truncated_quotient,
    "DivNoNan": _quotient_or_zero,
    "Equal": np.equal,
    "FloorDiv": _floored_quotient,
    "FloorMod": _floored_rest,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "LeftShift": _shift(np.left_shift),
    "Less": np.less,
    "LessEqual": np.less_equal,
    "LogicalAnd": np.logical_and,
    "LogicalOr": np.logical_or,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mod": _truncated_rest,
    "Mul": np.multiply,
    "MulNoNan": _product_or_zero,
    "NotEqual": np.not_equal,
    "Pow": _power,
    "RealDiv": _real_quotient,
    "RightShift": _shift(np.right_shift),
    "SquaredDifference": _square_of_difference,
    "Sub": np.subtract,
    "TruncateDiv": _truncated_quotient,
    "TruncateMod": _truncated_rest,
}

KERNELS: Dict[str, Kernel] = {
    "AddN": _sum_of_all,
    "BiasAdd": _bias_add,
    "Cast": _cast,
    "ClipByValue": _clip,
    "IdentityN": _as_it_is,
    "LeakyRelu": _leaky_relu,
    "PlaceholderWithDefault": _as_it_is,
    "Select": _choice(broadcasts=False),
    "SelectV2": _choice(broadcasts=True),
}
KERNELS.update(dict.fromkeys(("Identity", "PreventGradient", "Snapshot", "StopGradient"), _as_it_is))
KERNELS.update({operation: _unary(function) for operation, function in _UNARY.items()})
KERNELS.update({operation: _float_unary(function) for operation, function in _FLOAT_UNARY.items()})
KERNELS.update({operation: _binary(function) for operation, function in _BINARY.items()})
