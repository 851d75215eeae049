"""What can be told of a tensor's rank and channels without running TensorFlow's shape functions.

Shapes are looked for upwards from the tensor, only as far as a node that fixes them: a convolution, a matrix product,
a Placeholder. So a question costs the same in a small and in a large graph.
"""

from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef, attribute

from modelmill_rewriter._constants import constant_value
from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._operations import BROADCASTING, SHAPE_KEEPING
from modelmill_rewriter._tensor import Tensor


@dataclass(frozen=True)
class Layout:
    """A tensor's rank, and the size of its last dimension (-1 where it is open)."""

    rank: int
    channels: int = -1


_FARTHEST = 200


def layout_of(graph: GraphIndex, tensor: Tensor) -> Optional[Layout]:
    """Rank and channels of a tensor; None where they cannot be told."""
    return _layout(graph, tensor, iter(range(_FARTHEST)))


def _layout(graph: GraphIndex, tensor: Tensor, budget: Iterator[int]) -> Optional[Layout]:
    """Follows first operands in a loop, so that a deep network does not exhaust Python's stack.

    What is found is remembered for every tensor on the way: a rule asks for one behind the other.
    """
    way: List[str] = []
    found: Optional[Layout] = None
    for _ in budget:
        if tensor.output:
            return None
        if tensor.node in graph.layouts:
            found = graph.layouts[tensor.node]
            break
        way.append(tensor.node)
        node = graph.node(tensor.node)
        if node.op not in SHAPE_KEEPING:
            found = _found_at(graph, node, budget)
            break
        tensor = graph.data_inputs(node.name)[0]
    else:
        return None  # Given up: from nearer by, it may yet be found.
    graph.layouts.update(dict.fromkeys(way, found))
    return found


def _found_at(graph: GraphIndex, node: NodeDef, budget: Iterator[int]) -> Optional[Layout]:
    if node.op in BROADCASTING:
        return _broadcast([_layout(graph, operand, budget) for operand in graph.data_inputs(node.name)])
    return _READERS[node.op](graph, node) if node.op in _READERS else None


def _broadcast(operands: List[Optional[Layout]]) -> Optional[Layout]:
    known = [operand for operand in operands if operand is not None]
    if len(known) < len(operands) or not known:
        return None
    channels = [operand.channels for operand in known if operand.rank]
    stretched = [size for size in channels if size > 1] or ([1] if all(size == 1 for size in channels) else [-1])
    return Layout(max(operand.rank for operand in known), stretched[0])


def _of_placeholder(graph: GraphIndex, node: NodeDef) -> Optional[Layout]:
    return _of_shape(graph_def.shape_of_placeholder(node, graph.producer))


def _of_constant(graph: GraphIndex, node: NodeDef) -> Optional[Layout]:
    del graph
    return _of_shape(tensors.decode_shape(node.attr["value"].tensor.tensor_shape))


def _of_reshape(graph: GraphIndex, node: NodeDef) -> Optional[Layout]:
    shape = constant_value(graph, graph.data_inputs(node.name)[1])
    return None if shape is None else _of_shape(tuple(int(size) for size in shape))


def _of_convolution(graph: GraphIndex, node: NodeDef) -> Optional[Layout]:
    return Layout(4, _filter_size(graph, node, lambda shape: shape[3]))


def _of_depthwise_convolution(graph: GraphIndex, node: NodeDef) -> Optional[Layout]:
    return Layout(4, _filter_size(graph, node, lambda shape: shape[2] * shape[3]))


def _of_transposed_convolution(graph: GraphIndex, node: NodeDef) -> Optional[Layout]:
    return Layout(4, _filter_size(graph, node, lambda shape: shape[2]))


def _of_pooling(graph: GraphIndex, node: NodeDef) -> Optional[Layout]:
    del graph, node
    return Layout(4)


def _of_product(graph: GraphIndex, node: NodeDef) -> Optional[Layout]:
    shape = _constant_shape(graph, graph.data_inputs(node.name)[1])
    column = 0 if attribute(node, "transpose_b").b else 1
    return Layout(2, shape[column] if len(shape) == 2 else -1)


def _filter_size(graph: GraphIndex, node: NodeDef, size: Callable[[Tuple[int, ...]], int]) -> int:
    """The number of output channels, -1 where they are not the last dimension or the filter is not constant."""
    shape = _constant_shape(graph, graph.data_inputs(node.name)[1])
    channels_last = attribute(node, "data_format").s in (b"", b"NHWC")
    return int(size(shape)) if channels_last and len(shape) == 4 else -1


def _constant_shape(graph: GraphIndex, tensor: Tensor) -> Tuple[int, ...]:
    node = graph.node(graph.seen_through(tensor).node)
    if node.op != "Const":
        return ()
    return tensors.decode_shape(node.attr["value"].tensor.tensor_shape) or ()


def _of_shape(shape: Optional[Tuple[int, ...]]) -> Optional[Layout]:
    return None if shape is None else Layout(len(shape), int(shape[-1]) if shape else -1)


_READERS: Dict[str, Callable[[GraphIndex, NodeDef], Optional[Layout]]] = {
    "AvgPool": _of_pooling,
    "Const": _of_constant,
    "Conv2D": _of_convolution,
    "Conv2DBackpropInput": _of_transposed_convolution,
    "DepthwiseConv2dNative": _of_depthwise_convolution,
    "MatMul": _of_product,
    "MaxPool": _of_pooling,
    "Placeholder": _of_placeholder,
    "Reshape": _of_reshape,
    "ResizeBilinear": _of_pooling,
    "ResizeNearestNeighbor": _of_pooling,
}
