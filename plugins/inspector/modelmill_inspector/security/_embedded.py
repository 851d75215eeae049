"""Finds graphs in bytes: a string of a graph may hold another graph, which some operation then runs.

Bytes count as a graph where protobuf reads them as one and at least one node's operation is one that some TensorFlow
knows: protobuf's parsers accept much that was never meant for them. Unknown fields and odd orders do not hide a graph,
for TensorFlow would read it all the same. The work is bounded by a `Budget`; that a bound was met is a finding.
"""

import binascii
import re
import zlib
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Optional, Tuple

from google.protobuf.message import DecodeError
from modelmill_worker import graph_def, protobuf_wire, saved_model
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.protobuf_wire import LENGTH_DELIMITED, Field, MalformedMessageError

from modelmill_inspector.security import _operations

#: How deep graphs are followed into each other.
DEEPEST = 12
#: How many bytes of strings are looked at, those of graphs inside of graphs counted again.
MOST_BYTES = 256 * 2**20
#: The largest string that is looked at: a message of empty nodes takes fifty times its size in memory.
LARGEST = 32 * 2**20
#: How many fields of messages without a known schema are looked at.
_MOST_FIELDS = 200_000
#: How much is unpacked of what is compressed.
_MOST_UNPACKED = 64 * 2**20
#: A list of more strings than this is looked at as one string.
_MOST_ELEMENTS = 1_000_000
#: No graph with an operation worth a word is shorter.
_SHORTEST = 12

_OPERATION = re.compile(r"[A-Z][A-Za-z0-9_.>/\\-]{2,255}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}[=\s]*")


class Budget:
    """How much may still be looked at. `met` says in a few words which bound was met, if any."""

    def __init__(self) -> None:
        self.bytes = MOST_BYTES
        self.fields = _MOST_FIELDS
        self.unpacked = _MOST_UNPACKED
        self.met = ""

    def takes(self, size: int) -> bool:
        """Whether a string of this size may be looked at; it counts from then on."""
        if size > LARGEST:
            self.met = "a string in it has more than {} MB".format(LARGEST // 2**20)
            return False
        self.bytes -= size
        if self.bytes < 0:
            self.met = "the strings in it have more than {} MB together".format(MOST_BYTES // 2**20)
        return self.bytes >= 0


@dataclass(frozen=True)
class Embedded:
    """A graph found in bytes.

    kind: what it is, in words.
    messages: the GraphDef, or the MetaGraphDefs; a lone function stands in a GraphDef of its own.
    how: how it was wrapped, such as "in base64"; empty where it was not.
    """

    kind: str
    messages: Tuple[Any, ...]
    how: str = ""


def graphs_in(data: bytes, budget: Budget, depth: int = 0) -> Iterator[Embedded]:
    """The graphs that bytes hold: plainly, in another message, compressed or in base64; not those inside of these."""
    if len(data) < _SHORTEST or not budget.takes(len(data)):
        return
    for kind, read in _READERS:
        messages = read(data)
        if messages:
            yield Embedded(kind, tuple(messages))
            return
    unpacked, how = _unpacked(data, budget)
    inside = [unpacked] if unpacked else (data[field.start : field.end] for field in _messages(data, budget))
    for inner in inside:
        if depth >= DEEPEST:
            budget.met = "something in it is nested more than {} deep".format(DEEPEST)
            return
        for found in graphs_in(inner, budget, depth + 1):
            yield Embedded(found.kind, found.messages, "{} {}".format(found.how, how).strip())


def _parsed(message: Any, data: bytes) -> bool:
    try:
        message.ParseFromString(data)
    except DecodeError:
        return False
    return True


def _read_graph(data: bytes) -> List[Any]:
    graph = graph_def.new_graph()
    return [graph] if _parsed(graph, data) and _is_plausible(graph) else []


def _read_library(data: bytes) -> List[Any]:
    graph = graph_def.new_graph()
    return [graph] if _parsed(graph.library, data) and _is_plausible(graph) else []


def _read_function(data: bytes) -> List[Any]:
    graph = graph_def.new_graph()
    return [graph] if _parsed(graph.library.function.add(), data) and _is_plausible(graph) else []


def _read_meta_graph(data: bytes) -> List[Any]:
    meta_graph = graph_def.meta_graph_class()()
    return [meta_graph] if _parsed(meta_graph, data) and _is_plausible(meta_graph.graph_def) else []


def _read_saved_model(data: bytes) -> List[Any]:
    message = saved_model.new_message()
    if not _parsed(message, data):
        return []
    return [meta_graph for meta_graph in message.meta_graphs if _is_plausible(meta_graph.graph_def)]


_READERS: Tuple[Tuple[str, Callable[[bytes], List[Any]]], ...] = (
    ("GraphDef", _read_graph),
    ("MetaGraphDef", _read_meta_graph),
    ("SavedModel", _read_saved_model),
    ("library of functions", _read_library),
    ("function", _read_function),
)


def _is_plausible(graph: GraphDef) -> bool:
    """Whether a graph was meant as one: a known operation, or several nodes and a producer, say so.

    TensorFlow takes no graph with a node that lacks its name or its operation, or a function that lacks its name.
    """
    count, odd = 0, False
    for node in _nodes(graph):
        if not node.name or not node.op:
            return False
        if _operations.is_known(node.op):
            return True
        odd = odd or not _OPERATION.fullmatch(node.op)
        count += 1
    return not odd and count > 1 and graph.versions.producer > 0


def _nodes(graph: GraphDef) -> Iterator[NodeDef]:
    yield from graph.node
    for function in graph.library.function:
        if not function.signature.name:
            return
        yield from function.node_def


def _messages(data: bytes, budget: Budget) -> List[Field]:
    """The fields of a message of any schema that may be messages themselves; none where the bytes are no message."""
    found: List[Field] = []
    try:
        for field in protobuf_wire.read_fields(data, 0, len(data)):
            budget.fields -= 1
            if budget.fields < 0:
                budget.met = "messages in it have more than {:,} fields".format(_MOST_FIELDS)
                return []
            if field.wire_type == LENGTH_DELIMITED and field.end - field.start >= _SHORTEST:
                found.append(field)
    except MalformedMessageError:
        return []
    return found


def _unpacked(data: bytes, budget: Budget) -> Tuple[bytes, str]:
    """What is wrapped in compression or base64, as far as the budget goes; nothing where it is neither."""
    if data[:3] == b"\x1f\x8b\x08":
        return _inflated(data, budget, zlib.MAX_WBITS | 16), "compressed with gzip"
    if data[0] & 0x0F == 8 and (data[0] * 256 + data[1]) % 31 == 0:
        return _inflated(data, budget, zlib.MAX_WBITS), "compressed with zlib"
    if _BASE64.fullmatch(data):
        return from_base64(data), "in base64"
    return b"", ""


def from_base64(text: bytes) -> bytes:
    """What base64 of either alphabet, with or without its end, stands for; nothing where it is none."""
    plain = re.sub(rb"[=\s]", b"", text).replace(b"-", b"+").replace(b"_", b"/")
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4))
    except binascii.Error:
        return b""


