"""A bilinear resize and a convolution, to one operation.

    Conv2D(ResizeBilinear(x, size), w) -> FusedResizeAndPadConv2D(x, size, paddings of zero, w)

For TensorFlow on CPUs; see `_about_fused_convolutions.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from modelmill_worker.graph_def import attribute

from modelmill_rewriter.rules.folding import _about_fused_convolutions as about
from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, op, value


@dataclass(frozen=True)
class FuseResizeAndConv(Rule):
    """The image is resized while the convolution reads."""

    name: ClassVar[str] = "fuse_resize_and_conv"
    summary: ClassVar[str] = "Makes one operation of ResizeBilinear and Conv2D, for TensorFlow on CPUs."

    def pattern(self) -> Pattern:
        """A convolution right behind the resize."""
        return op("Conv2D", op("ResizeBilinear", value("x"), value("size"), name="resize"), value("w"), name="conv")

    def check(self, match: Match) -> Verdict:
        """Resize and convolution must be plain ones."""
        verdict = about.check_convolution(match)
        return verdict if verdict != YES else about.check_resize(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The fused operation, with a border of no width."""
        attributes = {
            **about.attributes_of(match),
            "mode": b"REFLECT",
            "resize_align_corners": bool(attribute(match.node("resize"), "align_corners").b),
        }
        paddings = make.constant("paddings", np.zeros((4, 2)), "int32")
        return make.node(
            "FusedResizeAndPadConv2D", match["x"], match["size"], paddings, match["w"], attributes=attributes
        )
