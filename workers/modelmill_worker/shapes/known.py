"""What is known of one tensor, and the dimensions that are computed with."""

from dataclasses import dataclass, field
from typing import Any, FrozenSet, Optional, Sequence, Tuple

import numpy as np

#: -1 for an unknown dimension; None for an unknown rank.
Shape = Optional[Tuple[int, ...]]
#: A small tensor of integers as a NumPy array of objects: ints, and None for what is not known.
Value = Optional[np.ndarray]

#: Tensors with more elements are no shapes, and are not followed by value.
LARGEST_VALUE = 256


@dataclass(frozen=True)
class Known:
    """A tensor as far as it is known.

    causes: names of the nodes for which a dimension or the rank is unknown; empty where all is known.
    held: of a variable's handle, the variable's shape.
    """

    shape: Shape = None
    value: Value = field(default=None, compare=False)
    causes: FrozenSet[str] = frozenset()
    held: Shape = None

    @property
    def is_whole(self) -> bool:
        """Whether rank and all dimensions are known."""
        return self.shape is not None and (not self.shape or min(self.shape) >= 0)


def value_of(items: Any) -> Value:
    """An array of objects from numbers (of any nesting); None where there are too many."""
    array = np.asarray(items)
    if array.size > LARGEST_VALUE:
        return None
    return array.astype(object)


def dimensions(value: Value) -> Optional[Tuple[int, ...]]:
    """A vector's numbers as dimensions, -1 for the unknown; None where there is no vector."""
    if value is None or value.ndim != 1:
        return None
    return tuple(-1 if item is None else int(item) for item in value)


def numbers(value: Value) -> Optional[Tuple[int, ...]]:
    """All numbers of a value in order; None where one is not known."""
    if value is None or any(item is None for item in value.ravel()):
        return None
    return tuple(int(item) for item in value.ravel())


def number(value: Value) -> Optional[int]:
    """The number of a value with one element; None where it is not known."""
    found = numbers(value)
    return found[0] if found is not None and len(found) == 1 else None


def broadcast(first: Shape, second: Shape) -> Shape:
    """The shape of an elementwise operation on two tensors (numpy's rules); None where they do not fit."""
    if first is None or second is None:
        return None
    rank = max(len(first), len(second))
    pairs = zip((1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second)
    sizes = [_broadcast_sizes(one, other) for one, other in pairs]
    return None if None in sizes else tuple(size for size in sizes if size is not None)


def _broadcast_sizes(one: int, other: int) -> Optional[int]:
    if other in (one, 1):
        return one
    if one == 1:
        return other
    if one < 0 or other < 0:
        return max(one, other)  # what is known and above 1 must be the size
    return None


def agree(first: Shape, second: Shape) -> Shape:
    """What is true of a tensor that has one of two shapes, as after a Merge."""
    if first is None or second is None or len(first) != len(second):
        return None
    return tuple(one if one == other else -1 for one, other in zip(first, second))


def combine(first: Shape, second: Shape) -> Shape:
    """All that is known of a tensor of which both are true; the first where they contradict."""
    if first is None:
        return second
    if second is None or len(first) != len(second):
        return first
    return tuple(other if one < 0 else one for one, other in zip(first, second))


def product(sizes: Sequence[int]) -> int:
    """How many elements; -1 where a dimension is unknown, and 0 where one is 0."""
    result = 1
    for size in sizes:
        if size == 0:
            return 0
        result = -1 if size < 0 or result < 0 else result * size
    return result


def axis_of(axis: int, rank: int) -> Optional[int]:
    """An axis counted from 0; None where there is none such."""
    counted = axis + rank if axis < 0 else axis
    return counted if 0 <= counted < rank else None
