"""What a model costs to run once: multiply-adds, and the memory of what its operations give.

A multiply-add is one multiplication with the addition of its product: half of TensorFlow's float_operation
(tensorflow/python/profiler/internal/flops_registry.py). Convolutions and matrix products are counted; elementwise
operations, pooling and lookups are not, for they cost little beside them.
"""

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from modelmill_worker import graph_def
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.shapes import Known, Shape, Shapes, infer
from modelmill_worker.shapes.known import product
from modelmill_worker.signature import Tensor
from modelmill_worker.tensor_types import output_dtype

from modelmill_inspector.graphs.reach import called_by, function_behind, plain_reference
from modelmill_inspector.graphs.weights import item_size

#: How many nodes are listed, the dearest first.
_LISTED = 1000
#: Loops of calls are not followed deeper.
_DEEPEST = 32
#: No memory of their own: they hand on what is there already.
_ALIASES = frozenset(
    re.findall(
        r"\w+",
        """
    Identity Reshape Squeeze ExpandDims StopGradient Enter Exit Switch Merge NextIteration ReadVariableOp
    PlaceholderWithDefault PreventGradient CheckNumerics Snapshot RefIdentity RefSwitch RefEnter EnsureShape
    PartitionedCall StatefulPartitionedCall
    """,
    )
)
_NO_ACTIVATIONS = graph_def.VARIABLES | {"Const", "VarHandleOp", "NoOp", "Assert"}
#: Multiply by weights, or cost as much, without a rule here.
_UNCOUNTED = frozenset(
    re.findall(
        r"\w+",
        """
    AudioSpectrogram BlockLSTM BlockLSTMV2 CudnnRNN CudnnRNNV2 CudnnRNNV3 FFT FFT2D FFT3D GRUBlockCell IFFT IFFT2D
    IRFFT IRFFT2D LSTMBlockCell Mfcc DepthwiseConv2dNativeBackpropInput QuantizedConv2D QuantizedMatMul
    RFFT RFFT2D SparseMatMul SparseTensorDenseMatMul XlaConv
    """,
    )
)


@dataclass(frozen=True)
class NodeCost:
    """One node's part. multiply_adds: None where shapes are not known. output_bytes: -1 where they are not known."""

    name: str
    op: str
    multiply_adds: Optional[int]
    output_bytes: int
    shapes: Tuple[Shape, ...]


def assumed_shapes(inputs: Sequence[Tensor], given: Mapping[str, Tuple[int, ...]]) -> Dict[str, Shape]:
    """The shape to count with for each input, by name: as given, else as declared with an open batch as 1."""
    shapes: Dict[str, Shape] = {}
    for tensor in inputs:
        shape = given.get(tensor.name, tensor.shape)
        if shape is not None and len(shape) > 1 and shape[0] < 0:
            shape = (1,) + tuple(shape[1:])
        shapes[tensor.name] = shape
    return shapes


def describe_costs(
    graph: GraphDef,
    inputs: Sequence[Tensor],
    needed: Set[str],
    given: Mapping[str, Tuple[int, ...]],
    declared: Shapes,
) -> Dict[str, Any]:
    """The fact `costs`.

    given: shapes to count with, by the inputs' names. declared: the shapes that the graph has without them.

    `input_shapes`: what was counted with. `multiply_adds`, `activation_bytes` (the results of all operations) and
    `peak_activation_bytes` (of those that live at once, when nodes run one after another in the order of their data);
    `nodes`: the dearest, with multiply-adds, bytes and shapes, at most 1,000 of `nodes_count`. Where shapes are open:
    `open_inputs`, the inputs to give shapes for, and `nodes_of_unknown_size`; the sums are then those of the rest.
    `uncounted`: operations that cost much and have no rule here. A loop's body counts once.
    """
    shapes = assumed_shapes(inputs, given)
    by_tensor = {tensor.tensor: shapes[tensor.name] for tensor in inputs}
    as_declared = all(declared.of(name).shape == shape for name, shape in by_tensor.items())
    known = declared if as_declared else infer(graph, by_tensor)
    functions = {function.signature.name: function for function in graph.library.function}
    nodes = [node for node in graph.node if node.name in needed]
    costs: List[NodeCost] = []
    uncounted: Dict[str, int] = {}
    _add_costs(nodes, known, functions, "", costs, uncounted, 0)
    dearest = _dearest(costs)
    open_inputs = sorted(name for name, shape in shapes.items() if shape is None or min(shape, default=0) < 0)
    facts = {
        "input_shapes": {name: None if shape is None else list(shape) for name, shape in shapes.items()},
        "multiply_adds": sum(cost.multiply_adds or 0 for cost in costs),
        "activation_bytes": sum(max(cost.output_bytes, 0) for cost in costs if cost.op not in _ALIASES),
        "peak_activation_bytes": _peak(nodes, known, functions),
        "nodes": [_listed(cost) for cost in dearest[:_LISTED]],
        "nodes_count": len(dearest),
        "uncounted": uncounted,
    }
    unknown = sum(cost.multiply_adds is None or cost.output_bytes < 0 for cost in costs)
    if unknown:
        facts.update(open_inputs=open_inputs, nodes_of_unknown_size=unknown)
    if any(cost.op in ("While", "StatelessWhile", "LoopCond") for cost in costs):
        facts["loops_count_once"] = True
    return facts


