"""Operations on single elements, written with those that TFLite has.

    ApproximateEqual(x, y)  |x - y| < tolerance          Reciprocal(x), Inv(x)   1 / x
    AddN(x, y, ...)         x + y + ...                  Rint(x)                 round(x)
    AccumulateNV2(...)      AddN(...)                    Selu(x)                 s relu(x) + s a minimum(elu(x), 0)
    ClipByValue(x, l, h)    minimum(maximum(x, l), h)    Sign(x)                 [x > 0] - [x < 0]
    Cosh(x)                 (exp(x) + exp(-x)) / 2       Softplus(x)             relu(x) + log(1 + exp(-|x|))
    DivNoNan(x, y)          y = 0 ? 0 : x / y            Softsign(x)             x / (1 + |x|)
    Expm1(x)                exp(x) - 1                   Tan(x)                  sin(x) / cos(x)
    IsNan(x)                x != x                       Xdivy(x, y)             x = 0 ? 0 : x / y
    IsInf(x)                |x| > max                    Xlogy(x, y)             x = 0 ? 0 : x log(y)
    IsFinite(x)             |x| <= max                   MulNoNan(x, y)          y = 0 ? 0 : x y
    Log1p(x)                log(1 + x)                   OnesLike(x)             zeros of x + 1
    GuaranteeConst(x)       x

With s = 1.0507009873554805, a = 1.6732632423543772 and max the largest finite float32. Expm1, Log1p and Softplus are
off by half a unit in the last place of 1 for small x, as they are with converters of later versions, which write them
the same way. Cosh is infinite from 88.7 on, and not from 89.4.
"""

from typing import Dict

import numpy as np

from modelmill_rewriter.rules.versions._about_builtin_forms import BOOL, FLOAT, INT32, Form, Use, form
from modelmill_rewriter.rules_api import Builder, Tensor

FORMS: Dict[str, Form] = {}

#: Converters before take only conditions of the shape of what is chosen from.
_SELECTION = (2, 2)
_SCALE = 1.0507009873554805
_SCALE_ALPHA = 1.0507009873554805 * 1.6732632423543772


def _float(make: Builder, label: str, value: float) -> Tensor:
    return make.constant(label, np.float32(value), "float32")


def _f(make: Builder, operation: str, *inputs: Tensor) -> Tensor:
    """An operation on float32, whatever the root computes."""
    return make.node(operation, *inputs, attributes={"T": FLOAT})


@form(FORMS, "Softsign", builtin_since=(2, 20), needs=(1, 13))
def _softsign(use: Use, make: Builder) -> Tensor:
    (x,) = use.inputs
    return make.node("RealDiv", x, make.node("Add", make.node("Abs", x), _float(make, "one", 1)))


@form(FORMS, "Softplus", builtin_since=(2, 2), needs=(1, 13))
def _softplus(use: Use, make: Builder) -> Tensor:
    (x,) = use.inputs
    small = make.node("Exp", make.node("Neg", make.node("Abs", x)))
    return make.node("Add", make.node("Relu", x), make.node("Log", make.node("Add", small, _float(make, "one", 1))))


@form(FORMS, "Selu", builtin_since=(2, 8), needs=(1, 14))
def _selu(use: Use, make: Builder) -> Tensor:
    (x,) = use.inputs
    negative = make.node("Minimum", make.node("Elu", x), _float(make, "zero", 0))
    above = make.node("Mul", make.node("Relu", x), _float(make, "scale", _SCALE))
    return make.node("Add", above, make.node("Mul", negative, _float(make, "scale_alpha", _SCALE_ALPHA)))


@form(FORMS, "Cosh", needs=(1, 9))
def _cosh(use: Use, make: Builder) -> Tensor:
    (x,) = use.inputs
    both = make.node("Add", make.node("Exp", x), make.node("Exp", make.node("Neg", x)))
    return make.node("Mul", both, _float(make, "half", 0.5))


@form(FORMS, "Tan", needs=(1, 14))
def _tan(use: Use, make: Builder) -> Tensor:
    (x,) = use.inputs
    return make.node("RealDiv", make.node("Sin", x), make.node("Cos", x))


@form(FORMS, "Expm1", builtin_since=(2, 8), needs=(1, 7))
def _expm1(use: Use, make: Builder) -> Tensor:
    return make.node("Sub", make.node("Exp", use.inputs[0]), _float(make, "one", 1))


@form(FORMS, "Log1p", builtin_since=(2, 4), needs=(1, 10))
def _log1p(use: Use, make: Builder) -> Tensor:
    return make.node("Log", make.node("Add", use.inputs[0], _float(make, "one", 1)))


@form(FORMS, "Rint", builtin_since=(2, 5), needs=(1, 14))
def _rint(use: Use, make: Builder) -> Tensor:
    return make.node("Round", use.inputs[0])


