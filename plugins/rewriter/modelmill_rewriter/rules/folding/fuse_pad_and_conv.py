"""A mirrored border and a convolution, to one operation.

    Conv2D(MirrorPad(x, p), w) -> FusedPadConv2D(x, p, w)

For TensorFlow on CPUs; see `_about_fused_convolutions.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_worker.graph_def import attribute

from modelmill_rewriter.rules.folding import _about_fused_convolutions as about
from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, op, value


@dataclass(frozen=True)
class FusePadAndConv(Rule):
    """The border is made while the convolution reads."""

    name: ClassVar[str] = "fuse_pad_and_conv"
    summary: ClassVar[str] = "Makes one operation of MirrorPad and Conv2D, for TensorFlow on CPUs."

    def pattern(self) -> Pattern:
        """Only a mirrored border: the fused operation knows no other."""
        return op("Conv2D", op("MirrorPad", value("x"), value("paddings"), name="pad"), value("w"), name="conv")

    def check(self, match: Match) -> Verdict:
        """The convolution must be a plain one."""
        verdict = about.check_convolution(match)
        return verdict if verdict != YES else about.check_paddings(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The fused operation with the attributes of both."""
        attributes = {**about.attributes_of(match), "mode": bytes(attribute(match.node("pad"), "mode").s)}
        return make.node("FusedPadConv2D", match["x"], match["paddings"], match["w"], attributes=attributes)
