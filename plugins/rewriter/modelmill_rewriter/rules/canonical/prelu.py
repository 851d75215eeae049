"""PReLU, in every spelling that TensorFlow 1 code gave it, to the one spelling that converters recognise.

Before, with positive = relu(x) or maximum(x, 0):

    positive + neg(alpha * relu(neg(x)))         positive + alpha * minimum(x, 0)
    positive + alpha * neg(relu(neg(x)))         positive + alpha * (x - abs(x)) * 0.5
    positive - alpha * relu(neg(x))              f * x + g * abs(x), with f = (1 + alpha) / 2, g = (1 - alpha) / 2
    positive + neg(alpha) * relu(neg(x))

After: relu(x) + (-alpha) * relu(neg(x)), with the constant -alpha given the rank of x less one ([1, 1, C] behind a
convolution, [C] behind a matrix product).

All compute x where x > 0 and alpha * x elsewhere: relu(-x) = -minimum(x, 0) = (abs(x) - x) / 2.

TFLite's converter makes one PRELU of that spelling, TensorFlow.js' converter one Prelu, fused with the convolution
or matrix product before it, where the relu is the sum's first operand. TensorFlow 1.9 computes the first spelling
wrongly; of a PReLU that it recognises it makes a PRELU that loads only where x has rank 4 and alpha rank 3. So for a
converter before 1.12 (which has no such limit) and any other or unknown rank, the result is
maximum(x, 0) + alpha * minimum(x, 0), which it takes as it is.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional

import numpy as np
from modelmill_worker.tensors import FLOATING

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
    relu,
    value,
)


@dataclass(frozen=True)
class Prelu(Rule):
    """PReLU in the spelling that the target's converter recognises."""

    name: ClassVar[str] = "prelu"
    summary: ClassVar[str] = "Spells PReLU so that converters make one operator of it."
    #: What shares a part of the old spelling keeps it; one PRELU less is worth more than a shared relu.
    may_share: ClassVar[bool] = True

    def pattern(self) -> Pattern:
        """All spellings; y and z stand where x is read again, so that `check` can tell when they differ."""
        x, y, z = value("x"), value("y"), value("z")
        alpha, minus_alpha = value("alpha"), value("minus_alpha")
        positive = either(relu(x), maximum(x, 0))
        negative = either(
            -(alpha * relu(-y)),
            alpha * -relu(-y),
            alpha * minimum(y, 0),
            alpha * (y - absolute(z)) * 0.5,
            alpha * ((y - absolute(z)) * 0.5),
            minus_alpha * relu(-y),
        )
        f, g = constant("f"), constant("g")
        return either(positive + negative, positive - alpha * relu(-y), f * x + g * absolute(y))

    def check(self, match: Match) -> Verdict:
        """Only one tensor may be read, and alpha must be constant and must not stretch it."""
        if match.dtype is None or match.dtype.name not in FLOATING:
            return no("it computes {}, and PReLU is for floats".format(match.dtype.name if match.dtype else "no type"))
        for other in ("y", "z"):
            if other in match and match[other] != match["x"]:
                return no("its two sides read different tensors, {} and {}".format(match["x"], match[other]))
        if "f" in match and not _belong_together(match):
            return no("its two factors are not (1 + alpha) / 2 and (1 - alpha) / 2 of one alpha")
        alpha = _alpha(match)
        if alpha is None:
            return no("alpha, {}, is computed and not constant".format(match[_alpha_name(match)]))
        layout = match.layout("x")
        if layout is not None and _stretches(alpha, layout):
            return no("alpha has the shape {} and would stretch what it multiplies".format(list(alpha.shape)))
        return DONE if _is_done(match, _fitted(alpha, layout)) else YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """relu(x) + (-alpha) * relu(neg(x)); the relu comes first, which TensorFlow.js insists on."""
        x, layout, alpha = match["x"], match.layout("x"), _alpha(match)
        add = match.root_node.op if match.root_node.op == "AddV2" else "Add"
        if _needs_maximum(match, layout):
            zero = make.constant("zero", np.float32(0))
            negative = make.node("Mul", make.constant("alpha", alpha), make.node("Minimum", x, zero))
            return make.node(add, make.node("Maximum", x, zero), negative)
        positive = make.node("Relu", x)
        minus_alpha = make.constant("minus_alpha", -_fitted(alpha, layout))
        return make.node(add, positive, make.node("Mul", minus_alpha, make.node("Relu", make.node("Neg", x))))


def _alpha_name(match: Match) -> str:
    return "alpha" if "alpha" in match else "minus_alpha"


def _alpha(match: Match) -> Optional[np.ndarray]:
    """The slope on the negative side, where it is constant."""
    if "f" in match:
        return match.constant("f") - match.constant("g")
    given = match.constant(_alpha_name(match))
    if given is None:
        return None
    return -given if _alpha_name(match) == "minus_alpha" else given


def _belong_together(match: Match) -> bool:
    """Whether f + g = 1, to four units in the last place: each factor has been rounded twice."""
    f, g = match.constant("f"), match.constant("g")
    return bool(np.all(np.abs(f + g - 1) <= 4 * np.finfo(f.dtype).eps * np.maximum(1, np.abs(f))))


def _stretches(alpha: np.ndarray, layout: Layout) -> bool:
    """Whether broadcasting alpha changes the shape of what it multiplies."""
    if alpha.ndim > layout.rank:
        return True
    return alpha.ndim > 0 and layout.channels != -1 and alpha.shape[-1] not in (1, layout.channels)


def _fitted(alpha: np.ndarray, layout: Optional[Layout]) -> np.ndarray:
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


def _needs_maximum(match: Match, layout: Optional[Layout]) -> bool:
    return match.target.is_converted_before(1, 12) and (layout is None or layout.rank != 4)


def _is_done(match: Match, fitted: np.ndarray) -> bool:
    """Whether the nodes are, one for one, those that `rewrite` would build."""
    graph = match.graph
    operations = [graph.node(name).op for name in match.nodes[1:]]
    if _needs_maximum(match, match.layout("x")):
        return operations == ["Maximum", "Mul", "Minimum"]
    if operations != ["Relu", "Mul", "Relu", "Neg"] or "minus_alpha" not in match:
        return False
    read = [tensor for name in match.nodes for tensor in graph.data_inputs(name)]
    given = match["minus_alpha"]
    return (
        graph.data_inputs(match.root)[0].node == match.nodes[1]
        and read.count(match["x"]) == 2
        and read.count(given) == 1
        and graph.node(given.node).op == "Const"
        and graph.array(given.node).shape == fitted.shape
    )
