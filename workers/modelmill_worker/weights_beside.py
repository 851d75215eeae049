"""Constants whose content is not in their graph: for a while, so that it need not be in memory, or for good.

A frozen graph whose weights pass what protobuf can hold (2 GB) is an artifact of two files, beside its signature:

- ``graph.pb``: a GraphDef as ever, in which a large ``Const`` has its ``dtype`` and, in ``value``, type and shape but
  no content. It has one attribute more, ``_modelmill_weights``, a list of two integers: where its content starts in the
  other file, and how many bytes it has. TensorFlow ignores the attribute, as any whose name starts with "_", and would
  take such a constant for zeros: the graph must not be run without its weights.
- ``graph.weights``: 64 bytes that say what it is (`_HEADER`), then the contents, each as in ``tensor_content`` (raw,
  little-endian, row by row) and each at a multiple of 64 bytes, which lets TensorFlow use them where they lie, without
  a copy. Gaps are zeros.

Every other constant is whole in ``graph.pb``. A graph that fits is one file, with nothing beside.
"""

import functools
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np

from modelmill_worker import graph_def, graph_stream, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import BESIDE, GraphDef, NodeDef
from modelmill_worker.graph_stream import Content
from modelmill_worker.tensors import DataType

GRAPH_FILE = "graph.pb"
WEIGHTS_FILE = "graph.weights"

#: TensorFlow copies what it is given unless it starts at such a multiple (EIGEN_MAX_ALIGN_BYTES).
_ALIGNMENT = 64

#: No other file starts so, whatever its weights may look like.
_HEADER = b"modelmill weights 1\n".ljust(_ALIGNMENT, b"\0")

#: From how many bytes on content is kept out of the graph: less may be shapes, axes and the like, whose values are
#: needed to infer shapes.
SMALLEST = 1024


def emptied(name: str, shape: Sequence[int], kind: DataType) -> NodeDef:
    """A Const node without its content. kind: one that has a `storage`."""
    node = graph_def.new_node(name, "Const")
    node.attr["dtype"].type = kind.number
    tensor = node.attr["value"].tensor
    tensor.dtype = kind.number
    tensors.encode_shape(tuple(shape), tensor.tensor_shape)
    node.attr[BESIDE].list.i.extend((0, tensors.element_count(tuple(shape)) * np.dtype(kind.storage).itemsize))
    return node


def is_emptied(node: NodeDef) -> bool:
    """Whether a node is a constant without its content."""
    return BESIDE in node.attr


def has_emptied(graph: GraphDef) -> bool:
    """Whether a graph has such constants."""
    return any(is_emptied(node) for node in graph.node)


def write(folder: Path, graph: GraphDef, contents: Mapping[str, Content]) -> bool:
    """Write a frozen graph, with its weights inside where it then fits into a GraphDef; whether they are beside.

    contents: of all its emptied constants, by their nodes' names. The graph's marks are changed in place.
    Raises StepError GRAPH_TOO_LARGE where what is in the graph is too large itself.
    """
    try:
        graph_stream.write(folder / GRAPH_FILE, graph, contents)
    except StepError as error:
        if error.reason != "GRAPH_TOO_LARGE" or not has_emptied(graph):
            raise
    else:
        return False
    _write_weights(folder / WEIGHTS_FILE, graph, contents)
    graph_stream.write(folder / GRAPH_FILE, graph, {})
    return True


def _write_weights(path: Path, graph: GraphDef, contents: Mapping[str, Content]) -> None:
    with path.open("wb") as file:
        file.write(_HEADER)
        for node in graph.node:
            if not is_emptied(node):
                continue
            file.write(bytes(-file.tell() % _ALIGNMENT))
            place = node.attr[BESIDE].list.i
            start = file.tell()
            graph_stream.write_content(file, contents[node.name](), int(place[1]))
            place[0] = start


