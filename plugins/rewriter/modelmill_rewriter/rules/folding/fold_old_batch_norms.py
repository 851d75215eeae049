"""A batch normalisation in inference mode, into the filter and the bias of what it reads.

    gamma (W * x + b - mean) / sqrt(variance + epsilon) + beta  ->  BiasAdd((W s) * x, (b - mean) s + beta)

with s = gamma / sqrt(variance + epsilon), one number for each output channel. The normalisation is FusedBatchNorm,
FusedBatchNormV2, FusedBatchNormV3 or BatchNormWithGlobalNormalization; spelt with Mul, Rsqrt, Sub and Add it is the
matter of `fold_additions` and `fold_multiplications`. * is Conv2D, Conv3D, DepthwiseConv2dNative, Conv2DBackpropInput
or MatMul. Between them may stand a bias, and a Reshape that keeps the channels last or a BatchToSpaceND.

Behind a Pad it stays: what is zero there is beta - mean s afterwards, which no filter before the Pad can give.
(Ioffe and Szegedy 2015, section 3.1; the products are taken in float64 and rounded once.)
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Optional

import numpy as np
from modelmill_worker.graph_def import attribute

from modelmill_rewriter.rules.folding import _about_linear as about
from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, either, no, op, value

_FUSED = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_OLD = "BatchNormWithGlobalNormalization"
_PADS = ("Pad", "PadV2", "MirrorPad")


@dataclass(frozen=True)
class FoldOldBatchNorms(Rule):
    """A batch normalisation becomes part of the filter before it."""

    name: ClassVar[str] = "fold_old_batch_norms"
    summary: ClassVar[str] = "Folds batch normalisations into the convolutions and matrix products before them."

    def pattern(self) -> Pattern:
        """What is normalised may be any tensor, so that `check` can tell why one stays."""
        gamma, beta, mean, variance = value("gamma"), value("beta"), value("mean"), value("variance")
        source = either(about.moved(about.biased(about.linear())), value("other"))
        return either(
            op(_FUSED, source, gamma, beta, mean, variance),
            op(_OLD, source, mean, variance, beta, gamma),
        )

    def check(self, match: Match) -> Verdict:
        """Everything must be constant, and the normalisation in inference mode."""
        root = match.root_node
        if root.op in _FUSED and ("is_training" not in root.attr or root.attr["is_training"].b):
            return no("it is in training mode; freeze the graph for inference")
        if "other" in match:
            read = match.graph.node(match["other"].node)
            if read.op in _PADS:
                return no("it reads {}, a {}, whose border it would have to change".format(read.name, read.op))
            return no("it reads {}, a {}, which has no filter that could take it in".format(read.name, read.op))
        verdict = about.foldable(match)
        return verdict if verdict != YES else _check_statistics(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The operation with the filter scaled, and one bias."""
        found, channels = _affine(match), about.channels_of(match)
        assert found is not None
        assert channels is not None
        bias = about.bias_of(match, channels)
        assert bias is not None
        made = about.linear_like(match, make, about.scaled_filter(match, make, found.factor))
        return about.moved_like(match, make, about.with_bias(match, make, made, bias * found.factor + found.summand))


def _check_statistics(match: Match) -> Verdict:
    channels, found = about.channels_of(match), _affine(match)
    if channels is None or found is None or found.factor.size != channels.count:
        return no("its statistics are not constant, or not one for each of the filter's channels")
    if not (np.all(np.isfinite(found.factor)) and np.all(np.isfinite(found.summand))):
        return no("its statistics are not finite")
    if "moved" not in match and _is_channels_first(match) != about.is_channels_first(match.node("linear")):
        return no("it has another data format than {}".format(match.node("linear").name))
    return about.scaling(match, found.factor)


class _Affine(NamedTuple):
    """y = x factor + summand, for each channel, in float64."""

    factor: np.ndarray
    summand: np.ndarray


def _affine(match: Match) -> Optional[_Affine]:
    arrays = [match.constant(name) for name in ("gamma", "beta", "mean", "variance")]
    if any(array is None or array.dtype.kind != "f" or array.ndim != 1 for array in arrays):
        return None
    gamma, beta, mean, variance = (np.asarray(array, np.float64) for array in arrays)
    if not gamma.size == beta.size == mean.size == variance.size:
        return None
    root = match.root_node
    with np.errstate(all="ignore"):
        if root.op == _OLD:
            factor = 1 / np.sqrt(variance + attribute(root, "variance_epsilon").f)
            if attribute(root, "scale_after_normalization").b:
                factor = factor * gamma
        else:
            epsilon = root.attr["epsilon"].f if "epsilon" in root.attr else 1e-4
            factor = gamma / np.sqrt(variance + epsilon)
        return _Affine(factor, beta - mean * factor)


def _is_channels_first(match: Match) -> bool:
    return match.root_node.op in _FUSED and about.is_channels_first(match.root_node)
