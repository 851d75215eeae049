"""PReLU, in every spelling that TensorFlow code gave it, to the one spelling that serves the converter.

Before, with positive = relu(x) or maximum(x, 0), mirrored = relu(neg(x)) or maximum(neg(x), 0):

    positive + neg(alpha * mirrored)             positive + alpha * (x - relu(x))
    positive + alpha * neg(mirrored)             f * x + g * relu(x), with f = alpha, g = 1 - alpha
    positive - alpha * mirrored                  f * x + g * abs(x), with f = (1 + alpha) / 2, g = (1 - alpha) / 2
    positive + neg(alpha) * mirrored             maximum(x, alpha * x), with alpha <= 1
    positive + alpha * minimum(x, 0)             minimum(x, alpha * x), with alpha >= 1
    positive + alpha * (x - abs(x)) * 0.5        where(x > 0, x, alpha * x), with >=, <, <= or a swapped comparison
    positive + (alpha / 2) * (x - abs(x))        LeakyRelu(x), with alpha <= 1

After: LeakyRelu(x) where alpha is one number and the converter knows the operation; else, where the converter makes
one operator of it,

    relu(x) + (-alpha) * relu(neg(x))

with the constant -alpha given the rank of x less one ([1, 1, C] behind a convolution, [C] behind a matrix product);
else the plainest expression that it has operators for. `_about_prelu.py` says which, and since when.

All compute x where x > 0 and alpha * x elsewhere: relu(-x) = -minimum(x, 0) = (abs(x) - x) / 2 = relu(x) - x.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

import numpy as np
from modelmill_worker.tensors import FLOATING

from modelmill_rewriter.rules.canonical import _about_prelu as forms
from modelmill_rewriter.rules.canonical._about_spelling import is_spelled_so
from modelmill_rewriter.rules_api import (
    DONE,
    YES,
    Builder,
    Layout,
    Match,
    Pattern,
    Rule,
    Tensor,
    Verdict,
    absolute,
    constant,
    either,
    maximum,
    minimum,
    no,
    op,
    relu,
    value,
)


@dataclass(frozen=True)
class Prelu(Rule):
    """PReLU in the spelling that the target's converter serves best."""

    name: ClassVar[str] = "prelu"
    summary: ClassVar[str] = "Spells PReLU so that converters make one operator of it."
    #: What shares a part of the old spelling keeps it; one PRELU less is worth more than a shared relu.
    may_share: ClassVar[bool] = True

    def pattern(self) -> Pattern:
        """All spellings; y and z stand where x is read again, so that `check` can tell when they differ.

        What occurs in graphs for other reasons reads x itself, so that nothing is said of it.
        """
        x, y, z = value("x"), value("y"), value("z")
        alpha, minus_alpha, half_alpha = value("alpha"), value("minus_alpha"), value("half_alpha")
        f, g, rest = constant("f"), constant("g"), constant("rest")
        positive = either(relu(x), maximum(x, 0))
        mirrored = either(relu(-y), maximum(-y, 0))
        twice_negative = y - absolute(z)
        negative = either(
            -(alpha * mirrored),
            alpha * -mirrored,
            alpha * minimum(y, 0),
            alpha * twice_negative * 0.5,
            alpha * twice_negative / 2,
            alpha * either(twice_negative * 0.5, twice_negative / 2),
            half_alpha * twice_negative,
            alpha * (y - relu(z)),
            minus_alpha * mirrored,
        )
        return either(
            positive + negative,
            positive - alpha * mirrored,
            f * x + g * absolute(y),
            f * x + rest * relu(x),
            op("Maximum", x, alpha * x, commutes=True, name="larger"),
            op("Minimum", x, alpha * x, commutes=True, name="smaller"),
            op(("Select", "SelectV2"), _is_positive(x), x, alpha * x),
            op(("Select", "SelectV2"), _is_negative(x), alpha * x, x),
            op("LeakyRelu", x, name="leaky"),
        )

    def check(self, match: Match) -> Verdict:
        """Only one tensor may be read, and alpha must be constant and must not stretch it."""
        reason = _why_no_prelu(match) or _why_no_slope(match)
        if reason:
            return no(reason)
        alpha = _alpha(match)
        assert alpha is not None
        form = forms.form_for(match.target, alpha, _layout(match))
        if forms.is_no_worse(form, _operations(match), match.target):
            return DONE
        return DONE if is_spelled_so(match, self.rewrite) else YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The form that is right for the target."""
        alpha, layout = _alpha(match), _layout(match)
        assert alpha is not None
        form = forms.form_for(match.target, alpha, layout)
        return forms.build(form, match["x"], alpha, layout, match, make)


def _why_no_prelu(match: Match) -> str:
    if match.dtype is None or match.dtype.name not in FLOATING:
        return "it computes {}, and PReLU is for floats".format(match.dtype.name if match.dtype else "no type")
    for other in ("y", "z"):
        if other in match and match[other] != match["x"]:
            return "its two sides read different tensors, {} and {}".format(match["x"], match[other])
    if "f" in match and not _belong_together(match):
        return "its two factors are not those of one alpha"
    return ""


def _why_no_slope(match: Match) -> str:
    alpha, layout = _alpha(match), _layout(match)
    if alpha is None:
        return "alpha, {}, is computed and not constant".format(match[_alpha_name(match)])
    if ("larger" in match or "leaky" in match) and not np.all(alpha <= 1):
        return "alpha is above 1 somewhere, where this is no PReLU"
    if "smaller" in match and not np.all(alpha >= 1):
        return "alpha is below 1 somewhere, where this is no PReLU"
    if layout is not None and _stretches(alpha, layout):
        return "alpha has the shape {} and would stretch what it multiplies".format(list(alpha.shape))
    return ""


def _is_positive(x: Pattern) -> Pattern:
    """X > 0; what is taken where x is 0 does not matter, as alpha * 0 is 0."""
    zero = _zero(x)
    return either(op(("Greater", "GreaterEqual"), x, zero), op(("Less", "LessEqual"), zero, x))


def _is_negative(x: Pattern) -> Pattern:
    zero = _zero(x)
    return either(op(("Less", "LessEqual"), x, zero), op(("Greater", "GreaterEqual"), zero, x))


def _zero(x: Pattern) -> Pattern:
    return either(op("ZerosLike", x), constant("", lambda array: bool(np.all(array == 0))))


def _alpha_name(match: Match) -> str:
    return next(name for name in ("alpha", "minus_alpha", "half_alpha") if name in match)


def _alpha(match: Match) -> Optional[np.ndarray]:
    """The slope on the negative side, where it is constant."""
    if "leaky" in match:
        attributes = match.node("leaky").attr
        return np.asarray(attributes["alpha"].f if "alpha" in attributes else 0.2, np.float32)
    if "rest" in match:
        return match.constant("f")
    if "f" in match:
        return match.constant("f") - match.constant("g")
    name = _alpha_name(match)
    given = match.constant(name)
    if given is None or name == "alpha":
        return given
    return -given if name == "minus_alpha" else 2 * given


def _belong_together(match: Match) -> bool:
    """Whether the two factors make 1, to four units in the last place: each has been rounded twice."""
    f, g = match.constant("f"), match.constant("rest" if "rest" in match else "g")
    return bool(np.all(np.abs(f + g - 1) <= 4 * np.finfo(f.dtype).eps * np.maximum(1, np.abs(f))))


def _layout(match: Match) -> Optional[Layout]:
    """Rank and channels of x: what a look at the nodes above it tells, or else the shapes of the whole graph."""
    layout = match.layout("x")
    if layout is None:
        shape = match.shape("x")
        return None if shape is None else Layout(len(shape), shape[-1] if shape else -1)
    return layout


def _stretches(alpha: np.ndarray, layout: Layout) -> bool:
    """Whether broadcasting alpha changes the shape of what it multiplies."""
    if alpha.ndim > layout.rank:
        return True
    return alpha.ndim > 0 and layout.channels != -1 and alpha.shape[-1] not in (1, layout.channels)


def _operations(match: Match) -> Tuple[str, ...]:
    return tuple(
        operation for operation in (match.graph.node(name).op for name in match.nodes) if operation != "Identity"
    )
