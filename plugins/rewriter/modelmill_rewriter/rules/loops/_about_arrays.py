"""What lies in TensorFlow's arrays, followed from operation to operation.

A TensorArray (TensorFlow 1 and 2) is a resource with a handle; each operation that changes it gives out a number, its
*flow*, which those read that come after. A tensor list (TensorFlow 2) is a value, which each operation that changes it
gives out anew. Either way an operation reads a tensor that stands for what the array holds then: its *contents*.

(tensorflow/core/ops/data_flow_ops.cc, tensorflow/core/ops/list_ops.cc)
"""

from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules.loops._about_small_values import SmallValues
from modelmill_rewriter.rules_api import GraphIndex, Tensor


class StaysAnArray(Exception):  # noqa: N818 - it is an answer rather than an error
    """The array's operations cannot be replaced; the message is the reason for people, without a full stop."""


@dataclass(frozen=True)
class Piece:
    """The part of a tensor at a position along its first axis, of so many; `maker` is the node that took it apart."""

    whole: Tensor
    position: int
    count: int
    maker: str


@dataclass(frozen=True)
class Zeros:
    """What TensorFlow reads where nothing was written: zeros, of the shape of those elements that were."""

    like: Union[Tensor, Piece]


Element = Union[Tensor, Piece, Zeros]


@dataclass(frozen=True)
class Contents:
    """What an array holds: the elements that were written, by index, and its size where it has one that is known."""

    elements: Mapping[int, Element]
    size: Optional[int]

    def at(self, index: int) -> Element:
        """An element. Raises StaysAnArray where it is outside of the array, or where none was written."""
        if index in self.elements:
            return self.elements[index]
        written = [element for element in self.elements.values() if not isinstance(element, Zeros)]
        if not written or self.size is None or not 0 <= index < self.size:
            raise StaysAnArray("its element {} is read before it is written".format(index))
        return Zeros(written[0])

    def all(self) -> Tuple[Element, ...]:
        """All elements in order. Raises StaysAnArray where none was written."""
        return self.those_at(range(len(self.elements) if self.size is None else self.size))

    def those_at(self, indices: Iterable[int]) -> Tuple[Element, ...]:
        """The elements at these indices. Raises StaysAnArray where there is none to read."""
        found = tuple(self.at(int(index)) for index in indices)
        if not found:
            raise StaysAnArray("it is read as a whole where it has no element")
        return found

    def put(self, elements: Mapping[int, Element]) -> "Contents":
        """With these elements instead of those at the same indices."""
        size = self.size if self.size is None or not elements else max(self.size, max(elements) + 1)
        return Contents({**self.elements, **elements}, size)


@dataclass(frozen=True)
class Stacked:
    """Elements along a new first axis."""

    elements: Tuple[Element, ...]


@dataclass(frozen=True)
class Joined:
    """Elements along the first axis that they have."""

    elements: Tuple[Element, ...]


#: What an operation's output is: contents for those that change an array, else a value to be made.
Outcome = Union[Contents, Element, Stacked, Joined, int, None]


class Reading:
    """What one operation is given: contents by the tensors that stand for them, and small values."""

    def __init__(
        self, graph: GraphIndex, values: SmallValues, contents: Mapping[Tensor, Optional[Contents]], name: str
    ) -> None:
        self._graph = graph
        self._values = values
        self._contents = contents
        self.node: NodeDef = graph.node(name)
        self.inputs = graph.data_inputs(name)

    def contents(self, number: int) -> Contents:
        """What the array holds that an input stands for."""
        found = self._contents.get(self.inputs[number])
        if found is None:
            raise StaysAnArray(
                "its {!r} reads {!r}, which is no array's".format(self.node.name, str(self.inputs[number]))
            )
        return found

    def indices(self, number: int) -> np.ndarray:
        """The value of an input of integers. Raises StaysAnArray where it is not constant."""
        value = self._values.of(self.inputs[number])
        if value is None:
            raise StaysAnArray(
                "its {!r} reads {!r}, which is not constant".format(self.node.name, str(self.inputs[number]))
            )
        return value

    def index(self, number: int) -> int:
        """As `indices`, of a single one."""
        return int(self.indices(number))

    def pieces(self, number: int, indices: Sequence[int]) -> Dict[int, Element]:
        """The parts of an input along its first axis, for these indices in order."""
        whole = self.inputs[number]
        return {
            int(index): Piece(whole, position, len(indices), self.node.name) for position, index in enumerate(indices)
        }

    def first_size(self, number: int) -> int:
        """The size of an input's first axis. Raises StaysAnArray where it is not known."""
        shape = self._graph.shape(self.inputs[number])
        if not shape or shape[0] < 0:
            raise StaysAnArray("how many elements {!r} has is not known".format(str(self.inputs[number])))
        return shape[0]


def _new_array(reading: Reading) -> Sequence[Outcome]:
    dynamic = "dynamic_size" in reading.node.attr and reading.node.attr["dynamic_size"].b
    return (None, Contents({}, None if dynamic else reading.index(0)))


