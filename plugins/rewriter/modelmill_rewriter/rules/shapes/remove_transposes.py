"""Transpositions that are none, or that one does for two.

    transpose(transpose(x, p), q)  ->  transpose(x, [p[q[0]], p[q[1]] ...])
    transpose(x, [0, 1, 2 ...])    ->  x
    transpose(x, p)                ->  reshape(x, the result's shape), where p moves no axis but those of size 1

The axis i of transpose(y, q) is y's axis q[i], and that of transpose(x, p) is x's axis p[j]. Elements stay where they
are in memory as long as the axes of more than one element keep their order; a Reshape says that without moving any.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

import numpy as np
from modelmill_worker import tensors

from modelmill_rewriter.rules_api import (
    DONE,
    YES,
    Attribute,
    Builder,
    Dtype,
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

_INT32 = Dtype(tensors.data_type_of(np.int32).number)


@dataclass(frozen=True)
class RemoveTransposes(Rule):
    """No more transpositions than needed."""

    name: ClassVar[str] = "remove_transposes"
    summary: ClassVar[str] = (
        "Removes Transposes that cancel, merges two in a row, makes Reshapes of those that move nothing."
    )
    #: Who else reads the first of two goes on reading it.
    may_share: ClassVar[bool] = True

    def pattern(self) -> Pattern:
        """The longer one first."""
        x, first, second = value("x"), value("first"), value("second")
        return either(op("Transpose", op("Transpose", x, first), second), op("Transpose", x, second))

    def check(self, match: Match) -> Verdict:
        """The order of the axes must be constant."""
        order = _order(match)
        if order is None:
            return no("the order of its axes is computed")
        if "first" in match or _is_none(order) or _reshaped(match, order) is not None:
            return YES
        return DONE

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """What is read, reshaped or transposed once."""
        order = _order(match)
        assert order is not None  # `check` has seen it
        if _is_none(order):
            return match["x"]
        shape = _reshaped(match, order)
        dtype: Attribute = Dtype(match.root_node.attr["T"].type)
        if shape is not None:
            sizes = make.constant("shape", np.array(shape, np.int32), "int32")
            return make.node("Reshape", match["x"], sizes, attributes={"T": dtype, "Tshape": _INT32})
        perm = make.constant("perm", np.array(order, np.int32), "int32")
        return make.node("Transpose", match["x"], perm, attributes={"T": dtype, "Tperm": _INT32})


def _order(match: Match) -> Optional[Tuple[int, ...]]:
    """The axes of x in the order in which the root gives them out."""
    second = _axes(match, "second")
    if second is None or "first" not in match:
        return second
    first = _axes(match, "first")
    return None if first is None or len(first) != len(second) else tuple(first[axis] for axis in second)


def _axes(match: Match, name: str) -> Optional[Tuple[int, ...]]:
    found = match.constant(name)
    if found is None:
        return None
    axes = tuple(int(axis) % found.size for axis in found.ravel())
    return axes if sorted(axes) == list(range(len(axes))) else None


def _is_none(order: Tuple[int, ...]) -> bool:
    return order == tuple(range(len(order)))


def _reshaped(match: Match, order: Tuple[int, ...]) -> Optional[Tuple[int, ...]]:
    """The result's shape, -1 at most once, where no axis moves that may have more than one element."""
    shape = match.shape("x")
    if shape is None or len(shape) != len(order):
        return None
    moving = [axis for axis in order if shape[axis] != 1]
    result = tuple(shape[axis] for axis in order)
    return result if moving == sorted(moving) and result.count(-1) <= 1 else None
