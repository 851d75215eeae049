"""A convolution with holes, as TensorFlow 1 spells it: over the phases of an image that lie in batches of their own.

    BatchToSpaceND(conv(SpaceToBatchND(x, d, p), w), d, c)

is the convolution of x with w, d apart in each direction, under a border of p less c: what SpaceToBatchND adds so that
the sizes divide by d, BatchToSpaceND crops again (tensorflow/python/ops/nn_ops.py, with_space_to_batch).
"""

from typing import NamedTuple, Optional, Tuple, Union

import numpy as np
from modelmill_worker.graph_def import attribute

from modelmill_rewriter.rules_api import Match, Pattern, Verdict, no, op, value

_OPERATIONS = ("Conv2D", "DepthwiseConv2dNative")


def atrous() -> Pattern:
    """`match.node("conv")` between the two; it reads `x` and the filter `w`."""
    spread = op("SpaceToBatchND", value("x"), value("block"), value("paddings"), name="spread")
    return op("BatchToSpaceND", op(_OPERATIONS, spread, value("w"), name="conv"), value("again"), value("crops"))


class Holes(NamedTuple):
    """How far apart the filter's elements lie, and the border, as a convolution's attribute `padding`."""

    dilations: Tuple[int, int]
    padding: bytes


def holes_of(match: Match) -> Union[Holes, Verdict]:
    """What the match spells, or the reason why it is something else."""
    node = match.node("conv")
    if attribute(node, "data_format").s not in (b"", b"NHWC"):
        return no("{} has its channels first".format(node.name))
    if attribute(node, "padding").s != b"VALID" or any(size != 1 for size in attribute(node, "strides").list.i):
        return no("{} has a border or strides of its own".format(node.name))
    if any(size != 1 for size in attribute(node, "dilations").list.i):
        return no("{} has dilations of its own".format(node.name))
    arrays = [match.constant(name) for name in ("block", "again", "paddings", "crops", "w")]
    if any(array is None for array in arrays):
        return no("its filter, or how it is spread, is not constant")
    block, again, paddings, crops, weights = arrays
    assert block is not None
    assert weights is not None
    if block.shape != (2,) or again is None or not np.array_equal(block, again):
        return no("it is not put together as it was spread")
    dilations = (int(block[0]), int(block[1]))
    padding = _padding(np.asarray(paddings) - np.asarray(crops), dilations, weights.shape)
    return no("its border is that of neither SAME nor VALID") if padding is None else Holes(dilations, padding)


def _padding(border: np.ndarray, dilations: Tuple[int, int], shape: Tuple[int, ...]) -> Optional[bytes]:
    """The padding that adds such a border at a stride of 1, whatever the size of the image."""
    if not np.any(border):
        return b"VALID"
    totals = [(size - 1) * apart for size, apart in zip(shape, dilations)]
    same = [[total // 2, total - total // 2] for total in totals]
    return b"SAME" if border.tolist() == same else None