@form(FORMS, "Reciprocal", builtin_since=(2, 2), needs=(1, 6))
@form(FORMS, "Inv", builtin_since=(2, 7), needs=(1, 6))
def _reciprocal(use: Use, make: Builder) -> Tensor:
    return make.node("RealDiv", _float(make, "one", 1), use.inputs[0])


@form(FORMS, "GuaranteeConst", needs=(1, 5), dtypes=("float32", "int32", "int64", "uint8", "bool"))
def _guaranteed(use: Use, make: Builder) -> Tensor:
    del make
    return use.inputs[0]


@form(FORMS, "ClipByValue", needs=(1, 9), dtypes=("float32", "int32"))
def _clip(use: Use, make: Builder) -> Tensor:
    x, low, high = use.inputs
    return make.node("Minimum", make.node("Maximum", x, low), high)


@form(FORMS, "ApproximateEqual", needs=(1, 13))
def _approximately_equal(use: Use, make: Builder) -> Tensor:
    difference = _f(make, "Abs", _f(make, "Sub", *use.inputs))
    return _f(make, "Less", difference, _float(make, "tolerance", use.float_attribute("tolerance", 1e-5)))


@form(FORMS, "IsNan", builtin_since=(2, 5), needs=(1, 10))
def _is_nan(use: Use, make: Builder) -> Tensor:
    return _f(make, "NotEqual", use.inputs[0], use.inputs[0])


@form(FORMS, "IsInf", builtin_since=(2, 5), needs=(1, 13))
def _is_infinite(use: Use, make: Builder) -> Tensor:
    return _f(make, "Greater", _f(make, "Abs", use.inputs[0]), _largest(make))


@form(FORMS, "IsFinite", builtin_since=(2, 5), needs=(1, 13))
def _is_finite(use: Use, make: Builder) -> Tensor:
    return _f(make, "LessEqual", _f(make, "Abs", use.inputs[0]), _largest(make))


def _largest(make: Builder) -> Tensor:
    """The largest finite float32; an infinite constant would become it in converters before 2.2."""
    return _float(make, "largest", float(np.finfo(np.float32).max))


@form(FORMS, "Sign", builtin_since=(2, 11), needs=(1, 15))
def _sign(use: Use, make: Builder) -> Tensor:
    zero = _float(make, "zero", 0)
    sides = []
    for operation in ("Greater", "Less"):
        side = _f(make, operation, use.inputs[0], zero)
        sides.append(make.node("Cast", side, attributes={"SrcT": BOOL, "DstT": FLOAT}))
    return make.node("Sub", *sides)


@form(FORMS, "OnesLike", builtin_since=(2, 5), needs=(1, 12), dtypes=("float32", "int32"))
def _ones_like(use: Use, make: Builder) -> Tensor:
    return make.node("Add", make.node("ZerosLike", use.inputs[0]), make.constant("one", np.array(1)))


@form(FORMS, "Abs", builtin_since=(2, 12), needs=(1, 9), dtypes=("int32",))
def _absolute(use: Use, make: Builder) -> Tensor:
    return make.node("Maximum", use.inputs[0], make.node("Neg", use.inputs[0]))


@form(FORMS, "DivNoNan", builtin_since=(2, 5), needs=_SELECTION)
def _divided_or_zero(use: Use, make: Builder) -> Tensor:
    x, y = use.inputs
    return _zero_where_zero(y, make.node("RealDiv", x, y), make)


@form(FORMS, "MulNoNan", builtin_since=(2, 5), needs=_SELECTION)
def _multiplied_or_zero(use: Use, make: Builder) -> Tensor:
    x, y = use.inputs
    return _zero_where_zero(y, make.node("Mul", x, y), make)


@form(FORMS, "Xdivy", builtin_since=(2, 5), needs=_SELECTION)
def _zero_or_divided(use: Use, make: Builder) -> Tensor:
    x, y = use.inputs
    return _zero_where_zero(x, make.node("RealDiv", x, y), make)


@form(FORMS, "Xlogy", builtin_since=(2, 5), needs=_SELECTION)
def _zero_or_times_logarithm(use: Use, make: Builder) -> Tensor:
    x, y = use.inputs
    return _zero_where_zero(x, make.node("Mul", x, make.node("Log", y)), make)


def _zero_where_zero(x: Tensor, result: Tensor, make: Builder) -> Tensor:
    zero = _float(make, "zero", 0)
    return make.node("SelectV2", make.node("Equal", x, zero), zero, result)


@form(FORMS, "AddN", builtin_since=(1, 14), needs=(1, 5), dtypes=("float32", "int32"))
def _sum_of_many(use: Use, make: Builder) -> Tensor:
    total, *others = use.inputs
    for other in others:
        total = make.node("Add", total, other)
    return total


@form(FORMS, "AccumulateNV2", needs=(1, 5), dtypes=("float32", "int32"))
def _accumulated(use: Use, make: Builder) -> Tensor:
    kind = FLOAT if use.dtype == "float32" else INT32
    attributes = {"T": kind, "N": len(use.inputs)}
    return make.node("AddN", *use.inputs, attributes=attributes)
