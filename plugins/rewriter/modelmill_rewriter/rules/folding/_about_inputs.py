"""What is done to the input of a convolution or matrix product by constants, for each of its channels."""

from typing import Optional

import numpy as np
from modelmill_worker.graph_def import attribute

from modelmill_rewriter.rules.folding import _about_linear as about
from modelmill_rewriter.rules_api import YES, Match, Verdict, no


def check(match: Match, name: str, what: str) -> Verdict:
    """Whether the variable of that name is a constant for each channel that the linear operation reads.

    what: how the reason for another answer calls it.
    """
    verdict = about.foldable(match)
    if verdict != YES:
        return verdict
    if attribute(match.node("linear"), "transpose_a").b:
        return no("{} transposes what it reads".format(match.node("linear").name))
    found = channelwise(match, name)
    if found is None:
        return no("its {}, {}, is no constant for each channel".format(what, match[name]))
    return YES if np.all(np.isfinite(found)) else no("its {}, {}, is not finite".format(what, match[name]))


def channelwise(match: Match, name: str) -> Optional[np.ndarray]:
    """The constant of that name for each channel of the filter's input; None where it is not one, or stretches x."""
    array, filter_, shape = match.constant(name), about.weights(match), match.shape("x")
    if array is None or filter_ is None:
        return None
    node = match.node("linear")
    last = node.op == "Conv2DBackpropInput" or (node.op == "MatMul" and attribute(node, "transpose_b").b)
    channels = about.Channels(filter_.shape[-1 if last else -2], 1 if about.is_channels_first(node) else -1)
    rank = about.rank_of(match)
    if array.ndim and (shape is None or len(shape) != rank):
        return None
    if array.size > 1 and (shape is None or shape[channels.axis] != channels.count):
        return None
    return about.per_channel(array, channels, rank)


def along_inputs(match: Match, constant: np.ndarray) -> np.ndarray:
    """A number for each channel in the shape that multiplies the filter."""
    node = match.node("linear")
    if node.op == "Conv2DBackpropInput" or (node.op == "MatMul" and attribute(node, "transpose_b").b):
        return constant
    return constant.reshape((-1, 1))
