"""A bilinear resize, a mirrored border and a convolution, to one operation.

    Conv2D(MirrorPad(ResizeBilinear(x, size), paddings), w)  ->  FusedResizeAndPadConv2D(x, size, paddings, w)

Under the name that it had in the Graph Transform Tool. The result is for TensorFlow only: nothing else has the
operation.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_worker.graph_def import attribute

from modelmill_rewriter.rules.folding import _about_fused_convolutions as about
from modelmill_rewriter.rules_api import Builder, Match, Pattern, Rule, Tensor, Verdict, value


@dataclass(frozen=True)
class FuseResizePadAndConv(Rule):
    """A convolution resizes what it reads and makes its border."""

    name: ClassVar[str] = "fuse_resize_pad_and_conv"
    summary: ClassVar[str] = "Fuses ResizeBilinear, MirrorPad and Conv2D to FusedResizeAndPadConv2D."

    def pattern(self) -> Pattern:
        """Each read by nothing but the next."""
        return about.convolved(about.mirrored(about.resized(value("x"))))

    def check(self, match: Match) -> Verdict:
        """The fused operation must be able to say all that the single ones say."""
        return about.check(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """One operation."""
        attributes = about.attributes(match)
        attributes["mode"] = bytes(attribute(match.node("pad"), "mode").s)
        attributes["resize_align_corners"] = about.aligns_corners(match.node("resize"))
        read = (match["x"], match["size"], match["paddings"], match["w"])
        return make.node("FusedResizeAndPadConv2D", *read, attributes=attributes)
