"""A bilinear resize and a convolution, to one operation.

    Conv2D(ResizeBilinear(x, size), w)  ->  FusedResizeAndPadConv2D(x, size, zeros, w)

The border that the fused operation mirrors is 0 wide. Under the name that it had in the Graph Transform Tool. The
result is for TensorFlow only: nothing else has the operation.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from modelmill_rewriter.rules.folding import _about_fused_convolutions as about
from modelmill_rewriter.rules_api import Builder, Match, Pattern, Rule, Tensor, Verdict, value


@dataclass(frozen=True)
class FuseResizeAndConv(Rule):
    """A convolution resizes what it reads."""

    name: ClassVar[str] = "fuse_resize_and_conv"
    summary: ClassVar[str] = "Fuses ResizeBilinear and Conv2D to FusedResizeAndPadConv2D."

    def pattern(self) -> Pattern:
        """Each read by nothing but the next."""
        return about.convolved(about.resized(value("x")))

    def check(self, match: Match) -> Verdict:
        """The fused operation must be able to say all that the single ones say."""
        return about.check(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """One operation."""
        attributes = about.attributes(match)
        attributes["mode"] = b"REFLECT"
        attributes["resize_align_corners"] = about.aligns_corners(match.node("resize"))
        paddings = make.constant("paddings", np.zeros((4, 2), np.int32), "int32")
        read = (match["x"], match["size"], paddings, match["w"])
        return make.node("FusedResizeAndPadConv2D", *read, attributes=attributes)
