"""GraphDef as a value: read and written in every form that TensorFlow writes, with no TensorFlow needed.

The message classes are TensorFlow's own in a process that has imported it, and TensorBoard's elsewhere (the same
messages under another package name, so both may live in one process). Fields are used, never classes compared:
any function here takes either kind.
"""

import importlib
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Tuple

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from modelmill_worker import file_formats, protobuf_wire, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.file_formats import FileFormat

#: Messages of graph.proto and node_def.proto, TensorFlow's or TensorBoard's.
GraphDef = Any
NodeDef = Any

#: Operations that hold a variable.
VARIABLES = frozenset(["VariableV2", "Variable", "VarHandleOp", "AutoReloadVariable"])

#: Protobuf cannot hold a message of 2 GiB; a margin is left for what is not weights.
LARGEST_GRAPH = 2**31 - 2**20

#: Up to this producer version, a Placeholder's shape of no dimensions means that the shape is unknown.
_PRODUCER_WITH_SCALAR_PLACEHOLDERS = 24

#: Marks a constant whose content lies beside the graph (see weights_beside).
BESIDE = "_modelmill_weights"

#: Bytes of a file that are parsed at once.
_PIECE = 4 * 2**20

_REFERENCE = re.compile(r"^\^?(?P<node>[^:^]+)(:(?P<index>\d+))?$")


def new_graph() -> GraphDef:
    """An empty GraphDef."""
    return _module("graph_pb2").GraphDef()


def new_node(name: str, operation: str, inputs: Tuple[str, ...] = ()) -> NodeDef:
    """A NodeDef without attributes."""
    node = _module("node_def_pb2").NodeDef(name=name, op=operation)
    node.input.extend(inputs)
    return node


def new_constant(name: str, value: np.ndarray, dtype: Optional[tensors.DataType] = None) -> NodeDef:
    """A Const node of this value; `dtype` where it is not the array's own."""
    node = new_node(name, "Const")
    tensors.encode(value, node.attr["value"].tensor, dtype)
    node.attr["dtype"].type = node.attr["value"].tensor.dtype
    return node


def constant_value(node: NodeDef) -> np.ndarray:
    """The value of a Const node. Raises StepError TENSOR_MALFORMED, or WEIGHTS_BESIDE where it is not in the graph."""
    if BESIDE in node.attr:
        raise StepError(
            "WEIGHTS_BESIDE",
            "The value of {} is needed here, and lies beside the graph, which is too large to hold it. "
            "Choose outputs that need less of the model.".format(node.name),
            {"node": node.name},
        )
    return tensors.decode(node.attr["value"].tensor)


def read(path: Path) -> GraphDef:
    """The GraphDef in a file: a GraphDef or a MetaGraphDef, binary or text, whatever the file's suffix.

    Raises StepError NOT_A_GRAPH_DEF, GRAPH_DEF_DAMAGED or EMPTY_FILE.
    """
    if file_formats.recognise(path) is FileFormat.GRAPH_DEF:
        graph = new_graph()
        with path.open("rb") as file:
            try:
                for piece in _pieces(file):
                    graph.MergeFromString(piece)
            except DecodeError as error:
                raise damaged(path.name, str(error)) from error
        return graph
    return parse(path.read_bytes(), path.name)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """A message's bytes, some whole fields at a time: it need not be in memory as bytes and as a message at once."""
    position, size = 0, _PIECE
    while True:
        file.seek(position)
        piece = file.read(size)
        end, wanted = _whole_fields(piece)
        if len(piece) < size:  # the end of the file
            yield piece
            return
        if end:
            yield piece[:end]
        position, size = position + end, max(_PIECE, wanted)


def _whole_fields(data: bytes) -> Tuple[int, int]:
    """Where the last field ends that is all there, and how many bytes the next one has, as far as that can be told.

    data: the beginning of a message, or what follows a field of one.
    """
    position = 0
    while True:
        try:
            tag, start = protobuf_wire.read_varint(data, position, len(data))
            number, after = protobuf_wire.read_varint(data, start, len(data))
        except protobuf_wire.TruncatedMessageError:
            return position, 0
        except protobuf_wire.MalformedMessageError:
            return position, LARGEST_GRAPH  # protobuf may say what is wrong with the rest
        if tag & 7 == protobuf_wire.LENGTH_DELIMITED:
            after += number
        elif tag & 7 != protobuf_wire.VARINT:
            return position, LARGEST_GRAPH  # nothing that a GraphDef has
        if after > len(data):
            return position, after - position
        position = after


