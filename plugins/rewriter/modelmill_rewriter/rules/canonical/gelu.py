"""GELU in the spelling that TFLite's converter makes a GELU of, or in the fewest operators where there is none.

The exact GELU, with its error function or what is left of it to 1:

    x * 0.5 * (1 + erf(x / sqrt(2)))    x * 0.5 * erfc(-x / sqrt(2))    -> (0.5 * x) * (1 + erf(sqrt(0.5) * x))

The approximation by a hyperbolic tangent, with k = sqrt(2 / pi), c = 0.044715, and x ** 3 by Pow or by products:

    x * 0.5 * (1 + tanh(k * (x + c * x ** 3)))    x * 0.5 * (1 + tanh(k * x * (1 + c * x ** 2)))
    -> (0.5 * x) * (1 + tanh(k * (x + c * x ** 3)))     for TFLite from 2.9 on
    -> x * sigmoid(x * (2 * k + 2 * k * c * x * x))     for others, as (1 + tanh(y)) / 2 = sigmoid(2 * y)

in any order of factors. TensorFlow's converters make one GELU of these, with the factors in this order, from 2.9 on.
The form with a sigmoid has six operators instead of eight to ten, all of which TFLite has had from the beginning; it
has Pow from 1.10 on. TensorFlow.js has erf but no erfc, and no GELU.

TFLite has no erf without a GELU. The option `approximate` writes the approximation then, which is off by up to 5e-4.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from modelmill_rewriter.rules.canonical._about_constants import about
from modelmill_rewriter.rules.canonical._about_spelling import is_spelled_so
from modelmill_rewriter.rules_api import (
    DONE,
    YES,
    Builder,
    Match,
    Pattern,
    Rule,
    Target,
    Tensor,
    Verdict,
    argument,
    either,
    no,
    op,
    value,
)

_K = math.sqrt(2 / math.pi)
_C = 0.044715


@dataclass(frozen=True)
class Gelu(Rule):
    """GELU as TFLite's converter knows it."""

    name: ClassVar[str] = "gelu"
    summary: ClassVar[str] = "Spells GELU so that TFLite's converter makes one operator of it, or in fewer operators."
    approximate: bool = argument(
        False, "For a TFLite that has no error function, write the approximation, which is off by up to 5e-4."
    )

    def pattern(self) -> Pattern:
        """A half of x * (1 + something odd), the half taken anywhere."""
        x = value("x")
        twice = either(1 + op("Erf", _over_root_of_two(x), name="erf"), 1 + op("Tanh", _cubic(x), name="tanh"))
        erfc = op("Erfc", either(_times(-math.sqrt(0.5), x), _over_root_of_two(-x), -_over_root_of_two(x)), name="erfc")
        twice = either(twice, erfc)
        halved = op("Mul", x, about(0.5), commutes=True, name="halved")
        return either(halved * twice, _half_of(x) * twice, x * _half_of(twice), _half_of(x * twice))

    def check(self, match: Match) -> Verdict:
        """TFLite's operator is for float32."""
        if match.dtype is None or match.dtype.name != "float32":
            return no("it computes {}, and GELU is for float32".format(match.dtype.name if match.dtype else "no type"))
        if match.target.name not in ("", "tflite", "tfjs"):
            return DONE
        if "tanh" in match or _has_gelu(match.target):
            is_known = _is_known(match) or is_spelled_so(match, self.rewrite, in_any_order=True)
            return DONE if is_known else YES
        if match.target.name == "tfjs":
            return YES if "erfc" in match else DONE
        if not self.approximate:
            return no("TFLite before 2.9 has no error function; gelu(approximate=True) writes one that is off by 5e-4")
        return YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """With a half of x first."""
        x = match["x"]
        if "tanh" in match:
            return _tanh_form(x, make) if _has_gelu(match.target) else _sigmoid_form(x, make)
        if _has_gelu(match.target) or match.target.name == "tfjs":
            scaled = make.node("Mul", make.constant("root_of_half", np.float32(math.sqrt(0.5))), x)
            return _half_times(x, make.node("Erf", scaled), make)
        return _sigmoid_form(x, make)


def _has_gelu(target: Target) -> bool:
    return target.name in ("", "tflite") and not target.is_converted_before(2, 9)


def _is_known(match: Match) -> bool:
    """Whether it is an exact GELU in one of the spellings that the converter makes one operator of."""
    if "erf" not in match or "halved" not in match:
        return False
    first = match.graph.seen_through(match.graph.data_inputs(match.root)[0])
    return first.node == match.node("halved").name


def _times(number: float, x: Pattern) -> Pattern:
    return x * about(number)


def _half_of(x: Pattern) -> Pattern:
    return either(_times(0.5, x), op(("RealDiv", "Div"), x, 2))


def _over_root_of_two(x: Pattern) -> Pattern:
    return either(_times(math.sqrt(0.5), x), op(("RealDiv", "Div"), x, about(math.sqrt(2))))


def _cubic(x: Pattern) -> Pattern:
    """What goes into the tanh: k * (x + c * x ** 3), or k * x * (1 + c * x ** 2)."""
    square = either(op("Square", x), x * x, op("Pow", x, 2))
    cube = either(op("Pow", x, 3), square * x)
    bent = 1 + _times(_C, square)
    return either(
        _times(_K, x + either(_times(_C, cube), _times(_C, square) * x, _times(_C, x) * square)),
        _times(_K, x) * bent,
        _times(_K, x * bent),
        x * _times(_K, bent),
    )


def _half_times(x: Tensor, odd: Tensor, make: Builder) -> Tensor:
    """(0.5 * x) * (1 + odd)."""
    halved = make.node("Mul", make.constant("half", np.float32(0.5)), x)
    return make.node("Mul", halved, make.node("Add", make.constant("one", np.float32(1)), odd))


def _tanh_form(x: Tensor, make: Builder) -> Tensor:
    cube = make.node("Pow", x, make.constant("three", np.float32(3)))
    bent = make.node("Add", x, make.node("Mul", make.constant("c", np.float32(_C)), cube))
    return _half_times(x, make.node("Tanh", make.node("Mul", make.constant("k", np.float32(_K)), bent)), make)


def _sigmoid_form(x: Tensor, make: Builder) -> Tensor:
    square = make.node("Mul", x, x)
    bent = make.node("Mul", square, make.constant("two_k_c", np.float32(2 * _K * _C)))
    factor = make.node("Add", bent, make.constant("two_k", np.float32(2 * _K)))
    return make.node("Mul", x, make.node("Sigmoid", make.node("Mul", x, factor)))
