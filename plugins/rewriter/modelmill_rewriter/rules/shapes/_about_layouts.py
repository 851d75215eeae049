"""The two orders of an image's dimensions: NCHW, channels first, and NHWC, channels last.

y = transpose(x, TO_LAST) has the channels last where x has them first: y's axis i is x's axis TO_LAST[i]. TO_FIRST
leads back, so x's axis i is y's axis TO_FIRST[i].
"""

from typing import Iterable, Optional, Sequence, Tuple, TypeVar

import numpy as np

Item = TypeVar("Item")

TO_LAST = (0, 2, 3, 1)
TO_FIRST = (0, 3, 1, 2)


def last_axis(axis: int) -> int:
    """Which axis of an NHWC tensor is this one (-4 to 3) of the NCHW tensor."""
    return TO_FIRST[axis % 4]


def last_order(items: Sequence[Item]) -> Tuple[Item, ...]:
    """One item for each axis, from NCHW's order to NHWC's."""
    return tuple(items[axis] for axis in TO_LAST)


def last_order_of_pairs(items: Sequence[Item]) -> Tuple[Item, ...]:
    """Two items in a row for each axis (explicit paddings), from NCHW's order to NHWC's."""
    return tuple(items[2 * axis + side] for axis in TO_LAST for side in (0, 1))


def last_bits(mask: int) -> int:
    """A bit for each axis, the lowest for the first (the masks of StridedSlice), from NCHW's order to NHWC's."""
    return sum(1 << last_axis(axis) for axis in range(4) if mask >> axis & 1)


def last_operand(array: np.ndarray) -> np.ndarray:
    """A constant that broadcasts against an NCHW tensor, as it broadcasts against the NHWC tensor; rank 4 at most.

    [C, 1, 1] becomes [1, 1, C]: as few dimensions as broadcasting needs, and not fewer than there were.
    """
    full = array.reshape((1,) * (4 - array.ndim) + array.shape)
    turned = full.transpose(TO_LAST)
    if array.size == 1:
        return array
    while turned.ndim > array.ndim and turned.shape[0] == 1:
        turned = turned[0]
    return turned


def keeps_order(gone: Iterable[int]) -> bool:
    """Whether what is left without these axes of NCHW has one order, wherever the channels are."""
    lost = {axis % 4 for axis in gone}
    left = [last_axis(axis) for axis in range(4) if axis not in lost]
    return left == sorted(left)


def flattens_alike(shape: Optional[Tuple[int, ...]]) -> bool:
    """Whether an NCHW tensor of this shape and the NHWC tensor have their elements in the same order in memory."""
    return shape is not None and len(shape) == 4 and (shape[1] == 1 or shape[2:] == (1, 1))


def rows_for_last(weights: np.ndarray, image: Tuple[int, int, int]) -> np.ndarray:
    """The weights [C*H*W, K] of a product with a flattened NCHW image, for the flattened NHWC image."""
    channels, height, width = image
    turned = weights.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
    return turned.reshape(weights.shape)