def parse(data: bytes, file_name: str = "the graph") -> GraphDef:
    """As `read`, of a file's content; `file_name` is for the error only."""
    form = file_formats.recognise_bytes(data)
    if form is FileFormat.GRAPH_DEF:
        return _parse_binary(_module("graph_pb2").GraphDef(), data, file_name)
    if form is FileFormat.META_GRAPH:
        return parse_meta_graph(data, file_name).graph_def
    if form is FileFormat.GRAPH_DEF_TEXT:
        return _with_nodes(_parse_text(_module("graph_pb2").GraphDef(), data, file_name), file_name)
    if form is FileFormat.META_GRAPH_TEXT:
        meta_graph = _parse_text(_module("meta_graph_pb2").MetaGraphDef(), data, file_name)
        return _with_nodes(meta_graph.graph_def, file_name)
    raise refusal(form, file_name)


def parse_meta_graph(data: bytes, file_name: str) -> Any:
    """A MetaGraphDef, binary or text, with all that it holds beside the graph. Raises StepError GRAPH_DEF_DAMAGED."""
    is_text = file_formats.recognise_bytes(data) is FileFormat.META_GRAPH_TEXT
    return (_parse_text if is_text else _parse_binary)(meta_graph_class()(), data, file_name)


def meta_graph_class() -> Any:
    """The class of MetaGraphDef messages."""
    return _module("meta_graph_pb2").MetaGraphDef


def parse_into(message: Any, data: bytes, file_name: str) -> Any:
    """A message that holds graphs, filled from a file's content, binary or text. Raises StepError GRAPH_DEF_DAMAGED."""
    is_text = file_formats.recognise_bytes(data) in (FileFormat.SAVED_MODEL_TEXT, FileFormat.META_GRAPH_TEXT)
    return (_parse_text if is_text else _parse_binary)(message, data, file_name)


def refusal(form: FileFormat, file_name: str) -> StepError:
    """Why a file of this format is no graph, and what to do."""
    details = {"file": file_name, "format": form.name}
    if form is FileFormat.EMPTY:
        return StepError("EMPTY_FILE", "{} is empty. Was it copied whole?".format(file_name), details)
    if form is FileFormat.GRAPH_DEF_TRUNCATED:
        return damaged(file_name, "it ends too early; was it copied whole?")
    advice = _ADVICE.get(form, "Give a graph.pb, graph.pbtxt or .meta file.")
    return StepError(
        "NOT_A_GRAPH_DEF", "{} is not a GraphDef but {}. {}".format(file_name, form.value, advice), details
    )


def damaged(file_name: str, what: str) -> StepError:
    """The error for a file that is meant to be a graph and cannot be read as one."""
    return StepError(
        "GRAPH_DEF_DAMAGED",
        "{} cannot be read as a GraphDef: {}".format(file_name, what),
        {"file": file_name, "error": what},
    )


_ADVICE = {
    FileFormat.CHECKPOINT_INDEX: "Give the checkpoint's prefix as the model and its graph with --graph.",
    FileFormat.CHECKPOINT_DATA: "Give the checkpoint's prefix as the model and its graph with --graph.",
    FileFormat.CHECKPOINT_STATE: "Give the prefix that it names, such as model.ckpt, and the graph with --graph.",
    FileFormat.SAVED_MODEL: "Give the folder that it lies in.",
    FileFormat.UNKNOWN: "Is it damaged? Export the graph again.",
}


def write(path: Path, graph: GraphDef) -> None:
    """Write a GraphDef as a binary file, beside and then moved into place.

    Raises StepError GRAPH_TOO_LARGE where it would pass the 2 GB that protobuf can hold.
    """
    from modelmill_worker import graph_stream  # which needs this module

    graph_stream.write(path, graph, {})


def too_large(size: int) -> StepError:
    """The error for a graph of `size` bytes with its weights inside."""
    return StepError(
        "GRAPH_TOO_LARGE",
        "With its weights inside, the graph is {:.1f} GB; a GraphDef ends at 2 GB. Convert it in parts.".format(
            size / 1e9
        ),
        {"bytes": size},
    )


