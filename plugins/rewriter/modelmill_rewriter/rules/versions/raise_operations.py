"""Old operations, written with those that came in their place.

    f1(x, ...)  ->  f2(x, ...)

where the converting TensorFlow knows f2, which does what f1 did and more: `_about_raising.py` has the table. Newer
tools tend to know the newer operation only. Where no version is named, a current one is meant.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules.versions._about_builtin_forms import Use
from modelmill_rewriter.rules.versions._about_raising import RAISINGS
from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, no, op


@dataclass(frozen=True)
class RaiseOperations(Rule):
    """Lets tools that know current operations only read an old graph."""

    name: ClassVar[str] = "raise_operations"
    summary: ClassVar[str] = "Writes old operations with those that came in their place."

    def pattern(self) -> Pattern:
        """Any operation of the table."""
        return op(tuple(RAISINGS), open_ended=True)

    def check(self, match: Match) -> Verdict:
        """The version must know the newer operation, and that must do the same."""
        raising = RAISINGS[match.root_node.op]
        if match.target.is_converted_before(*raising.since):
            return no("TensorFlow {}.{} is the first that knows what would be in its place".format(*raising.since))
        reason = raising.why_not(Use(match))
        return no(reason) if reason else YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """As the table has it."""
        return RAISINGS[match.root_node.op].build(Use(match), make)
