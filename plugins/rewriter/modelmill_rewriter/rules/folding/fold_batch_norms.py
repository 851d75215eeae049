"""A chain of constant factors and summands, into the filter and the bias of what it stands behind.

    ((W * x + b - mean) * factor) + beta  ->  BiasAdd((W factor) * x, (b - mean) factor + beta)

and so on, for any number of them in any order: what a batch normalisation is where it is spelt out. Each link of the
chain is the matter of `fold_multiplications` or `fold_additions`, which say what may be folded; here they take turns.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules.folding.fold_additions import FoldAdditions
from modelmill_rewriter.rules.folding.fold_multiplications import FoldMultiplications
from modelmill_rewriter.rules_api import Builder, Match, Pattern, Rule, Tensor, Verdict, either

_FACTORS, _SUMMANDS = FoldMultiplications(), FoldAdditions()


@dataclass(frozen=True)
class FoldBatchNorms(Rule):
    """Constants behind a filter become part of it and of its bias."""

    name: ClassVar[str] = "fold_batch_norms"
    summary: ClassVar[str] = "Folds chains of constant factors and summands into filters and biases."

    def pattern(self) -> Pattern:
        """A product or a sum."""
        return either(_FACTORS.pattern(), _SUMMANDS.pattern())

    def check(self, match: Match) -> Verdict:
        """As the rule for a factor or for a summand says."""
        return _rule_for(match).check(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """As the rule for a factor or for a summand does."""
        return _rule_for(match).rewrite(match, make)


def _rule_for(match: Match) -> Rule:
    return _FACTORS if "factor" in match else _SUMMANDS
