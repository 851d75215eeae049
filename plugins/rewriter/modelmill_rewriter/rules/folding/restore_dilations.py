"""A convolution over blocks of the image that lie in the batch, to a dilated convolution of the image.

    BatchToSpaceND(conv(SpaceToBatchND(x, block, paddings), w) + b, block, crops)  ->  conv(x, w; dilations=block) + b

`_about_atrous.py` says why, and what the new convolution's padding is: SAME or VALID where one of them pads as much as
was padded and cropped, else VALID behind a Pad. Each result is the sum of the same products, so that they differ by no
more than the order of sums.

As measured, TensorFlow's CPU kernels dilate a Conv2D since 1.7, and a DepthwiseConv2dNative since 2.9; before, they
leave the dilations of the latter out without a word.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict

from modelmill_rewriter.rules.folding import _about_atrous as about
from modelmill_rewriter.rules_api import Attribute, Builder, Match, Pattern, Rule, Tensor, Verdict, no

#: The first TensorFlow whose CPU kernels dilate.
_DILATED_SINCE = {"Conv2D": (1, 7), "DepthwiseConv2dNative": (2, 9)}


@dataclass(frozen=True)
class RestoreDilations(Rule):
    """A dilated convolution says that it is dilated."""

    name: ClassVar[str] = "restore_dilations"
    summary: ClassVar[str] = "Makes dilated convolutions of convolutions between SpaceToBatchND and BatchToSpaceND."

    def pattern(self) -> Pattern:
        """A convolution in blocks, with a bias or without."""
        return about.pattern()

    def check(self, match: Match) -> Verdict:
        """Blocks, paddings and crops must be constant, and the converting TensorFlow must dilate."""
        operation = match.node("linear").op
        since = _DILATED_SINCE[operation]
        if match.target.is_converted_before(*since):
            return no("TensorFlow before {}.{} computes no dilated {}".format(*since, operation))
        return about.check(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """One convolution, with a Pad in front where it needs one, and its bias."""
        convolution = about.dilated(match)
        assert convolution is not None
        attributes: Dict[str, Attribute] = {
            "dilations": (1, *convolution.rates, 1),
            "padding": (convolution.padding or "VALID").encode(),
        }
        source = about.padded(match, make, convolution)
        made = make.like(match.node("linear"), source, match["w"], attributes=attributes)
        return about.with_bias(match, make, made)
