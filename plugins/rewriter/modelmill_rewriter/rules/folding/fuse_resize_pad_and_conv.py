"""A bilinear resize, a mirrored border and a convolution, to one operation.

    Conv2D(MirrorPad(ResizeBilinear(x, size), p), w) -> FusedResizeAndPadConv2D(x, size, p, w)

For TensorFlow on CPUs; see `_about_fused_convolutions.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_worker.graph_def import attribute

from modelmill_rewriter.rules.folding import _about_fused_convolutions as about
from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, op, value


@dataclass(frozen=True)
class FuseResizePadAndConv(Rule):
    """The image is resized and bordered while the convolution reads."""

    name: ClassVar[str] = "fuse_resize_pad_and_conv"
    summary: ClassVar[str] = "Makes one operation of ResizeBilinear, MirrorPad and Conv2D, for TensorFlow on CPUs."

    def pattern(self) -> Pattern:
        """The border between the resize and the convolution."""
        resize = op("ResizeBilinear", value("x"), value("size"), name="resize")
        return op("Conv2D", op("MirrorPad", resize, value("paddings"), name="pad"), value("w"), name="conv")

    def check(self, match: Match) -> Verdict:
        """All three must be plain ones."""
        for check in (about.check_convolution, about.check_paddings, about.check_resize):
            verdict = check(match)
            if verdict != YES:
                return verdict
        return YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The fused operation with the attributes of all three."""
        attributes = {
            **about.attributes_of(match),
            "mode": bytes(attribute(match.node("pad"), "mode").s),
            "resize_align_corners": bool(attribute(match.node("resize"), "align_corners").b),
        }
        inputs = (match["x"], match["size"], match["paddings"], match["w"])
        return make.node("FusedResizeAndPadConv2D", *inputs, attributes=attributes)
