"""The hard swish in the spelling that TFLite's converter makes a HARD_SWISH of.

    x * (relu6(x + 3) / 6)   x * relu6(x + 3) / 6   (x / 6) * relu6(x + 3)  -> (x * relu6(x + 3)) * (1 / 6)

in any order of factors, divided by 6 or multiplied by 1/6; relu6 may be spelled out as a minimum and a maximum.

TensorFlow's converters know this spelling, with its factors in this order, in 1.15 and from 2.1 on; of others only
some versions do. Where there is no HARD_SWISH it costs no operator more than another spelling, and needs no division,
which TFLite 1.5 lacks. TensorFlow.js has no such operation: there only the minimum and maximum are worth a change.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules.canonical._about_hard_sigmoid import SIXTH, make_step, sixth_of, step_of
from modelmill_rewriter.rules.canonical._about_spelling import is_spelled_so
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
    value,
)


@dataclass(frozen=True)
class HardSwish(Rule):
    """The hard swish as TFLite's converter knows it."""

    name: ClassVar[str] = "hard_swish"
    summary: ClassVar[str] = "Spells the hard swish so that TFLite's converter makes one operator of it."

    def pattern(self) -> Pattern:
        """The sixth is taken of the product, or of either factor."""
        x = value("x")
        step = step_of(x)
        return either(sixth_of(x * step), x * sixth_of(step), sixth_of(x) * step)

    def check(self, match: Match) -> Verdict:
        """TFLite's operator is for float32."""
        if match.dtype is None or match.dtype.name != "float32":
            return DONE
        if match.target.name in ("", "tflite"):
            return DONE if is_spelled_so(match, self.rewrite) else YES
        return YES if match.target.name == "tfjs" and "clipping" in match else DONE

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """Begins with x, and ends with the sixth."""
        product = make.node("Mul", match["x"], make_step(match["x"], make))
        return make.node("Mul", product, make.constant("sixth", SIXTH))
