"""Dilated convolutions as TensorFlow 1 spells them: over blocks of the image that lie in the batch.

    BatchToSpaceND(conv(SpaceToBatchND(x, block, paddings), w) + b, block, crops)

is a convolution of x with a filter that skips `block` - 1 values between its own, plus b. SpaceToBatchND puts every
`block`-th row of the padded image into an image of its own. A filter of k rows then reads k rows that were `block`
apart, and BatchToSpaceND puts the results back in the order that they had. What the image is padded by in the end, for
each of rows and columns:

    before = paddings[0] + block * (the convolution's own padding before) - crops[0]
    after  = paddings[1] + block * (the convolution's own padding after)  - crops[1]

as a row of a block's image is `block` rows of the padded one, and as leaving out the first results is leaving out the
first rows of padding. It takes strides of 1: others would skip rows within each block.
(https://www.tensorflow.org/api_docs/python/tf/nn/with_space_to_batch)
"""

from typing import Dict, Iterable, NamedTuple, Optional, Tuple

import numpy as np
from modelmill_worker import tensors
from modelmill_worker.graph_def import NodeDef, attribute

from modelmill_rewriter.rules.folding import _about_linear as about
from modelmill_rewriter.rules_api import (
    YES,
    Attribute,
    Builder,
    Dtype,
    Match,
    Pattern,
    Tensor,
    Verdict,
    either,
    no,
    op,
    value,
)

_Pair = Tuple[int, int]
_INT32 = Dtype(tensors.data_type_named("int32").number)


class Dilated(NamedTuple):
    """A convolution with strides of 1: a number for rows and one for columns.

    pads: before and after the rows, before and after the columns; none is negative.
    """

    rates: _Pair
    pads: Tuple[_Pair, _Pair]
    sizes: _Pair

    @property
    def reaches(self) -> _Pair:
        """How many rows and columns lie under the filter, with those that it skips."""
        return _pair((size - 1) * rate + 1 for size, rate in zip(self.sizes, self.rates))

    @property
    def padding(self) -> str:
        """SAME or VALID where that pads as much; else empty."""
        if self.pads == ((0, 0), (0, 0)):
            return "VALID"
        same = tuple(((reach - 1) // 2, reach - 1 - (reach - 1) // 2) for reach in self.reaches)
        return "SAME" if self.pads == same else ""


def pattern() -> Pattern:
    """Names "linear" and "bias" as `_about_linear.py` does; it reads `x`, `w`, and `b` where there is a bias."""
    blocks = op("SpaceToBatchND", value("x"), value("block"), value("paddings"), name="blocks")
    convolved = op(("Conv2D", "DepthwiseConv2dNative"), blocks, value("w"), name="linear")
    biased = op("BiasAdd", convolved, value("b"), name="bias")
    return op("BatchToSpaceND", either(biased, convolved), value("block_back"), value("crops"))


def check(match: Match) -> Verdict:
    """Whether it is a dilated convolution whose sizes are known."""
    node = match.node("linear")
    if about.is_channels_first(node):
        return no("{} has its channels before rows and columns, which were made blocks of".format(node.name))
    if any(stride != 1 for stride in numbers(node, "strides")):
        return no("{} has strides, which skip rows within a block".format(node.name))
    if any(rate != 1 for rate in numbers(node, "dilations")):
        return no("{} is dilated itself".format(node.name))
    if _padding(node) not in (b"SAME", b"VALID"):
        return no("{} has explicit paddings".format(node.name))
    return _check_blocks(match)


def _check_blocks(match: Match) -> Verdict:
    block, block_back = match.constant("block"), match.constant("block_back")
    if block is None or block_back is None or match.constant("paddings") is None or match.constant("crops") is None:
        return no("its blocks depend on the size of the image; fix that with fix_input_shapes, then run fold_constants")
    if not 1 <= block.size <= 2 or not np.array_equal(block, block_back):
        return no(
            "its blocks and those of {} are not the same, or not of rows and columns".format(match.node("blocks").name)
        )
    shape = match.shape("w")
    if shape is None or len(shape) != 4 or min(shape[:2]) < 1:
        return no("the size of the filter of {} is not known".format(match.node("linear").name))
    return YES if dilated(match) is not None else no("it leaves out more of the image than was padded")


def dilated(match: Match) -> Optional[Dilated]:
    """What a match that fulfils the other conditions is; None where it would need a negative padding."""
    shape, block = match.shape("w"), match.constant("block")
    paddings, crops = match.constant("paddings"), match.constant("crops")
    assert shape is not None
    assert block is not None
    assert paddings is not None
    assert crops is not None
    sizes, rates, pads = _pair(shape[:2]), [1, 1], [(0, 0), (0, 0)]
    for axis in range(2):
        if axis < block.size:
            rates[axis] = int(block[axis])
        own = sizes[axis] - 1 if _padding(match.node("linear")) == b"SAME" else 0
        split = (own // 2, own - own // 2)
        outer = paddings[axis] - crops[axis] if axis < block.size else (0, 0)
        pads[axis] = _pair(rates[axis] * inner + int(more) for inner, more in zip(split, outer))
    if min(min(pair) for pair in pads) < 0:
        return None
    return Dilated(_pair(rates), (pads[0], pads[1]), sizes)


def numbers(node: NodeDef, name: str) -> Tuple[int, ...]:
    """An attribute with a number for each dimension, or the ones that it stands for where it is left out."""
    return tuple(attribute(node, name).list.i) or (1, 1, 1, 1)


def padded(match: Match, make: Builder, convolution: Dilated) -> Tensor:
    """What the convolution reads: the image, behind a Pad where neither SAME nor VALID pads as much."""
    if convolution.padding:
        return match["x"]
    sizes = np.array([(0, 0), *convolution.pads, (0, 0)], np.int32)
    kind: Dict[str, Attribute] = {"T": Dtype(match.graph.dtype(match["x"])), "Tpaddings": _INT32}
    return make.node("Pad", match["x"], make.constant("paddings", sizes, "int32"), attributes=kind)


def with_bias(match: Match, make: Builder, source: Tensor) -> Tensor:
    """The match's bias behind a tensor, where it has one."""
    return make.like(match.node("bias"), source, match["b"]) if "b" in match else source


def _padding(node: NodeDef) -> bytes:
    return bytes(attribute(node, "padding").s)


def _pair(items: Iterable[int]) -> _Pair:
    first, second = items
    return int(first), int(second)
