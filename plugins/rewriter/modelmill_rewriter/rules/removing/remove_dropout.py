"""Dropout that drops nothing, away.

Before, with u uniform in [0, 1), as TensorFlow to 1.12, to 2.3, and since then spells it:

    (x / keep_prob) * floor(keep_prob + u)
    (x * (1 / (1 - rate))) * cast(u >= rate)
    select(u >= rate, x / (1 - rate), 0)

After: x, where keep_prob is the constant 1, which is rate the constant 0.

Then floor(1 + u) = 1 and u >= 0 holds always. With any other rate the model's outputs are random: such a graph was
made for training, and is left alone with that reason.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, either, no, op, value


@dataclass(frozen=True)
class RemoveDropout(Rule):
    """Reads a dropout's input instead of its output, where the dropout is switched off for good."""

    name: ClassVar[str] = "remove_dropout"
    summary: ClassVar[str] = "Removes dropout that is switched off by a constant."
    may_share: ClassVar[bool] = True

    def pattern(self) -> Pattern:
        """`divisor` and `factor` are what the kept values are scaled by; keep_prob or rate decides what is kept."""
        x, divisor, factor = value("x"), value("divisor"), value("factor")
        keep_prob, rate = value("keep_prob"), value("rate")
        random = op("RandomUniform", value("shape"))
        uniform = either(random, random * 1 + 0, random + 0, random * 1)
        kept = op("GreaterEqual", uniform, rate)
        scaled = either(x / divisor, x * factor)
        return either(
            scaled * op("Floor", keep_prob + uniform),
            scaled * op("Cast", kept),
            op(("Select", "SelectV2"), kept, scaled, 0),
        )

    def check(self, match: Match) -> Verdict:
        """Everything that decides must be constant, and off."""
        decider, off = ("keep_prob", 1) if "keep_prob" in match else ("rate", 0)
        given = match.constant(decider)
        if given is None:
            return no(
                "its {} is {}, which is not constant; freeze the graph with it switched off".format(
                    decider, match[decider]
                )
            )
        if not np.all(given == off):
            return no(
                "its {} is {}, so the model's outputs are random; export the graph for inference".format(
                    decider, given.ravel()[0]
                )
            )
        scale = match.constant("divisor" if "divisor" in match else "factor")
        if scale is None or not np.all(scale == 1):
            return no("it scales what it keeps by something other than 1")
        return YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """X itself."""
        del make
        return match["x"]
