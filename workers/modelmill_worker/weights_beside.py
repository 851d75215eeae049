"""Constants whose content is not in their graph: for a while, so that it need not be in memory, or for good.

A frozen graph whose weights pass what protobuf can hold (2 GB) is an artifact of two files, beside its signature:

- ``graph.pb``: a GraphDef as ever, in which a large ``Const`` has its ``dtype`` and, in ``value``, type and shape but
  no content. It has one attribute more, ``_modelmill_weights``, a list of two integers: where its content starts in the
  other file, and how many bytes it has. TensorFlow ignores the attribute, as any whose name starts with "_", and would
  take such a constant for zeros: the graph must not be run without its weights.
- ``graph.weights``: the contents, each as in ``tensor_content`` (raw, little-endian, row by row) and each at a multiple
  of 64 bytes, which lets TensorFlow use them where they lie, without a copy. Gaps are zeros. There is no header.

Every other constant is whole in ``graph.pb``. A graph that fits is one file, with nothing beside.
"""

import functools
import mmap
from pathlib import Path
from typing import Dict, List, Mapping, Sequence

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
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if path.stat().st_size else b""
    return {node.name: functools.partial(_array, _place(node, len(mapped)), mapped) for node in nodes}


class _Place:
    """Where an array lies in a file, with its type and shape."""

    def __init__(self, start: int, shape: Sequence[int], storage: str) -> None:
        self.start = start
        self.shape = tuple(shape)
        self.storage = storage


def _place(node: NodeDef, size: int) -> _Place:
    tensor = node.attr["value"].tensor
    shape = tensors.decode_shape(tensor.tensor_shape)
    kind = tensors.data_type(tensor.dtype)
    place = list(node.attr[BESIDE].list.i)
    fits = shape is not None and kind.storage is not None and len(place) == 2 and min(place + list(shape)) >= 0
    if fits:
        length = tensors.element_count(shape) * np.dtype(kind.storage).itemsize
        fits = length == place[1] and place[0] + place[1] <= size and place[0] % _ALIGNMENT == 0
    if not fits:
        raise StepError(
            "WEIGHTS_DAMAGED",
            "{} does not have the value of {} where the graph says. Were both files copied whole?".format(
                WEIGHTS_FILE, node.name
            ),
            {"file": WEIGHTS_FILE, "node": node.name, "place": place, "bytes": size},
        )
    return _Place(int(place[0]), shape or (), str(kind.storage))


def _array(place: _Place, mapped: memoryview) -> np.ndarray:
    count = tensors.element_count(place.shape)
    return np.frombuffer(mapped, dtype=place.storage, count=count, offset=place.start).reshape(place.shape)


def become_placeholders(graph: GraphDef) -> List[str]:
    """Make placeholders of the emptied constants, in place, and give their names: their values must be fed."""
    names = []
    for node in graph.node:
        if is_emptied(node):
            placeholder = graph_def.new_node(node.name, "Placeholder", tuple(node.input))
            placeholder.attr["dtype"].type = node.attr["dtype"].type
            placeholder.attr["shape"].shape.ParseFromString(node.attr["value"].tensor.tensor_shape.SerializeToString())
            node.ParseFromString(placeholder.SerializeToString())
            names.append(str(node.name))
    return names


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
