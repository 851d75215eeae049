"""A convolution over blocks of the image that lie in the batch, to a plain convolution with zeros in its filter.

    BatchToSpaceND(conv(SpaceToBatchND(x, block, paddings), w) + b, block, crops)  ->  conv(x, w') + b

where w' has `block` - 1 rows (and columns) of zeros between those of w. `_about_atrous.py` says why, and what the new
convolution's padding is: SAME or VALID where one of them pads as much as was padded and cropped, else VALID behind a
Pad. What was added are products with zero, so that results differ by no more than the order of sums, as long as x is
finite.

For what knows neither SpaceToBatchND nor dilations, under the name that it had in the Graph Transform Tool; that padded
by SAME whatever had been padded. For others `restore_dilations` makes less work: this filter multiplies by its zeros.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from modelmill_rewriter.rules.folding import _about_atrous as about
from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, no


@dataclass(frozen=True)
class FlattenAtrousConv(Rule):
    """A dilated convolution becomes one with zeros in its filter."""

    name: ClassVar[str] = "flatten_atrous_conv"
    summary: ClassVar[str] = "Makes plain convolutions with zeros in their filters of dilated ones over blocks."

    def pattern(self) -> Pattern:
        """A convolution in blocks, with a bias or without."""
        return about.pattern()

    def check(self, match: Match) -> Verdict:
        """Blocks, paddings, crops and the filter must be constant."""
        verdict = about.check(match)
        if verdict == YES and match.constant("w") is None:
            return no("the filter of {}, {}, is not constant".format(match.node("linear").name, match["w"]))
        return verdict

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """One convolution, with a Pad in front where it needs one, and its bias."""
        convolution, filter_ = about.dilated(match), match.constant("w")
        assert convolution is not None
        assert filter_ is not None
        spread = np.zeros(convolution.reaches + filter_.shape[2:], filter_.dtype)
        spread[:: convolution.rates[0], :: convolution.rates[1]] = filter_
        source = about.padded(match, make, convolution)
        padding = (convolution.padding or "VALID").encode()
        weights = make.constant("weights", spread)
        made = make.like(match.node("linear"), source, weights, attributes={"padding": padding})
        return about.with_bias(match, make, made)