def _add_costs(
    nodes: Sequence[NodeDef],
    shapes: Shapes,
    functions: Mapping[str, Any],
    path: str,
    costs: List[NodeCost],
    uncounted: Dict[str, int],
    depth: int,
) -> None:
    for node in nodes:
        outputs = shapes.outputs.get(node.name, ())
        if node.op in _UNCOUNTED:
            uncounted[node.op] = uncounted.get(node.op, 0) + 1
        costs.append(_cost(node, shapes, outputs, path))
        for name in called_by(node, shapes):
            inner = shapes.called[name]
            function = functions.get(function_behind(node, name))
            if function is not None and depth < _DEEPEST:
                body = list(function.node_def)
                _add_costs(body, inner, functions, path + node.name + " > ", costs, uncounted, depth + 1)


def _cost(node: NodeDef, shapes: Shapes, outputs: Sequence[Known], path: str) -> NodeCost:
    rule = _COUNTS.get(node.op)
    count: Optional[int] = 0
    if rule is not None:
        inputs = [shapes.of(plain_reference(reference)) for reference in graph_def.data_inputs(node)]
        count = rule(node, [known.shape for known in inputs], outputs[0].shape if outputs else None)
    return NodeCost(path + node.name, node.op, count, _bytes(node, outputs), tuple(known.shape for known in outputs))


def _bytes(node: NodeDef, outputs: Sequence[Known]) -> int:
    if node.op in _NO_ACTIVATIONS:
        return 0
    total = 0
    for index, known in enumerate(outputs):
        size = item_size(output_dtype(node, index))
        count = product(known.shape) if known.shape is not None else -1
        if size and count < 0:
            return -1
        total += size * max(count, 0)
    return total


def _peak(nodes: Sequence[NodeDef], shapes: Shapes, functions: Mapping[str, Any], depth: int = 0) -> int:
    """Bytes alive at once where each result lives from its operation to the last one that reads it.

    While a function runs, what lives inside it is added.
    """
    by_name = {node.name: node for node in nodes}
    order = [by_name[name] for name in shapes.outputs if name in by_name]
    owner: Dict[str, str] = {}
    last_use: Dict[str, int] = {}
    for position, node in enumerate(order):
        feeders = [graph_def.node_name(reference) for reference in graph_def.data_inputs(node)]
        aliased = node.op in _ALIASES and feeders and feeders[0] in owner
        owner[node.name] = owner[feeders[0]] if aliased else node.name
        last_use[owner[node.name]] = position
        for feeder in feeders:
            if feeder in owner:
                last_use[owner[feeder]] = position
    ends: Dict[int, List[str]] = {}
    alive = peak = 0
    sizes: Dict[str, int] = {}
    for position, node in enumerate(order):
        if owner[node.name] == node.name:
            sizes[node.name] = max(_bytes(node, shapes.outputs[node.name]), 0)
            ends.setdefault(last_use[node.name], []).append(node.name)
            alive += sizes[node.name]
        peak = max(peak, alive + _peak_inside(node, shapes, functions, depth))
        alive -= sum(sizes[name] for name in ends.get(position, ()))
    return peak


