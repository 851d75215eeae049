"""Graphs of tests, written as the expressions that they compute."""

from __future__ import annotations  # these tests run on Python 3.7 as well

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Expression:
    """A tensor of a graph in the making; arithmetic with numbers, arrays and others makes nodes."""

    graph: Any
    name: str
    dtype: str = "float32"
    #: NumPy arrays leave arithmetic to this class.
    __array_ufunc__ = None

    def op(self, operation: str, *others: Any, **attributes: Any) -> Expression:
        """A node that reads this and other operands; its name tells how many nodes there were."""
        return self.node(operation, self, *others, **attributes)

    def node(self, operation: str, *operands: Any, **attributes: Any) -> Expression:
        """A node over these operands alone."""
        name = f"{operation.lower()}_{len(self.graph.message.node)}"
        self.graph.node(name, operation, *(self.lifted(it).name for it in operands), dtype=self.dtype, **attributes)
        return Expression(self.graph, name, self.dtype)

    def lifted(self, operand: Any) -> Expression:
        """The operand, or a constant of it: of the same dtype, but for integer arrays."""
        if isinstance(operand, Expression):
            return operand
        is_integer = isinstance(operand, np.ndarray) and operand.dtype.kind == "i"
        name = f"constant_{len(self.graph.message.node)}"
        self.graph.constant(name, operand, "int32" if is_integer else self.dtype)
        return Expression(self.graph, name, self.dtype)

    def reduced(self, operation: str, axes: Any, keep: bool = True) -> Expression:
        """Mean or Sum over axes."""
        return self.op(operation, np.array(axes, np.int32), keep_dims=keep, Tidx="int32")

    def as_output(self) -> None:
        """The last thing: an output of the model, with the name `out`."""
        node = self.graph.find(self.name)
        node.name = "out"
        self.graph.outputs.append("out")

    def __add__(self, other: Any) -> Expression:
        return self.op("Add", other)

    def __radd__(self, other: Any) -> Expression:
        return self.lifted(other).op("Add", self)

    def __sub__(self, other: Any) -> Expression:
        return self.op("Sub", other)

    def __rsub__(self, other: Any) -> Expression:
        return self.lifted(other).op("Sub", self)

    def __mul__(self, other: Any) -> Expression:
        return self.op("Mul", other)

    def __rmul__(self, other: Any) -> Expression:
        return self.lifted(other).op("Mul", self)

    def __truediv__(self, other: Any) -> Expression:
        return self.op("RealDiv", other)

    def __rtruediv__(self, other: Any) -> Expression:
        return self.lifted(other).op("RealDiv", self)

    def __neg__(self) -> Expression:
        return self.op("Neg")


def placeholder(graph: Any, shape: Any, dtype: str = "float32") -> Expression:
    """The input x."""
    return Expression(graph, graph.placeholder("x", shape, dtype), dtype)