def _array_scatter(reading: Reading) -> Sequence[Outcome]:
    indices = [int(index) for index in reading.indices(1)]
    return (reading.contents(3).put(reading.pieces(2, indices)),)


def _array_write(reading: Reading) -> Sequence[Outcome]:
    return (reading.contents(3).put({reading.index(1): reading.inputs[2]}),)


def _array_read(reading: Reading) -> Sequence[Outcome]:
    return (reading.contents(2).at(reading.index(1)),)


def _array_gather(reading: Reading) -> Sequence[Outcome]:
    return (Stacked(reading.contents(2).those_at(reading.indices(1))),)


def _array_size(reading: Reading) -> Sequence[Outcome]:
    return (_size(reading.contents(1)),)


def _array_concat(reading: Reading) -> Sequence[Outcome]:
    return (Joined(reading.contents(1).all()),)


def _new_list(reading: Reading) -> Sequence[Outcome]:
    del reading
    return (Contents({}, 0),)


def _reserve(reading: Reading) -> Sequence[Outcome]:
    return (Contents({}, reading.index(1)),)


def _from_tensor(reading: Reading) -> Sequence[Outcome]:
    count = reading.first_size(0)
    return (Contents(reading.pieces(0, range(count)), count),)


def _push(reading: Reading) -> Sequence[Outcome]:
    contents = reading.contents(0)
    return (contents.put({_size(contents): reading.inputs[1]}),)


def _pop(reading: Reading) -> Sequence[Outcome]:
    contents = reading.contents(0)
    last = _size(contents) - 1
    rest = {index: element for index, element in contents.elements.items() if index != last}
    return (Contents(rest, last), contents.at(last))


def _set_item(reading: Reading) -> Sequence[Outcome]:
    return (reading.contents(0).put({reading.index(1): reading.inputs[2]}),)


def _get_item(reading: Reading) -> Sequence[Outcome]:
    return (reading.contents(0).at(reading.index(1)),)


def _stack(reading: Reading) -> Sequence[Outcome]:
    return (Stacked(reading.contents(0).all()),)


def _list_gather(reading: Reading) -> Sequence[Outcome]:
    return (Stacked(reading.contents(0).those_at(reading.indices(1))),)


def _list_scatter(reading: Reading) -> Sequence[Outcome]:
    indices = [int(index) for index in reading.indices(1)]
    size = reading.index(3) if len(reading.inputs) > 3 and reading.index(3) >= 0 else max(indices, default=-1) + 1
    return (Contents({}, size).put(reading.pieces(0, indices)),)


def _length(reading: Reading) -> Sequence[Outcome]:
    return (_size(reading.contents(0)),)


def _list_concat(reading: Reading) -> Sequence[Outcome]:
    return (Joined(reading.contents(0).all()),)


def _handed_on(reading: Reading) -> Sequence[Outcome]:
    return (reading.contents(0),)


def _size(contents: Contents) -> int:
    return len(contents.elements) if contents.size is None else contents.size


#: What each operation on an array gives out, one for each of its outputs that may be read.
OUTCOMES: Dict[str, Callable[[Reading], Sequence[Outcome]]] = {
    "EmptyTensorList": _new_list,
    "Identity": _handed_on,
    "TensorArrayConcatV3": _array_concat,
    "TensorArrayGatherV3": _array_gather,
    "TensorArrayReadV3": _array_read,
    "TensorArrayScatterV3": _array_scatter,
    "TensorArraySizeV3": _array_size,
    "TensorArrayV3": _new_array,
    "TensorArrayWriteV3": _array_write,
    "TensorListConcat": _list_concat,
    "TensorListConcatV2": _list_concat,
    "TensorListFromTensor": _from_tensor,
    "TensorListGather": _list_gather,
    "TensorListGetItem": _get_item,
    "TensorListLength": _length,
    "TensorListPopBack": _pop,
    "TensorListPushBack": _push,
    "TensorListReserve": _reserve,
    "TensorListScatter": _list_scatter,
    "TensorListScatterV2": _list_scatter,
    "TensorListSetItem": _set_item,
    "TensorListStack": _stack,
}

#: Where arrays begin, and which outputs stand for contents afterwards.
ORIGINS = (
    "EmptyTensorList",
    "TensorArrayV3",
    "TensorListFromTensor",
    "TensorListReserve",
    "TensorListScatter",
    "TensorListScatterV2",
)
#: Of operations that read an array as well as change it, the outputs that stand for contents.
CONTENTS: Dict[str, Tuple[int, ...]] = {
    "EmptyTensorList": (0,),
    "Identity": (0,),
    "TensorArrayScatterV3": (0,),
    "TensorArrayV3": (0, 1),
    "TensorArrayWriteV3": (0,),
    "TensorListFromTensor": (0,),
    "TensorListPopBack": (0,),
    "TensorListPushBack": (0,),
    "TensorListReserve": (0,),
    "TensorListScatter": (0,),
    "TensorListScatterV2": (0,),
    "TensorListSetItem": (0,),
}