def contents(folder: Path, graph: GraphDef) -> Dict[str, Content]:
    """The contents of a graph's emptied constants, by their nodes' names: arrays in the file, which is mapped.

    They stay where they are when the graph is changed; call again where nodes have got other names.
    Raises StepError WEIGHTS_MISSING or WEIGHTS_DAMAGED.
    """
    nodes = [node for node in graph.node if is_emptied(node)]
    if not nodes:
        return {}
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise StepError(
            "WEIGHTS_MISSING",
            "The graph's weights lie beside it, and {} is not there. Give both files.".format(WEIGHTS_FILE),
            {"file": WEIGHTS_FILE, "constants": len(nodes)},
        )
    with path.open("rb") as file:
        if file.read(_ALIGNMENT) != _HEADER:
            raise StepError(
                "WEIGHTS_DAMAGED",
                "{} does not start as modelmill writes it. Was it copied whole?".format(WEIGHTS_FILE),
                {"file": WEIGHTS_FILE},
            )
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return {node.name: functools.partial(_array, mapped, _place(node, len(mapped))) for node in nodes}


@dataclass(frozen=True)
class _Place:
    """Where an array lies in the file, with its NumPy type and shape."""

    start: int
    storage: str
    shape: Tuple[int, ...]


def _place(node: NodeDef, size: int) -> _Place:
    place = [int(number) for number in node.attr[BESIDE].list.i]
    kind = tensors.data_type(node.attr["value"].tensor.dtype)
    shape = tensors.decode_shape(node.attr["value"].tensor.tensor_shape)
    if shape is not None and min(shape, default=0) >= 0 and kind.storage is not None and len(place) == 2:
        start, length = place
        expected = tensors.element_count(shape) * np.dtype(kind.storage).itemsize
        if length == expected and _ALIGNMENT <= start <= size - length and start % _ALIGNMENT == 0:
            return _Place(start, kind.storage, shape)
    raise StepError(
        "WEIGHTS_DAMAGED",
        "{} does not have the value of {} where the graph says. Were both files copied whole?".format(
            WEIGHTS_FILE, node.name
        ),
        {"file": WEIGHTS_FILE, "node": node.name, "place": place, "bytes": size},
    )


def _array(mapped: memoryview, place: _Place) -> np.ndarray:
    count = tensors.element_count(place.shape)
    return np.frombuffer(mapped, dtype=place.storage, count=count, offset=place.start).reshape(place.shape)


def become_placeholders(graph: GraphDef) -> List[str]:
    """Make placeholders of the emptied constants, in place, and give their names: their values must be fed."""
    names = []
    for node in graph.node:
        if is_emptied(node):
            node.ParseFromString(_placeholder_for(node).SerializeToString())
            names.append(str(node.name))
    return names


def without_weights(graph: GraphDef) -> GraphDef:
    """A copy of the graph with placeholders for its large constants, with content and without: what shapes follow from.

    It is made of this process's message classes, TensorFlow's where TensorFlow is imported, and is small.
    """
    copy = graph_def.new_graph()
    copy.versions.ParseFromString(graph.versions.SerializeToString())
    copy.library.ParseFromString(graph.library.SerializeToString())
    for node in graph.node:
        shown = _placeholder_for(node) if node.op == "Const" and _is_large(node) else node
        copy.node.add().ParseFromString(shown.SerializeToString())
    return copy


def _is_large(constant: NodeDef) -> bool:
    storage = tensors.data_type(constant.attr["dtype"].type).storage
    count = tensors.element_count(tensors.decode_shape(constant.attr["value"].tensor.tensor_shape))
    return storage is not None and count * np.dtype(storage).itemsize >= SMALLEST


def _placeholder_for(constant: NodeDef) -> NodeDef:
    placeholder = graph_def.new_node(constant.name, "Placeholder", tuple(constant.input))
    placeholder.attr["dtype"].type = constant.attr["dtype"].type
    shape = constant.attr["value"].tensor.tensor_shape
    placeholder.attr["shape"].shape.ParseFromString(shape.SerializeToString())
    return placeholder


def refuse(folder: Path, what: str, advice: str) -> None:
    """Raise StepError GRAPH_TOO_LARGE where a frozen graph's weights lie beside it, for a step that needs one file.

    what: what the step makes. advice: a sentence.
    """
    path = folder / WEIGHTS_FILE
    if path.is_file():
        size = path.stat().st_size
        raise StepError(
            "GRAPH_TOO_LARGE",
            "The model has {:.1f} GB of weights, and {} is made of a GraphDef, which ends at 2 GB. {}".format(
                size / 1e9, what, advice
            ),
            {"bytes": size},
        )
