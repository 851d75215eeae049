"""A mirrored border and a convolution, to one operation.

    Conv2D(MirrorPad(x, paddings), w)  ->  FusedPadConv2D(x, paddings, w)

Under the name that it had in the Graph Transform Tool. The result is for TensorFlow only: nothing else has the
operation.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_worker.graph_def import attribute

from modelmill_rewriter.rules.folding import _about_fused_convolutions as about
from modelmill_rewriter.rules_api import Builder, Match, Pattern, Rule, Tensor, Verdict, value


@dataclass(frozen=True)
class FusePadAndConv(Rule):
    """A convolution makes the border that it reads."""

    name: ClassVar[str] = "fuse_pad_and_conv"
    summary: ClassVar[str] = "Fuses MirrorPad and Conv2D to FusedPadConv2D."

    def pattern(self) -> Pattern:
        """Each read by nothing but the next."""
        return about.convolved(about.mirrored(value("x")))

    def check(self, match: Match) -> Verdict:
        """The fused operation must be able to say all that the single ones say."""
        return about.check(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """One operation."""
        attributes = about.attributes(match)
        attributes["mode"] = bytes(attribute(match.node("pad"), "mode").s)
        return make.node("FusedPadConv2D", match["x"], match["paddings"], match["w"], attributes=attributes)
