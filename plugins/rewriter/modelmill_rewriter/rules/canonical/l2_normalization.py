"""L2 normalisation in the spelling that TFLite's converter makes an L2_NORMALIZATION of, where that computes the same.

    x * rsqrt(maximum(sum(x * x), e))    x / sqrt(maximum(sum(x ** 2), e))   -> x * rsqrt(maximum(sum(square(x)), e))
    x / maximum(sqrt(sum(x * x)), d)                                         -> the same, with e = d * d

with + e instead of the maximum, or with neither; x * x, x ** 2 and square(x) are one. Over the last axis, that is.

Every converter from 1.5 on makes one operator of the result, and only Square tells it that it may. TFLite's operator
divides by the norm along the last axis, or by 1e-6 where the norm is less (tensorflow/lite/kernels/l2norm.cc). The
converters up to 2.1 (TOCO) take the operator whatever the axes are, and all of them also where e is far larger; the
result is wrong then. So for the target tflite the rule also does the opposite, where the operator would be wrong:

    x * rsqrt(maximum(sum(square(x)), e)) -> x * rsqrt(maximum(sum(x * x), e))

which costs five operators, and which a TFLite before 1.10 cannot have. TensorFlow.js has no such operation.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional

import numpy as np
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import (
    DONE,
    YES,
    Builder,
    Match,
    Pattern,
    Rule,
    Tensor,
    Verdict,
    constant,
    either,
    maximum,
    no,
    op,
    value,
)

#: TFLite's operator has 1e-12 in the place of e; up to here that is the same for all that is not almost 0.
_SMALL = 1e-10
#: From here on the difference can be seen: half of e, relative to the sum.
_VISIBLE = 1e-6


@dataclass(frozen=True)
class L2Normalization(Rule):
    """L2 normalisation as TFLite's converter knows it, or as it does not."""

    name: ClassVar[str] = "l2_normalization"
    summary: ClassVar[str] = "Spells L2 normalisation so that TFLite's converter makes one operator of it, if it may."

    def pattern(self) -> Pattern:
        """Times the reciprocal root, or divided by the root."""
        x = value("x")
        square = either(op("Square", x, name="square"), x * x, op("Pow", x, 2))
        total = op("Sum", square, value("axes"), where=_keeps_dimensions, name="sum")
        guarded = either(maximum(total, constant("floor", _is_number)), total + constant("added", _is_number), total)
        divide = ("RealDiv", "Div")
        return either(
            x * op("Rsqrt", guarded),
            op(divide, x, op("Sqrt", guarded)),
            op(divide, x, maximum(op("Sqrt", total), constant("least", _is_number))),
        )

    def check(self, match: Match) -> Verdict:
        """Whether TFLite's operator computes the same decides which way to spell it."""
        if match.target.name not in ("", "tflite") or match.dtype is None or match.dtype.name != "float32":
            return DONE
        axes = match.constant("axes")
        if axes is None:
            return no("the axes that it sums over are computed")
        reason = _why_not_the_operator(match, axes)
        would_be_taken = "square" in match and "least" not in match
        if not reason:
            return DONE if would_be_taken else YES
        return YES if would_be_taken and _is_taken_wrongly(match, axes) else no(reason)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """With Square where one operator is right, and with a product where it would be wrong."""
        x, axes = match["x"], match.constant("axes")
        assert axes is not None
        square = make.node("Mul", x, x) if _why_not_the_operator(match, axes) else make.node("Square", x)
        total = make.like(match.node("sum"), square, match["axes"])
        return make.node("Mul", x, make.node("Rsqrt", _guarded(total, match, make)))


def _keeps_dimensions(node: NodeDef) -> bool:
    return node.attr["keep_dims"].b


def _is_number(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and array.size == 1


def _epsilon(match: Match) -> float:
    """What the sum of squares is not to be below, or what is added to it; 0 where there is no such thing."""
    for name in ("floor", "added"):
        if name in match:
            return float(match.constant(name).reshape(()))
    return float(match.constant("least").reshape(())) ** 2 if "least" in match else 0.0


def _why_not_the_operator(match: Match, axes: np.ndarray) -> str:
    if not _is_last(axes, _rank(match)):
        return "it sums over the axes {}, and TFLite's operator over the last one".format(axes.ravel().tolist())
    epsilon = _epsilon(match)
    if epsilon > _SMALL:
        return "it has {:.2g} where TFLite's operator has 1e-12".format(epsilon)
    if "least" in match and epsilon < np.finfo(np.float32).tiny:
        return "the square of its smallest norm is 0 in float32"
    return ""


def _is_taken_wrongly(match: Match, axes: np.ndarray) -> bool:
    """Whether the converter would make the operator of it all the same."""
    if match.target.name != "tflite":
        return False
    if not _is_last(axes, _rank(match)):
        return match.target.is_converted_before(2, 2) and _rank(match) is not None
    largest = 0.1 if match.target.is_converted_before(2, 2) else 1e-3
    return _VISIBLE < _epsilon(match) < largest


def _rank(match: Match) -> Optional[int]:
    layout = match.layout("x")
    if layout is not None:
        return layout.rank
    shape = match.shape("x")
    return None if shape is None else len(shape)


def _is_last(axes: np.ndarray, rank: Optional[int]) -> bool:
    """Whether these are the last axis alone; of an unknown rank only -1 is known to be."""
    return axes.size == 1 and int(axes.reshape(())) in (-1, -1 if rank is None else rank - 1)


def _guarded(total: Tensor, match: Match, make: Builder) -> Tensor:
    if "floor" in match:
        return make.node("Maximum", total, match["floor"])
    if "added" in match:
        return make.node("Add", total, match["added"])
    if "least" in match:
        return make.node("Maximum", total, make.constant("floor", np.float32(_epsilon(match))))
    return total
