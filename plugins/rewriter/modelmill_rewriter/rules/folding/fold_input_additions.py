"""A constant summand, behind the convolution or matrix product that reads the sum, as its bias.

    W * (x + c)  ->  BiasAdd(W * x, W * c)
    W * (x - c)  ->  BiasAdd(W * x, -W * c)

for c of one number, or one for each channel of x; * is Conv2D, Conv3D, DepthwiseConv2dNative or MatMul without padding:
a border of zeros is added behind the sum, so that W * c would differ at the border. W * c is summed in float64 and
rounded once. x and W * x are larger than before by c and W * c, and so are their roundings.

For what centres images before the first convolution; `fold_additions` makes one bias of two.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional

import numpy as np
from modelmill_worker.graph_def import attribute

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
class FoldInputAdditions(Rule):
    """A sum with a constant becomes a bias behind what reads it."""

    name: ClassVar[str] = "fold_input_additions"
    summary: ClassVar[str] = "Makes biases of constant summands before convolutions and matrix products."

    def pattern(self) -> Pattern:
        """The root is the convolution or matrix product."""
        x, summand = value("x"), constant("summand")
        return about.linear(
            either(
                op(("Add", "AddV2"), x, summand, commutes=True, name="sum"),
                op("Sub", x, summand, name="difference"),
            )
        )

    def check(self, match: Match) -> Verdict:
        """The filter and the summand must be constant, and nothing padded."""
        verdict = inputs.check(match, "summand", "summand")
        if verdict != YES:
            return verdict
        node = match.node("linear")
        if node.op == "Conv2DBackpropInput":
            return no("at its border {} reads fewer of the summands".format(node.name))
        if _pads(match):
            return no("{} pads with zeros, which the summand is not added to".format(node.name))
        quantised = about.fake_quant_of(match)
        if quantised is not None:
            return no("{} quantises the filter that the bias would be summed of".format(quantised.name))
        bias, dtype = _bias(match), match.dtype_of("x")
        assert bias is not None
        assert dtype is not None
        limit = np.finfo(np.float16 if dtype.name == "float16" else np.float32).max
        return YES if np.all(np.abs(bias) <= limit) else no("the bias that it would be is beyond its type")

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The operation over x, and its bias."""
        bias = _bias(match)
        assert bias is not None
        return about.with_bias(match, make, about.linear_like(match, make, match["w"]), bias)


def _pads(match: Match) -> bool:
    """Whether the linear operation may read zeros beside its input."""
    node, array = match.node("linear"), about.weights(match)
    padding = attribute(node, "padding").s
    if node.op == "MatMul" or padding == b"VALID":
        return False
    return padding != b"SAME" or array is None or any(size != 1 for size in array.shape[:-2])


def _bias(match: Match) -> Optional[np.ndarray]:
    """W * c for each channel that is given out, in float64."""
    array, summand = about.weights(match), inputs.channelwise(match, "summand")
    if array is None or summand is None:
        return None
    signed = -summand.astype(np.float64) if "difference" in match else summand.astype(np.float64)
    products = array.astype(np.float64) * inputs.along_inputs(match, signed)
    node = match.node("linear")
    if node.op == "DepthwiseConv2dNative":
        return products.sum((0, 1)).reshape(-1)
    if node.op == "MatMul" and attribute(node, "transpose_b").b:
        return products.sum(1)
    return products.reshape((-1, products.shape[-1])).sum(0)
