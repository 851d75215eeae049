"""A convolution with holes over batches of phases, to one convolution with a larger filter, zero in the holes.

    BatchToSpaceND(conv(SpaceToBatchND(x, d, p), w), d, c) -> conv(x, w with d - 1 zeros between its elements)

What has no dilations computes it, and the multiplications with zeros are what that costs. See `_about_atrous.py`; where
dilations are known, `restore_dilations` does better.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from modelmill_rewriter.rules.folding._about_atrous import Holes, atrous, holes_of
from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict


@dataclass(frozen=True)
class FlattenAtrousConv(Rule):
    """A filter with zeros in place of two operations around a convolution."""

    name: ClassVar[str] = "flatten_atrous_conv"
    summary: ClassVar[str] = "Spells convolutions with holes as convolutions with zeros in larger filters."

    def pattern(self) -> Pattern:
        """A convolution of either kind."""
        return atrous()

    def check(self, match: Match) -> Verdict:
        """All must be constant, and the border one that a convolution can have."""
        found = holes_of(match)
        return YES if isinstance(found, Holes) else found

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The convolution over x with the filter spread out."""
        found, weights = holes_of(match), match.constant("w")
        assert isinstance(found, Holes)
        assert weights is not None
        down, across = found.dilations
        height, width = ((size - 1) * apart + 1 for size, apart in zip(weights.shape, found.dilations))
        spread = np.zeros((height, width) + weights.shape[2:], weights.dtype)
        spread[::down, ::across] = weights
        filter_ = make.constant("weights", spread)
        return make.like(match.node("conv"), match["x"], filter_, attributes={"padding": found.padding})
