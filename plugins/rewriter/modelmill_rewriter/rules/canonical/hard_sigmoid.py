"""The hard sigmoid, clipped from 0 to 1, as a relu6.

    minimum(maximum(slope * x + 0.5, 0), 1) -> relu6((6 * slope) * x + 3) * (1 / 6)
    relu6(x + 3) / 6                        -> relu6(x + 3) * (1 / 6)

with any constant slope; 1/6 (PyTorch, MobileNetV3, Keras 3) needs no factor, and Keras before 3 has 0.2. The minimum
and the maximum may be the other way round, a ClipByValue, or lie around x + 3 instead: clip(y, 0, 6) is relu6(y).

TFLite and TensorFlow.js have relu6, and TFLite makes it part of the operator before it, where a minimum and a maximum
are two operators, which TFLite has from 1.9 and 1.8 on. `hard_swish` needs this spelling too. TFLite before 1.14
keeps the division, and 1.5 has none.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional

import numpy as np

from modelmill_rewriter.rules.canonical._about_constants import about, is_about
from modelmill_rewriter.rules.canonical._about_hard_sigmoid import SIXTH, clipped, make_step, sixth_of, step_of
from modelmill_rewriter.rules_api import (
    DONE,
    YES,
    Builder,
    Match,
    Pattern,
    Rule,
    Tensor,
    Verdict,
    either,
    no,
    op,
    value,
)


@dataclass(frozen=True)
class HardSigmoid(Rule):
    """The hard sigmoid by relu6."""

    name: ClassVar[str] = "hard_sigmoid"
    summary: ClassVar[str] = "Spells the hard sigmoid by relu6, which is part of the operator before it."

    def pattern(self) -> Pattern:
        """By its slope and 0.5, or by 3 and a sixth."""
        x, slope, divisor = value("x"), value("slope"), value("divisor")
        line = either(slope * x, op(("RealDiv", "Div"), x, divisor)) + about(0.5)
        return either(clipped(line, 0, 1), sixth_of(step_of(x)))

    def check(self, match: Match) -> Verdict:
        """Where a converter makes less of the old spelling."""
        if match.dtype is None or match.dtype.name != "float32":
            return DONE
        if match.target.name not in ("", "tflite", "tfjs"):
            return DONE
        if "slope" in match or "divisor" in match:
            slope = _slope(match)
            if slope is None or slope.size != 1:
                return no("its slope is no constant number")
            # TensorFlow.js makes as many nodes of this as of a minimum and a maximum, where a factor is needed.
            return DONE if match.target.name == "tfjs" and not is_about(slope, 1 / 6) else YES
        if "clipping" in match:
            return YES
        return YES if "division" in match and match.target.is_converted_before(1, 14) else DONE

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """relu6(6 * slope * x + 3) * (1 / 6)."""
        x, slope = match["x"], _slope(match)
        if slope is not None and not is_about(slope, 1 / 6):
            x = make.node("Mul", x, make.constant("six_slopes", np.float32(6 * slope.reshape(()))))
        return make.node("Mul", make_step(x, make), make.constant("sixth", SIXTH))


def _slope(match: Match) -> Optional[np.ndarray]:
    """None where x + 3 is told instead, or where the slope is computed."""
    if "slope" in match:
        return match.constant("slope")
    divisor = match.constant("divisor") if "divisor" in match else None
    return None if divisor is None else np.asarray(1 / divisor)
