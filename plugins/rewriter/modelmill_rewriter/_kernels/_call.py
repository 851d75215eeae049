"""One node to be computed: what it reads, what its attributes say, and how large its result may be."""

from typing import Any, Callable, List, Sequence, Tuple

import numpy as np
from modelmill_worker.graph_def import NodeDef

#: What computes an operation: the values of its outputs, in order.
Kernel = Callable[["Call"], Sequence[np.ndarray]]


class ComputationError(Exception):
    """Why a node's value is not worked out; its text is a sentence without its full stop, about the node as "it"."""


class TooLargeError(ComputationError):
    """The value would take more bytes than are allowed."""


class Call:
    """A node with the values that it reads.

    node: a NodeDef; it is read only.
    inputs: the values of its data inputs, in order.
    largest: how many bytes each of its outputs may take.
    """

    def __init__(self, node: NodeDef, inputs: Sequence[np.ndarray], largest: int) -> None:
        self.node = node
        self.inputs: List[np.ndarray] = list(inputs)
        self._largest = largest

    def flag(self, name: str) -> bool:
        """A bool attribute; False where it is missing."""
        return name in self.node.attr and bool(self.node.attr[name].b)

    def integer(self, name: str, default: int = 0) -> int:
        """An int attribute."""
        return int(self.node.attr[name].i) if name in self.node.attr else default

    def integers(self, name: str) -> Tuple[int, ...]:
        """A list(int) attribute; empty where it is missing."""
        return tuple(int(item) for item in self.node.attr[name].list.i) if name in self.node.attr else ()

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        return float(self.node.attr[name].f) if name in self.node.attr else default

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        return bytes(self.node.attr[name].s).decode("latin-1") if name in self.node.attr else default

    def type_number(self, name: str, default: int) -> int:
        """A type attribute, as its number in types.proto."""
        return int(self.node.attr[name].type) if name in self.node.attr else default

    def vector(self, index: int) -> List[int]:
        """An input that is a list of integers: a shape, axes, paddings laid flat. A scalar counts as one."""
        value = self.inputs[index]
        require(value.dtype.kind in "iu", "its input {} is no list of integers".format(index))
        return [int(item) for item in value.ravel()]

    def scalar(self, index: int) -> int:
        """An input that is one integer."""
        found = self.vector(index)
        require(len(found) == 1, "its input {} is not one integer".format(index))
        return found[0]

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front. Raises ComputationError where there is no such axis."""
        require(-rank <= axis < rank, "there is no axis {} among {}".format(axis, rank))
        return axis % rank if rank else 0

    def require_room(self, shape: Sequence[int], dtype: np.dtype) -> None:
        """Raise TooLargeError where an output of this shape would take too many bytes; ask before it is made."""
        require(all(size >= 0 for size in shape), "its shape would be {}".format(list(shape)))
        size = dtype.itemsize
        for length in shape:
            size *= int(length)
        if size > self._largest:
            raise TooLargeError(
                "its value would take {:,} bytes, and no constant of more than {:,} is made".format(size, self._largest)
            )


def require(condition: Any, reason: str) -> None:
    """Raise ComputationError where something does not hold that TensorFlow asks for as well."""
    if not condition:
        raise ComputationError(reason)


def broadcast_shape(arrays: Sequence[np.ndarray]) -> Tuple[int, ...]:
    """The shape to which arrays broadcast together. Raises ComputationError where they do not."""
    try:
        return tuple(np.broadcast(*arrays).shape) if len(arrays) > 1 else arrays[0].shape
    except ValueError as error:
        shapes = " and ".join(str(list(array.shape)) for array in arrays)
        raise ComputationError("the shapes {} do not go together".format(shapes)) from error
