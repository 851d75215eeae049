"""A constant factor, into the filter of the convolution or matrix product that reads the product.

    W * (x s)  ->  (W s) * x
    W * (x / s)  ->  (W / s) * x

for s of one number, or one for each channel of x; * is Conv2D, Conv3D, DepthwiseConv2dNative, Conv2DBackpropInput or
MatMul. Whatever the padding: a border of zeros stays one. The products are taken in float64 and rounded once, so that
an output moves by roundings of its dtype. A FakeQuant of the filter keeps its grid where s is one number above zero:
its range is multiplied as well.

For what scales images before the first convolution; behind a convolution `fold_multiplications` comes first.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional

import numpy as np

from modelmill_rewriter.rules.folding import _about_inputs as inputs
from modelmill_rewriter.rules.folding import _about_linear as about
from modelmill_rewriter.rules_api import (
    YES,
    Builder,
    Match,
    Pattern,
    Rule,
    Tensor,
    Verdict,
    constant,
    either,
    no,
    op,
    value,
)


@dataclass(frozen=True)
class FoldInputMultiplications(Rule):
    """A product with a constant becomes part of the filter that reads it."""

    name: ClassVar[str] = "fold_input_multiplications"
    summary: ClassVar[str] = "Multiplies constant factors into the filters of what reads the products."

    def pattern(self) -> Pattern:
        """The root is the convolution or matrix product."""
        x, factor = value("x"), constant("factor")
        return about.linear(
            either(
                op("Mul", x, factor, commutes=True, name="scaled"), op(("RealDiv", "Div"), x, factor, name="divided")
            )
        )

    def check(self, match: Match) -> Verdict:
        """The filter and the factor must be constant, the factor the same within each channel."""
        verdict = inputs.check(match, "factor", "factor")
        if verdict != YES:
            return verdict
        factor = _factor(match)
        assert factor is not None
        if not np.all(np.isfinite(factor)):
            return no("its factor, {}, is not finite".format(match["factor"]))
        uniform = _for_outputs(match, factor)
        if uniform is not None:
            return about.scaling(match, uniform)
        quantised = about.fake_quant_of(match)
        if quantised is not None:
            return no(
                "its factor differs from channel to channel, and {} quantises them with one range".format(
                    quantised.name
                )
            )
        return YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The operation with the filter times the factor."""
        factor, array = _factor(match), about.weights(match)
        assert factor is not None
        assert array is not None
        uniform = _for_outputs(match, factor)
        if uniform is not None:
            return about.linear_like(match, make, about.scaled_filter(match, make, uniform))
        dtype = match.dtype_of("x")
        assert dtype is not None
        scaled = array.astype(np.float64) * inputs.along_inputs(match, factor)
        return about.linear_like(match, make, make.constant("weights", scaled, dtype.name))


def _factor(match: Match) -> Optional[np.ndarray]:
    """For each channel that is read, in float64."""
    found = inputs.channelwise(match, "factor")
    if found is None:
        return None
    with np.errstate(all="ignore"):
        return 1 / found.astype(np.float64) if "divided" in match else found.astype(np.float64)


def _for_outputs(match: Match, factor: np.ndarray) -> Optional[np.ndarray]:
    """The same factor for each channel that is given out; None where it differs from channel to channel."""
    channels = about.channels_of(match)
    if channels is None or np.any(factor != factor[0]):
        return None
    return np.full(channels.count, factor[0])
