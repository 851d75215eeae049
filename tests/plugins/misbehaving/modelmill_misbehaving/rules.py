"""A rewrite rule of a third party's, for tests."""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, relu, value


@dataclass(frozen=True)
class ReluByMaximum(Rule):
    """relu(x) -> maximum(x, 0)"""

    name: ClassVar[str] = "relu_by_maximum"
    summary: ClassVar[str] = "Spells a relu as a maximum."

    def pattern(self) -> Pattern:
        return relu(value("x"))

    def check(self, match: Match) -> Verdict:
        return YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        return make.node("Maximum", match["x"], make.constant("zero", 0.0))
