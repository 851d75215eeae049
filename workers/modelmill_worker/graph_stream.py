"""Writes a GraphDef node by node, with the content of constants straight from where it lies.

The file is what ``SerializeToString(deterministic=True)`` would give of the graph with everything inside, byte for
byte, but is never in memory as a whole: neither the message with its weights nor its bytes.

Wire format: https://protobuf.dev/programming-guides/encoding; field numbers: tensorflow/core/framework/graph.proto,
node_def.proto, attr_value.proto and tensor.proto.
"""

from pathlib import Path
from typing import Any, BinaryIO, Callable, Mapping, Tuple

import numpy as np

from modelmill_worker import graph_def
from modelmill_worker.graph_def import BESIDE, GraphDef, NodeDef

#: Gives the array whose bytes are a constant's ``tensor_content``; called once for each time that it is written.
Content = Callable[[], np.ndarray]

_BYTES = 2  # the wire type of what has a length
_GRAPH_NODE = 1
_NODE_ATTR = 5
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_VALUE_TENSOR = 8
_TENSOR_CONTENT = 4


def write(path: Path, graph: GraphDef, contents: Mapping[str, Content]) -> None:
    """Write the graph into a file, beside and then moved into place.

    contents: of the constants without content (see weights_beside) that get it here, by the names of their nodes.
    Raises StepError GRAPH_TOO_LARGE where it would pass what protobuf can hold; nothing is left behind then.
    """
    beside = path.with_name(path.name + ".part")
    try:
        with beside.open("wb") as file:
            _write(file, graph, contents)
        beside.replace(path)
    except BaseException:
        beside.unlink()
        raise


def _write(file: BinaryIO, graph: GraphDef, contents: Mapping[str, Content]) -> None:
    tail = _without_nodes(graph)
    size = len(tail)
    for node in graph.node:
        content = contents.get(node.name) if BESIDE in node.attr else None
        before, length = (_bytes_of(node), 0) if content is None else _around(node)
        opening = _opening(_GRAPH_NODE, len(before) + length)
        size += len(opening) + len(before) + length
        if size > graph_def.LARGEST_GRAPH:
            raise graph_def.too_large(size)
        file.write(opening)
        file.write(before)
        if content is not None:
            write_content(file, content(), length)
    file.write(tail)


def write_content(file: BinaryIO, array: np.ndarray, length: int) -> None:
    """Write the bytes of an array, which must be so many."""
    if array.nbytes != length:
        raise ValueError("a constant has {} bytes where {} were expected".format(array.nbytes, length))
    file.write(array.reshape(-1).view(np.uint8).data)


def _without_nodes(graph: GraphDef) -> bytes:
    """What follows the nodes: the fields in the order of their numbers, of which that of the nodes is the first."""
    rest = graph_def.new_graph()
    for field, value in graph.ListFields():
        if field.name == "node":
            continue
        if field.message_type is None:
            setattr(rest, field.name, value)
        else:
            getattr(rest, field.name).SetInParent()
            getattr(rest, field.name).MergeFromString(value.SerializeToString(deterministic=True))
    return _bytes_of(rest)


def _around(node: NodeDef) -> Tuple[bytes, int]:
    """The bytes of a constant up to its content, which comes last, and the length of that."""
    length = int(node.attr[BESIDE].list.i[1])
    rest = type(node)()
    rest.CopyFrom(node)
    del rest.attr[BESIDE], rest.attr["value"]
    tensor = _bytes_of(node.attr["value"].tensor) + _opening(_TENSOR_CONTENT, length)
    value = _opening(_VALUE_TENSOR, len(tensor) + length) + tensor
    key = _opening(_ENTRY_KEY, len(b"value")) + b"value"
    entry = key + _opening(_ENTRY_VALUE, len(value) + length) + value
    return _bytes_of(rest) + _opening(_NODE_ATTR, len(entry) + length) + entry, length


def _bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString(deterministic=True))


def _opening(field: int, length: int) -> bytes:
    """The tag of a field with a length, and the length."""
    return _varint(field << 3 | _BYTES) + _varint(length)


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the upper bit."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
