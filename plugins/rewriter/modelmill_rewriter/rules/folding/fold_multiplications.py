"""A constant factor, into the filter of the convolution or matrix product before it.

    (W * x + b) * s  ->  (W s) * x + (b s)
    (W * x + b) / s  ->  (W / s) * x + (b / s)

for s of one number, or one for each output channel; * is Conv2D, Conv3D, DepthwiseConv2dNative, Conv2DBackpropInput or
MatMul, and b may be missing. Between them may stand a Reshape that keeps the channels last, or a BatchToSpaceND: they
move values and keep each in its channel.

The products are taken in float64 and rounded once, so that an output moves by roundings of its dtype. A FakeQuant of
the filter keeps its grid: its range is multiplied as well, which needs s above zero, and one s for all where it has one
range for all. Over a FakeQuant between the filter and the product nothing is folded.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional

import numpy as np

from modelmill_rewriter.rules.folding import _about_linear as about
from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, either, no, op, value


@dataclass(frozen=True)
class FoldMultiplications(Rule):
    """A product with a constant becomes part of the filter."""

    name: ClassVar[str] = "fold_multiplications"
    summary: ClassVar[str] = "Multiplies constant factors into the filters of convolutions and matrix products."

    def pattern(self) -> Pattern:
        """What is multiplied may have a bias, and may be moved."""
        factor = value("factor")
        source = either(about.moved(about.biased(about.linear())), about.quantised_between())
        return either(op("Mul", source, factor, commutes=True), op(("RealDiv", "Div"), source, factor))

    def check(self, match: Match) -> Verdict:
        """The filter, the bias and the factor must be constant, the factor the same within each channel."""
        verdict = about.check_between(match)
        if verdict == YES:
            verdict = about.foldable(match)
        if verdict != YES:
            return verdict
        factor = _factor(match)
        if factor is None:
            return no("its factor, {}, is no constant for each channel".format(match["factor"]))
        if not np.all(np.isfinite(factor)):
            return no("its factor, {}, is not finite".format(match["factor"]))
        return about.scaling(match, factor)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The operation with the filter times the factor, and the bias times the factor."""
        factor, channels = _factor(match), about.channels_of(match)
        assert factor is not None
        assert channels is not None
        bias = about.bias_of(match, channels)
        assert bias is not None
        made = about.linear_like(match, make, about.scaled_filter(match, make, factor))
        return about.moved_like(match, make, about.with_bias(match, make, made, bias * factor))


def _factor(match: Match) -> Optional[np.ndarray]:
    """For each channel, in float64."""
    channels = about.channels_of(match)
    if channels is None:
        return None
    found = about.per_channel(match.constant("factor"), channels, about.rank_behind(match))
    if found is None:
        return None
    with np.errstate(all="ignore"):
        factor = found.astype(np.float64)
        return 1 / factor if match.root_node.op in ("RealDiv", "Div") else factor
