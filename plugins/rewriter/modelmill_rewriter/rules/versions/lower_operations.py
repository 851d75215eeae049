"""Operations that the converting TensorFlow does not know, written with those that it knows.

    f2(x, ...)  ->  f1(x, ...)

where f2 came after the version that will convert the graph, and f1 computes the same: `_about_lowering.py` has the
table, and says why each holds. Where a use of f2 needs what f1 cannot do, it stays, with that reason. Attributes that
came later and have their default are `remove_default_attributes`'s, which goes behind. Where no version is named,
nothing is lowered.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules.versions._about_builtin_forms import Use
from modelmill_rewriter.rules.versions._about_lowering import LOWERINGS
from modelmill_rewriter.rules_api import DONE, YES, Builder, Match, Pattern, Rule, Tensor, Verdict, no, op


@dataclass(frozen=True)
class LowerOperations(Rule):
    """Lets an older TensorFlow compute what a newer one wrote."""

    name: ClassVar[str] = "lower_operations"
    summary: ClassVar[str] = "Writes operations that came after the converting TensorFlow with older ones."

    def pattern(self) -> Pattern:
        """Any operation of the table."""
        return op(tuple(LOWERINGS), open_ended=True)

    def check(self, match: Match) -> Verdict:
        """The version must lack the operation, or this use of it, and there must be an exact other way."""
        lowering, use = LOWERINGS[match.root_node.op], Use(match)
        if not match.target.is_converted_before(*lowering.since) or not lowering.applies(use):
            return DONE
        reason = lowering.why_not(use)
        return no(reason) if reason else YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """As the table has it."""
        build = LOWERINGS[match.root_node.op].build
        assert build is not None
        return build(Use(match), make)
