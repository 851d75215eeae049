"""A batch size that training fixed, opened where nothing but reshapes depends on it.

    Reshape(x, [32, 7, 7, 8]) -> Reshape(x, [-1, 7, 7, 8])

For a batch of 32 that is the same. A constant that starts with the batch size and is used otherwise (the first
state of a recurrent net, say) keeps the batch fixed.
"""

import re
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, tensor_types, tensors
from modelmill_worker.dataflow import Dataflow, reach
from modelmill_worker.graph_def import GraphDef, NodeDef

#: Types of tensors that may be shapes, and the attribute's default.
_SHAPE_TYPES = ("int32", "int64")
_DEFAULT_SHAPE_TYPE = 3


@dataclass(frozen=True)
class Opening:
    """What it takes to run a graph with any batch size.

    reshapes: the shapes that reshapes get, by node name. fixed_by: constants that only fit the one batch size.
    """

    reshapes: Dict[str, Tuple[int, ...]]
    fixed_by: List[str]


def plan_opening(graph: GraphDef, outputs: Iterable[str], batch: int) -> Opening:
    """How the output nodes could be computed for another batch than this one."""
    flow = Dataflow(graph)
    outputs = list(outputs)
    needed = flow.ancestors(outputs)
    reshapes = {}
    for name in sorted(needed):
        shape = _open_shape(flow, flow.nodes[name], batch)
        if shape is not None:
            reshapes[name] = shape
    left = _needed_without_shapes(flow, outputs, reshapes)
    fixed_by = [name for name in flow.nodes if name in left and _is_fixed(flow, flow.nodes[name], batch, reshapes)]
    return Opening(reshapes, fixed_by)


def open_batch(graph: GraphDef, opening: Opening) -> None:
    """Give the reshapes their new shapes, in place."""
    nodes = graph_def.nodes_by_name(graph)
    for name, shape in opening.reshapes.items():
        node = nodes[name]
        kind = tensors.data_type(node.attr["Tshape"].type or _DEFAULT_SHAPE_TYPE)
        constant = graph_def.new_constant(_free_name(nodes, name), np.array(shape, kind.name))
        graph.node.add().ParseFromString(constant.SerializeToString())
        node.input[1] = constant.name


def _free_name(nodes: Dict[str, NodeDef], reshape: str) -> str:
    name = reshape + "/any_batch"
    while name in nodes:
        name += "_"
    return name


def _open_shape(flow: Dataflow, node: NodeDef, batch: int) -> Optional[Tuple[int, ...]]:
    """The shape of a reshape to this batch, with the batch open; None where it is another, or not fixed."""
    if node.op != "Reshape" or not _is_constant(flow, node.input[1]):
        return None
    operand = flow.nodes[graph_def.node_name(node.input[1])]
    told = tensor_types.told_shape(node, 0)
    if operand.op == "Const":
        values = tuple(int(size) for size in graph_def.constant_value(operand).ravel())
        if not values or values[0] != batch:
            return None
        told = values if -1 not in values else told
    elif not told:
        told = _flattened(flow, operand)
    if not told or told[0] != batch or -1 in told:
        return None
    return (-1, *told[1:])


def _flattened(flow: Dataflow, operand: NodeDef) -> Tuple[int, ...]:
    """The shape that Pack(Shape(x)[0], -1) flattens x to, where building the graph made a constant of Shape(x)."""
    feeders = [flow.nodes[name] for name in flow.feeders[operand.name]]
    if operand.op != "Pack" or [node.op for node in feeders] != ["StridedSlice", "Const"]:
        return ()
    shape, begin = [flow.nodes[name] for name in flow.feeders[feeders[0].name][:2]]
    is_shape = shape.op == "Const" and re.search(r"(^|/)Shape(_\d+)?$", shape.name) is not None
    if not is_shape or begin.op != "Const" or graph_def.constant_value(begin).tolist() != [0]:
        return ()
    if graph_def.constant_value(feeders[1]).tolist() != -1:
        return ()
    sizes = [int(size) for size in graph_def.constant_value(shape)]
    return (sizes[0], int(np.prod(sizes[1:], dtype=np.int64)))


def _is_constant(flow: Dataflow, reference: str) -> bool:
    """Whether a tensor is computed of constants only."""
    names = flow.ancestors([graph_def.node_name(reference)])
    return all(flow.nodes[name].op == "Const" for name in names if not flow.feeders[name])


def _needed_without_shapes(flow: Dataflow, outputs: List[str], reshapes: Dict[str, Tuple[int, ...]]) -> Set[str]:
    """What the outputs depend on once these reshapes have other shapes."""
    return reach(outputs, {name: names[:1] if name in reshapes else names for name, names in flow.feeders.items()})


#: Where an operation takes the sizes, or the number, of what it makes.
_SIZES = {
    "Fill": 0,
    "BroadcastTo": 1,
    "Tile": 1,
    "Range": 1,
    "RandomUniform": 0,
    "RandomStandardNormal": 0,
    "Reshape": 1,
}


def _is_fixed(flow: Dataflow, node: NodeDef, batch: int, reshapes: Dict[str, Tuple[int, ...]]) -> bool:
    """Whether a node only fits this batch size: a constant of it, or something that is made as large as it."""
    if _starts_with(node, batch):
        return True
    if node.op not in _SIZES or node.name in reshapes:
        return False
    sizes = graph_def.data_inputs(node)[_SIZES[node.op]]
    given = flow.ancestors([graph_def.node_name(sizes)])
    if not _is_constant(flow, sizes) or any(_starts_with(flow.nodes[name], batch) for name in given):
        return False  # Where a constant says it, that is named.
    first = _first_size(flow, sizes)
    return first >= batch and first % batch == 0


def _first_size(flow: Dataflow, reference: str) -> int:
    """The first number of a constant, or of what is joined of constants; 0 where it cannot be told."""
    node = flow.nodes[graph_def.node_name(reference)]
    if node.op == "Const":
        values = graph_def.constant_value(node).ravel()
        return int(values[0]) if len(values) and values.dtype.kind in "iu" else 0
    if node.op in ("ConcatV2", "Pack", "Identity", "Cast", "ExpandDims"):
        return _first_size(flow, node.input[0])
    return 0


def _starts_with(node: NodeDef, batch: int) -> bool:
    """Whether a node is a constant shape that starts with the batch size, or a constant tensor with that many rows."""
    if node.op != "Const":
        return False
    proto = node.attr["value"].tensor
    shape = tensors.decode_shape(proto.tensor_shape) or ()
    if tensors.data_type(proto.dtype).name in _SHAPE_TYPES and len(shape) == 1:
        values = graph_def.constant_value(node)
        return len(values) > 1 and int(values[0]) == batch
    return len(shape) > 1 and shape[0] == batch