def write_text(path: Path, graph: GraphDef) -> None:
    """Write a GraphDef as text (.pbtxt), beside and then moved into place."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text_format.MessageToString(graph), encoding="utf-8")
    beside.replace(path)


def copy(graph: GraphDef) -> GraphDef:
    """A copy of the message, in this process's classes: TensorFlow's where TensorFlow is imported.

    TensorFlow 1's import_graph_def writes into the GraphDef that it is given: hand it a copy.
    """
    fresh = new_graph()
    fresh.ParseFromString(graph.SerializeToString())
    return fresh


def node_name(reference: str) -> str:
    """The node that an input or tensor name points to: "x" of "x", "x:0", "x:1" and "^x"."""
    return reference.lstrip("^").split(":")[0]


def output_index(reference: str) -> int:
    """Which output of its node a tensor name means: 1 of "x:1", 0 of "x"."""
    name, _, index = reference.partition(":")
    del name
    return int(index) if index else 0


def tensor_name(reference: str) -> str:
    """A node or tensor name in full: "x:0" of "x". Raises StepError TENSOR_NAME_MALFORMED."""
    match = _REFERENCE.match(reference)
    if match is None or reference.startswith("^"):
        raise StepError(
            "TENSOR_NAME_MALFORMED",
            '"{}" is not the name of a node or tensor. Write it as in "softmax" or "softmax:0".'.format(reference),
            {"name": reference},
        )
    return "{}:{}".format(match.group("node"), int(match.group("index") or 0))


def is_control(reference: str) -> bool:
    """Whether an input only orders execution ("^x") and carries no data."""
    return reference.startswith("^")


def data_inputs(node: NodeDef) -> List[str]:
    """The inputs that carry data, in order, as the node writes them."""
    return [reference for reference in node.input if not is_control(reference)]


def nodes_by_name(graph: GraphDef) -> Dict[str, NodeDef]:
    """The nodes of the graph (not of its functions). Raises StepError GRAPH_DEF_DAMAGED where a name is there twice."""
    nodes = {node.name: node for node in graph.node}
    if len(nodes) != len(graph.node):
        twice, _ = Counter(node.name for node in graph.node).most_common(1)[0]
        raise damaged("The GraphDef", "it has two nodes named {}.".format(twice))
    return nodes


def attribute(node: NodeDef, name: str) -> Any:
    """The AttrValue that a node has under a name; an empty one where it has none.

    ``node.attr[name]`` would add an empty one to the node, which TensorFlow refuses to import.
    """
    return node.attr[name] if name in node.attr else new_node("", "").attr[name]


def shape_of_placeholder(node: NodeDef, producer: int) -> Optional[Tuple[int, ...]]:
    """The shape that a Placeholder or PlaceholderWithDefault declares; None where it leaves the rank open.

    producer: the GraphDef's ``versions.producer``: old graphs wrote an unknown shape as a scalar's
    (tensorflow/core/ops/array_ops.cc, Placeholder).
    """
    if "shape" not in node.attr:
        return None
    shape = tensors.decode_shape(node.attr["shape"].shape)
    if shape == () and node.op == "Placeholder" and producer < _PRODUCER_WITH_SCALAR_PLACEHOLDERS:
        return None
    return shape


def _module(name: str) -> Any:
    """A generated module of tensorflow/core/framework or protobuf, TensorFlow's or TensorBoard's."""
    if "tensorflow" not in sys.modules:
        try:
            return importlib.import_module("tensorboard.compat.proto." + name)
        except ImportError:
            pass  # TensorFlow before 1.13 came without these; it is there itself then.
    package = "tensorflow.core.protobuf." if name == "meta_graph_pb2" else "tensorflow.core.framework."
    return importlib.import_module(package + name)


def _parse_binary(message: Any, data: bytes, file_name: str) -> Any:
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise damaged(file_name, str(error)) from error
    return message


def _parse_text(message: Any, data: bytes, file_name: str) -> Any:
    """Parse text as a binary message would be parsed: fields that only a newer TensorFlow knows are left out."""
    try:
        text_format.Parse(data.decode("utf-8-sig"), message, allow_unknown_field=True)
    except UnicodeDecodeError as error:
        raise damaged(file_name, "it is no UTF-8 text ({}).".format(error)) from error
    except text_format.ParseError as error:
        raise damaged(file_name, str(error)) from error
    except RecursionError as error:
        raise damaged(file_name, "it is nested deeper than any graph that TensorFlow reads.") from error
    return message


def _with_nodes(graph: GraphDef, file_name: str) -> GraphDef:
    if not graph.node:
        raise StepError(
            "NOT_A_GRAPH_DEF",
            "{} is a GraphDef without any node. Was the graph built before it was written?".format(file_name),
            {"file": file_name},
        )
    return graph
