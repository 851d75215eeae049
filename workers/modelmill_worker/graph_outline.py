"""A graph file read as an outline: everything but the content of large tensors.

An outline is for whoever describes a graph and never computes with its weights. A constant keeps its data type and its
shape, and loses ``tensor_content`` from `LARGEST_KEPT` bytes on. What is not plainly a tensor of numbers stays whole:
strings wherever they lie, and messages that say a thing twice, which protobuf would merge. The file is mapped, the
messages are cut out of it field by field, and only what is left is parsed: a graph of 100 MB costs about as much as
its nodes do.

Formats: graph.proto (node = 1, library = 2), function.proto (FunctionDefLibrary.function = 1, FunctionDef.node_def = 3
and attr = 5), node_def.proto (attr = 5, a map: value = 2), attr_value.proto (tensor = 8, list = 1 with tensor = 8,
func = 10 with attr = 2), tensor.proto (dtype = 1, tensor_content = 4), meta_graph.proto (graph_def = 2),
saved_model.proto (meta_graphs = 2).
"""

import mmap
from pathlib import Path
from typing import Any, Dict, List, Tuple

from modelmill_worker import file_formats, graph_def, protobuf_wire
from modelmill_worker.file_formats import FileFormat
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.protobuf_wire import LENGTH_DELIMITED, VARINT, Field, MalformedMessageError

#: Contents of this many bytes or more are left out. Shapes, axes and paddings are far smaller.
LARGEST_KEPT = 16384

#: DT_STRING, DT_RESOURCE and DT_VARIANT of types.proto are not numbers.
_NUMBERS = frozenset(range(1, 24)) - {7, 20, 21}

#: Messages nested deeper are kept as they are: real graphs have tensors at less than half of that depth.
_DEEPEST = 24

_DTYPE, _TENSOR_CONTENT = 1, 4
#: By message: which of its fields are left out, or hold messages that may hold tensors, with the name of the message.
_INSIDE: Dict[str, Dict[int, str]] = {
    "SavedModel": {2: "MetaGraphDef"},
    "MetaGraphDef": {2: "GraphDef"},
    "GraphDef": {1: "NodeDef", 2: "FunctionDefLibrary"},
    "FunctionDefLibrary": {1: "FunctionDef"},
    "FunctionDef": {3: "NodeDef", 5: "AttrEntry"},
    "NodeDef": {5: "AttrEntry"},
    "AttrEntry": {2: "AttrValue"},
    "AttrValue": {1: "ListValue", 8: "TensorProto", 10: "NameAttrList"},
    "ListValue": {8: "TensorProto", 9: "NameAttrList"},
    "NameAttrList": {2: "AttrEntry"},
    "TensorProto": {_TENSOR_CONTENT: ""},
}
#: Of these a parser merges what is there twice: what one part says of the type could hide what another one holds.
_SAYING_ONE_THING = frozenset(["AttrEntry", "AttrValue"])


def read(path: Path) -> GraphDef:
    """The outline of a GraphDef or MetaGraphDef file; a text file is read whole.

    Raises StepError as `graph_def.read` does.
    """
    form = file_formats.recognise(path)
    if form is FileFormat.GRAPH_DEF:
        return graph_def.parse_into(graph_def.new_graph(), content(path, "GraphDef"), path.name)
    if form is FileFormat.META_GRAPH:
        return read_meta_graph(path).graph_def
    return graph_def.read(path)


def read_meta_graph(path: Path) -> Any:
    """The outline of a binary MetaGraphDef. Raises StepError GRAPH_DEF_DAMAGED."""
    return graph_def.parse_meta_graph(content(path, "MetaGraphDef"), path.name)


def content(path: Path, message: str) -> bytes:
    """The bytes of a file with one binary message ("GraphDef", "MetaGraphDef", "SavedModel"), large contents left out.

    Bytes that are no such message come back as they are: the parser says what is wrong.
    """
    if path.stat().st_size < LARGEST_KEPT:
        return path.read_bytes()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return without_large_contents(data, message)  # type: ignore[arg-type]


def without_large_contents(data: bytes, message: str) -> bytes:
    """As `content`, of bytes or a memory map."""
    try:
        return b"".join(_cut(data, 0, len(data), message, 0))
    except MalformedMessageError:
        return bytes(data)


def _cut(data: bytes, start: int, end: int, message: str, depth: int) -> List[bytes]:
    """The message in ``data[start:end]`` in pieces; neighbouring fields that stay as they are make one piece."""
    pieces: List[bytes] = []
    unchanged = start
    for key, field in _to_cut(data, start, end, message) if depth < _DEEPEST else ():
        pieces.append(data[unchanged:key])
        unchanged = field.end
        if message != "TensorProto":
            inner = _cut(data, field.start, field.end, _INSIDE[message][field.number], depth + 1)
            pieces.append(_varint(field.number << 3 | LENGTH_DELIMITED))
            pieces.append(_varint(sum(len(piece) for piece in inner)))
            pieces.extend(inner)
    pieces.append(data[unchanged:end])
    return pieces


def _to_cut(data: bytes, start: int, end: int, message: str) -> List[Tuple[int, Field]]:
    """The large fields of a message that are left out or looked into, each with the place where its key begins."""
    found: List[Tuple[int, Field]] = []
    numbers: List[int] = []
    key = start
    for field in protobuf_wire.read_fields(data, start, end):
        if message == "TensorProto" and field.number == _DTYPE and field.wire_type == VARINT:
            numbers.append(protobuf_wire.read_varint(data, field.start, field.end)[0])
        if field.wire_type == LENGTH_DELIMITED and field.end - field.start >= LARGEST_KEPT:
            if field.number in _INSIDE[message]:
                found.append((key, field))
        elif message in _SAYING_ONE_THING and field.number in _INSIDE[message]:
            found.append((key, field))
        key = field.end
    if message == "TensorProto" and not _NUMBERS.issuperset(numbers or [0]):
        return []
    if message in _SAYING_ONE_THING and len(found) != 1:
        return []
    return found


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