def _peak_inside(node: NodeDef, shapes: Shapes, functions: Mapping[str, Any], depth: int) -> int:
    called = [(functions.get(function_behind(node, name)), shapes.called[name]) for name in called_by(node, shapes)]
    if depth >= _DEEPEST:
        return 0
    peaks = [
        _peak(list(function.node_def), inner, functions, depth + 1)
        for function, inner in called
        if function is not None
    ]
    return max(peaks, default=0)


def _dearest(costs: Sequence[NodeCost]) -> List[NodeCost]:
    found = [cost for cost in costs if cost.multiply_adds or (cost.output_bytes > 0 and cost.op not in _ALIASES)]
    found.sort(key=lambda cost: (-(cost.multiply_adds or 0), -cost.output_bytes))
    return found


def _listed(cost: NodeCost) -> Dict[str, Any]:
    return {
        "name": cost.name,
        "op": cost.op,
        "multiply_adds": cost.multiply_adds,
        "output_bytes": cost.output_bytes,
        "shapes": [None if shape is None else list(shape) for shape in cost.shapes],
    }


# How often each operation multiplies and adds, from the shapes of its inputs and of its first output.

_Count = Callable[[NodeDef, Sequence[Shape], Shape], Optional[int]]


def _times(*counts: Optional[int]) -> Optional[int]:
    result = 1
    for count in counts:
        if count is None or count < 0:
            return None
        result *= count
    return result


def _elements(shape: Shape) -> int:
    return -1 if shape is None else product(shape)


def _of(shapes: Sequence[Shape], index: int, rank: int) -> Shape:
    shape = shapes[index] if index < len(shapes) else None
    return shape if shape is not None and len(shape) == rank else None


def _convolution(node: NodeDef, inputs: Sequence[Shape], output: Shape) -> Optional[int]:
    filters = _of(inputs, 1, 5 if node.op == "Conv3D" else 4)
    return None if filters is None else _times(_elements(output), product(filters[:-1]))


def _depthwise(node: NodeDef, inputs: Sequence[Shape], output: Shape) -> Optional[int]:
    del node
    filters = _of(inputs, 1, 4)
    return None if filters is None else _times(_elements(output), product(filters[:2]))


def _transposed(node: NodeDef, inputs: Sequence[Shape], output: Shape) -> Optional[int]:
    """Each element of what comes in is multiplied with the filter once for every channel that goes out."""
    del output
    rank = 5 if node.op.startswith("Conv3D") else 4
    filters, incoming = _of(inputs, 1, rank), _of(inputs, 2, rank)
    return None if filters is None else _times(_elements(incoming), product(filters[:-1]))


def _matrix_product(node: NodeDef, inputs: Sequence[Shape], output: Shape) -> Optional[int]:
    first = inputs[0] if inputs else None
    if first is None or len(first) < 2:
        return None
    transposed = (
        node.attr["transpose_a"].b
        if "transpose_a" in node.attr
        else (node.attr["adj_x"].b if "adj_x" in node.attr else False)
    )
    return _times(_elements(output), first[-2] if transposed else first[-1])


def _einsum(node: NodeDef, inputs: Sequence[Shape], output: Shape) -> Optional[int]:
    del output
    if b"..." in node.attr["equation"].s:
        return None
    terms = node.attr["equation"].s.decode("utf-8", "replace").replace(" ", "").partition("->")[0].split(",")
    sizes: Dict[str, int] = {}
    for term, shape in zip(terms, inputs):
        if shape is None or len(shape) != len(term):
            return None
        sizes.update((label, max(size, sizes.get(label, -1))) for label, size in zip(term, shape))
    return _times(*sizes.values())


_COUNTS: Dict[str, _Count] = {
    "Conv2D": _convolution,
    "_FusedConv2D": _convolution,
    "Conv3D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed,
    "Conv3DBackpropInputV2": _transposed,
    "MatMul": _matrix_product,
    "_FusedMatMul": _matrix_product,
    "BatchMatMul": _matrix_product,
    "BatchMatMulV2": _matrix_product,
    "BatchMatMulV3": _matrix_product,
    "Einsum": _einsum,
}