def _inflated(data: bytes, budget: Budget, window: int) -> bytes:
    """All members of a gzip file, one behind the other; zlib has one only."""
    pieces: List[bytes] = []
    while data:
        decompress = zlib.decompressobj(window)
        try:
            unpacked = decompress.decompress(data, max(budget.unpacked, 1))
        except zlib.error:
            break
        pieces.append(unpacked)
        budget.unpacked -= len(unpacked)
        if decompress.unconsumed_tail:
            budget.met = "what is compressed in it unpacks to more than {} MB".format(_MOST_UNPACKED // 2**20)
            break
        data = decompress.unused_data if window > zlib.MAX_WBITS else b""
    return b"".join(pieces)


#: DT_STRING and DT_VARIANT (types.proto), and the reference types of either.
_HOLDING = frozenset([7, 21, 107, 121])


def may_hold_strings(tensor: Any) -> bool:
    """Whether a TensorProto is of a type whose values may be strings of any content."""
    return tensor.dtype in _HOLDING


def string_elements(tensor: Any) -> Iterator[bytes]:
    """The elements of a TensorProto of strings, and what a tensor of variants holds in bytes.

    Elements may lie in `string_val`, or in `tensor_content` as their lengths and then their bytes
    (tensorflow/core/lib/core/coding and tensor_coding.cc, EncodeStringList).
    """
    yield from tensor.string_val
    if tensor.tensor_content:
        yield from _string_list(tensor.tensor_content)
    for variant in tensor.variant_val:
        yield variant.SerializeToString()


def _string_list(content: bytes) -> Iterator[bytes]:
    """A list of strings without its length: the lengths end where they and the bytes fill the content."""
    position = total = 0
    lengths: List[int] = []
    try:
        while position + total < len(content):
            if len(lengths) >= _MOST_ELEMENTS:
                yield content
                return
            length, position = protobuf_wire.read_varint(content, position, len(content))
            lengths.append(length)
            total += length
    except MalformedMessageError:
        yield content
        return
    if position + total != len(content):
        yield content
        return
    for length in lengths:
        yield content[position : position + length]
        position += length


def string_content(tensor: Any) -> Optional[bytes]:
    """The only element of a TensorProto of strings; None where there are none or several."""
    elements = list(tensor.string_val) or (list(_string_list(tensor.tensor_content)) if tensor.tensor_content else [])
    return elements[0] if len(elements) == 1 else None
