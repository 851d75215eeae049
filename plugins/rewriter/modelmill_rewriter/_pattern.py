"""Patterns, written as the expression that they match.

    x, alpha = value("x"), value("alpha")
    relu(x) + alpha * minimum(x, 0)

Sums and products match in either order. A variable that occurs twice stands for one tensor. Identity nodes that only
hand a tensor on are seen through wherever the pattern does not name them.
"""

from dataclasses import dataclass
from typing import Callable, Optional, Tuple, Union

import numpy as np
from modelmill_worker.graph_def import NodeDef


class Pattern:
    """An expression over the tensors of a graph; the four kinds are below."""

    def __add__(self, other: "Operand") -> "Operation":
        return Operation(("Add", "AddV2"), (self, _pattern(other)), commutes=True)

    def __radd__(self, other: "Operand") -> "Operation":
        return _pattern(other) + self

    def __sub__(self, other: "Operand") -> "Operation":
        return Operation(("Sub",), (self, _pattern(other)))

    def __rsub__(self, other: "Operand") -> "Operation":
        return _pattern(other) - self

    def __mul__(self, other: "Operand") -> "Operation":
        return Operation(("Mul",), (self, _pattern(other)), commutes=True)

    def __rmul__(self, other: "Operand") -> "Operation":
        return _pattern(other) * self

    def __truediv__(self, other: "Operand") -> "Operation":
        return Operation(("RealDiv", "Div"), (self, _pattern(other)))

    def __rtruediv__(self, other: "Operand") -> "Operation":
        return _pattern(other) / self

    def __neg__(self) -> "Operation":
        return op("Neg", self)


Operand = Union[Pattern, float]


@dataclass(frozen=True)
class Value(Pattern):
    """Any tensor; a rule asks for it by its name."""

    name: str


@dataclass(frozen=True)
class Constant(Pattern):
    """A tensor whose value the graph fixes and that fulfils the condition; no `name` where no rule asks for it."""

    name: str
    holds: Optional[Callable[[np.ndarray], bool]]


@dataclass(frozen=True)
class Operation(Pattern):
    """An output of a node of one of these operations.

    open_ended: the node may have more operands than the pattern names.
    where: a condition on the node, for its attributes.
    name: how a rule asks for the node; empty where none does.
    """

    operations: Tuple[str, ...]
    operands: Tuple[Pattern, ...]
    commutes: bool = False
    open_ended: bool = False
    output: int = 0
    where: Optional[Callable[[NodeDef], bool]] = None
    name: str = ""


@dataclass(frozen=True)
class Either(Pattern):
    """What any of the alternatives matches; the first that does wins."""

    alternatives: Tuple[Pattern, ...]


def value(name: str) -> Value:
    """Any tensor, by this name in `check` and `rewrite`."""
    return Value(name)


def constant(name: str, holds: Optional[Callable[[np.ndarray], bool]] = None) -> Constant:
    """A tensor whose value the graph fixes, and that fulfils the condition.

    Use `value` and look at the match's `constant` in `check` where a tensor that is not constant deserves a reason.
    """
    return Constant(name, holds)


def op(
    operations: Union[str, Tuple[str, ...]],
    *operands: Operand,
    commutes: bool = False,
    open_ended: bool = False,
    output: int = 0,
    where: Optional[Callable[[NodeDef], bool]] = None,
    name: str = "",
) -> Operation:
    """A node of this operation, or of one of these, where it has just these operands (at least these: `open_ended`).

    name: by which `match.node` gives the node itself, for its attributes.
    """
    names = (operations,) if isinstance(operations, str) else operations
    patterns = tuple(_pattern(operand) for operand in operands)
    return Operation(names, patterns, commutes, open_ended, output, where, name)


def either(*alternatives: Pattern) -> Either:
    """Whichever of the alternatives matches first."""
    return Either(alternatives)


def maybe(optional: Operation) -> Either:
    """The operation, or its first operand where the graph does without: ``maybe(op("BiasAdd", x, bias))``."""
    return Either((optional, optional.operands[0]))


def relu(x: Operand) -> Operation:
    """max(x, 0)."""
    return op("Relu", x)


def absolute(x: Operand) -> Operation:
    """|x|."""
    return op("Abs", x)


def maximum(x: Operand, y: Operand) -> Operation:
    """The larger, element by element, in either order."""
    return op("Maximum", x, y, commutes=True)


def minimum(x: Operand, y: Operand) -> Operation:
    """The smaller, element by element, in either order."""
    return op("Minimum", x, y, commutes=True)


def roots(pattern: Pattern) -> Tuple[Operation, ...]:
    """The operations that can be a match's last node; a pattern that is a bare variable has none and is an error."""
    if isinstance(pattern, Operation):
        return (pattern,)
    if isinstance(pattern, Either):
        return tuple(root for alternative in pattern.alternatives for root in roots(alternative))
    raise TypeError("a rule's pattern must be an operation, not {!r}".format(pattern))


def depth(pattern: Pattern) -> int:
    """How many operations lie on the longest way from the root to a variable."""
    if isinstance(pattern, Operation):
        return 1 + max((depth(operand) for operand in pattern.operands), default=0)
    if isinstance(pattern, Either):
        return max(depth(alternative) for alternative in pattern.alternatives)
    return 0


def _pattern(operand: Operand) -> Pattern:
    if isinstance(operand, Pattern):
        return operand
    return Constant("", lambda array: array.dtype.kind in "fiu" and bool(np.all(array == operand)))
