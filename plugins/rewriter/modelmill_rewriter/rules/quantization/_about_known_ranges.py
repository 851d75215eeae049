"""Which ranges a graph tells: those of its fake quantisations, and those that follow from them."""

import math
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from modelmill_rewriter._operations import FORWARDING
from modelmill_rewriter.rules.quantization._about_fake_quant import FAKE_QUANT, Range, nudged, range_of
from modelmill_rewriter.rules_api import GraphIndex, Tensor

Ranges = Dict[Tensor, Range]

#: They give out elements of their first input, and zeros at most: fake quantisation before them or behind is the same.
SELECTING = frozenset(
    ("BatchToSpaceND", "DepthToSpace", "ExpandDims", "Gather", "GatherV2", "Max", "MaxPool", "Min", "MirrorPad", "Pad")
    + ("Reshape", "ResizeNearestNeighbor", "ReverseV2", "Slice", "SpaceToBatchND", "SpaceToDepth", "Squeeze")
    + ("StridedSlice", "Tile", "Transpose", "Unpack")
)
#: What they give out lies between what they read, and need not be any of it.
_AVERAGING = frozenset(("AvgPool", "Mean", "ResizeBilinear"))
#: What keeps the range of one of its operands, and which one that is.
_PASSING_ON: Dict[str, int] = {
    **dict.fromkeys(SELECTING | _AVERAGING | FORWARDING, 0),
    "Split": 1,
    "SplitV": 0,
}
#: The operands of those that give out elements of several.
_JOINING: Dict[str, Callable[[Tuple[Tensor, ...]], Tuple[Tensor, ...]]] = {
    "Concat": lambda operands: operands[1:],
    "ConcatV2": lambda operands: operands[:-1],
    "Maximum": lambda operands: operands,
    "Minimum": lambda operands: operands,
    "Pack": lambda operands: operands,
    "Select": lambda operands: operands[1:],
    "SelectV2": lambda operands: operands[1:],
}
#: The converter gives these a range of its own, whatever the graph says.
FIXED: Dict[str, Tuple[float, float]] = {
    "LogSoftmax": (-16.0, 0.0),
    "Sigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
}


def readers_of(graph: GraphIndex, tensor: Tensor) -> List[str]:
    """The nodes that read a tensor, also through Identity nodes; one that is an output counts as a reader."""
    found: List[str] = []
    waiting = [tensor]
    while waiting:
        one = waiting.pop()
        for name in graph.consumers(one.node):
            if one not in graph.data_inputs(name):
                continue
            if graph.node(name).op in FORWARDING and name not in graph.kept:
                waiting.append(Tensor(name))
            else:
                found.append(name)
    return found


def recorded(graph: GraphIndex, tensor: Tensor) -> List[Tuple[str, Optional[Range]]]:
    """The fake quantisations that a tensor goes into, with their ranges."""
    found = [name for name in readers_of(graph, tensor) if graph.node(name).op in FAKE_QUANT]
    return [(name, range_of(graph, name)) for name in found]


def known_ranges(graph: GraphIndex, order: Iterable[str], given: Mapping[Tensor, Range]) -> Ranges:
    """The range of every tensor of which it is told, or follows.

    order: the nodes to look at, producers first. given: ranges that hold whatever the graph says.

    Forwards, what selects, averages, joins or cuts off stays within what it reads. Backwards, what only goes into an
    operation that selects may have the range of what comes out: fake quantisation is done element by element, so it
    may be done before.
    """
    nodes = list(order)
    ranges: Ranges = dict(given)
    for name in nodes:
        for tensor in [Tensor(name), *_further_outputs(graph, name)]:
            span = _told(graph, tensor) or _following(graph, tensor, ranges)
            if span is not None:
                ranges.setdefault(tensor, span)
    for name in reversed(nodes):
        operands = graph.data_inputs(name)
        span = ranges.get(Tensor(name))
        if span is None or graph.node(name).op not in SELECTING:
            continue
        source = graph.seen_through(operands[0])
        if source not in ranges and source.node not in graph.kept and readers_of(graph, source) == [name]:
            ranges[source] = span
    return ranges


def _further_outputs(graph: GraphIndex, name: str) -> List[Tensor]:
    read = {one for reader in graph.consumers(name) for one in graph.data_inputs(reader) if one.node == name}
    return sorted(one for one in read if one.output)


def _told(graph: GraphIndex, tensor: Tensor) -> Optional[Range]:
    if graph.node(tensor.node).op in FAKE_QUANT:
        return range_of(graph, tensor.node)
    spans = {span for _, span in recorded(graph, tensor)}
    return spans.pop() if len(spans) == 1 else None


def _following(graph: GraphIndex, tensor: Tensor, ranges: Ranges) -> Optional[Range]:
    operation, operands = graph.node(tensor.node).op, graph.data_inputs(tensor.node)
    if operation in FIXED:
        return nudged(*FIXED[operation])
    if operation in ("Relu", "Relu6"):
        return _cut_off(operation, _range(graph, operands[0], ranges))
    if operation in _JOINING:
        return _hull([_range(graph, operand, ranges) for operand in _JOINING[operation](operands)])
    if operation in _PASSING_ON:
        return _range(graph, operands[_PASSING_ON[operation]], ranges)
    return None


def _cut_off(operation: str, span: Optional[Range]) -> Optional[Range]:
    """What an activation lets through of a range, which need not be known for a relu6."""
    limit = 6.0 if operation == "Relu6" else math.inf
    if span is None or span.high <= 0:
        return nudged(0.0, limit)
    return nudged(0.0, min(span.high, limit), span.bits, span.narrow)


def _range(graph: GraphIndex, tensor: Tensor, ranges: Ranges) -> Optional[Range]:
    tensor = graph.seen_through(tensor)
    if tensor in ranges:
        return ranges[tensor]
    array = graph.constant(tensor)
    if array is None or array.dtype.kind != "f" or not array.size:
        return None
    return nudged(min(float(np.min(array)), 0.0), max(float(np.max(array)), 0.0))


def _hull(spans: List[Optional[Range]]) -> Optional[Range]:
    found = [span for span in spans if span is not None]
    if not found or len(found) < len(spans):
        return None
    if len(set(found)) == 1:
        return found[0]
    return nudged(min(span.low for span in found), max(span.high for span in found), max(span.bits for span in found))
