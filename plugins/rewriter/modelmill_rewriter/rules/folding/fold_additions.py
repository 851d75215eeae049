"""Constant summands, into one bias behind the convolution or matrix product before them.

    (W * x + b) + c  ->  BiasAdd(W * x, b + c)
    (W * x + b) - c  ->  BiasAdd(W * x, b - c)
    W * x + c        ->  BiasAdd(W * x, c)

for c of one number, or one for each output channel; * is Conv2D, Conv3D, DepthwiseConv2dNative, Conv2DBackpropInput or
MatMul, and b may be missing. A BiasAdd is what converters make part of the operation. Between them may stand a Reshape
that keeps the channels last, or a BatchToSpaceND. The sums are taken in float64 and rounded once.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional

import numpy as np

from modelmill_rewriter.rules.folding import _about_linear as about
from modelmill_rewriter.rules_api import (
    DONE,
    YES,
    Builder,
    Match,
    Pattern,
    Rule,
    Tensor,
    Verdict,
    either,
    no,
    op,
    value,
)


@dataclass(frozen=True)
class FoldAdditions(Rule):
    """A sum with a constant becomes a bias, and a bias behind a bias one."""

    name: ClassVar[str] = "fold_additions"
    summary: ClassVar[str] = "Adds constant summands to the biases of convolutions and matrix products."

    def pattern(self) -> Pattern:
        """What is added to may have a bias already, and may be moved."""
        summand = value("summand")
        source = either(about.moved(about.biased(about.linear())), about.quantised_between())
        return either(
            op("BiasAdd", source, summand),
            op(("Add", "AddV2"), source, summand, commutes=True),
            op("Sub", source, summand),
        )

    def check(self, match: Match) -> Verdict:
        """The bias and the summand must be constant, the summand the same within each channel."""
        if match.constant("summand") is None:
            return DONE  # the sum of two branches, as networks have many
        if "b" not in match and "moved" not in match and match.root_node.op == "BiasAdd":
            return DONE
        verdict = about.check_between(match)
        if verdict == YES:
            verdict = about.foldable(match)
        return verdict if verdict != YES else _check_summand(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The operation as it is, with one bias."""
        summand, channels = _summand(match), about.channels_of(match)
        assert summand is not None
        assert channels is not None
        bias = about.bias_of(match, channels)
        assert bias is not None
        made = about.linear_like(match, make, match["w"])
        return about.moved_like(match, make, about.with_bias(match, make, made, bias + summand))


def _check_summand(match: Match) -> Verdict:
    summand = _summand(match)
    if summand is None:
        return no("its summand, {}, is no constant for each channel".format(match["summand"]))
    if not np.all(np.isfinite(summand)):
        return no("its summand, {}, is not finite".format(match["summand"]))
    return YES if _fits(match, summand) else no("the sum of its biases is beyond its type")


def _summand(match: Match) -> Optional[np.ndarray]:
    """For each channel, in float64."""
    channels = about.channels_of(match)
    if channels is None:
        return None
    root = match.root_node
    if root.op == "BiasAdd":
        rank, own = 1, about.Channels(channels.count, -1)
    else:
        rank, own = about.rank_behind(match), channels
    found = about.per_channel(match.constant("summand"), own, rank)
    if found is None:
        return None
    return -found.astype(np.float64) if root.op == "Sub" else found.astype(np.float64)


def _fits(match: Match, summand: np.ndarray) -> bool:
    dtype = match.dtype_of("x")
    channels = about.channels_of(match)
    assert dtype is not None
    assert channels is not None
    bias = about.bias_of(match, channels)
    limit = np.finfo(np.float16 if dtype.name == "float16" else np.float32).max
    return bias is not None and bool(np.all(np.abs(bias + summand) <= limit))
