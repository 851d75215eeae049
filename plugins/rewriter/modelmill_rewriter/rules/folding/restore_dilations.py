"""A convolution with holes over batches of phases, to a convolution with dilations.

    BatchToSpaceND(Conv2D(SpaceToBatchND(x, d, p), w), d, c) -> Conv2D(x, w, dilations=d)

One operation instead of three, with the same products and sums; TensorFlow knows the attribute from 1.6 on. See
`_about_atrous.py`. A DepthwiseConv2dNative stays: TensorFlow's own kernels of it have no dilations.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules.folding._about_atrous import Holes, atrous, holes_of
from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, no


@dataclass(frozen=True)
class RestoreDilations(Rule):
    """An attribute in place of two operations around a convolution."""

    name: ClassVar[str] = "restore_dilations"
    summary: ClassVar[str] = "Spells convolutions with holes as convolutions with dilations."

    def pattern(self) -> Pattern:
        """A convolution of either kind, so that `check` can tell why one stays."""
        return atrous()

    def check(self, match: Match) -> Verdict:
        """All must be constant, and the border one that a convolution can have."""
        if match.node("conv").op != "Conv2D":
            return no("{} is a {}, which has no dilations".format(match.node("conv").name, match.node("conv").op))
        if match.target.is_converted_before(1, 6):
            return no("the TensorFlow that converts the graph knows no dilations")
        found = holes_of(match)
        return YES if isinstance(found, Holes) else found

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The convolution over x itself."""
        found = holes_of(match)
        assert isinstance(found, Holes)
        attributes = {"padding": found.padding, "dilations": (1, *found.dilations, 1)}
        return make.like(match.node("conv"), match["x"], match["w"], attributes=attributes)
