"""The integers and booleans that decide how often a loop runs and which elements it reads.

They are computed here as TensorFlow would: integer arithmetic is exact, so nothing is lost by doing it beforehand.
Floats are left to TensorFlow, whose rounding is its own.
"""

from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import GraphIndex, Tensor

#: Larger tensors are data and not what steers a loop.
_LARGEST = 4096
_DEEPEST = 64

Operands = Sequence[np.ndarray]


def computed(node: NodeDef, operands: Sequence[Optional[np.ndarray]]) -> Optional[np.ndarray]:
    """What a node gives for these operands, all of them known; None where it is not computed here.

    Only the first output is meant. An operation that TensorFlow would refuse gives None as well.
    """
    kernel = _KERNELS.get(node.op)
    known = [operand for operand in operands if operand is not None and _is_small(operand)]
    if kernel is None or len(known) < len(operands):
        return None
    try:
        with np.errstate(all="raise"):
            result = np.asarray(kernel(node, known))
    except (ArithmeticError, IndexError, TypeError, ValueError):
        return None
    return result if _is_small(result) and result.dtype.kind in "iub" else None


class SmallValues:
    """What is known of a graph's small tensors; a picture of the graph as it was when it was made."""

    def __init__(self, graph: GraphIndex) -> None:
        self._graph = graph
        self._known: Dict[Tensor, Optional[np.ndarray]] = {}

    def of(self, tensor: Tensor, depth: int = 0) -> Optional[np.ndarray]:
        """The tensor's value where it is fixed, small and of integers or booleans; else None."""
        if tensor not in self._known:
            if depth > _DEEPEST:
                return None
            self._known[tensor] = self._found(self._graph.seen_through(tensor), depth)
        return self._known[tensor]

    def learn(self, tensor: Tensor, value: np.ndarray) -> None:
        """Take it as known from now on, as somebody found out who knows more of the tensor's node."""
        self._known[tensor] = value

    def _found(self, tensor: Tensor, depth: int) -> Optional[np.ndarray]:
        node = self._graph.node(tensor.node)
        if tensor.output or self._graph.is_fed(node.name) or node.op not in _KERNELS.keys() | _OF_SHAPES.keys():
            return None
        if node.op == "Const":
            array = self._graph.array(node.name)
            return array if array is not None and array.dtype.kind in "iub" and _is_small(array) else None
        if node.op in _OF_SHAPES:
            return self._of_shape(node)
        part = self._of_sliced_shape(node, depth) if node.op == "StridedSlice" else None
        return (
            part
            if part is not None
            else computed(node, [self.of(operand, depth + 1) for operand in self._graph.data_inputs(node.name)])
        )

    def _of_shape(self, node: NodeDef) -> Optional[np.ndarray]:
        shape = self._graph.shape(self._graph.data_inputs(node.name)[0])
        if shape is None or (node.op != "Rank" and any(size < 0 for size in shape)):
            return None
        dtype = _dtype(node, "out_type") or "int32"
        return np.asarray(_OF_SHAPES[node.op](shape), dtype)

    def _of_sliced_shape(self, node: NodeDef, depth: int) -> Optional[np.ndarray]:
        """A part of a shape, of which the rest may be open."""
        operands = self._graph.data_inputs(node.name)
        source = self._graph.seen_through(operands[0])
        if self._graph.node(source.node).op != "Shape":
            return None
        shape = self._graph.shape(self._graph.data_inputs(source.node)[0])
        bounds: List[Optional[np.ndarray]] = [self.of(operand, depth + 1) for operand in operands[1:]]
        if shape is None or any(bound is None for bound in bounds):
            return None
        sizes = np.asarray(shape, _dtype(self._graph.node(source.node), "out_type") or "int32")
        part = computed(node, [sizes, *bounds])
        return None if part is None or (part < 0).any() else part


_OF_SHAPES: Dict[str, Callable[[Sequence[int]], Any]] = {
    "Rank": len,
    "Shape": list,
    "Size": lambda shape: int(np.prod(shape, dtype=np.int64)),
}


def _is_small(array: np.ndarray) -> bool:
    return bool(array.size <= _LARGEST)


def _number(node: NodeDef, attribute: str) -> int:
    """An attribute of integers or booleans, 0 where it is not there; asking the node itself would add it."""
    if attribute not in node.attr:
        return 0
    return int(node.attr[attribute].i or node.attr[attribute].b)


def _dtype(node: NodeDef, attribute: str) -> Optional[str]:
    number = node.attr[attribute].type if attribute in node.attr else 0
    return tensors.data_type(number).storage if number else None


def _plain(function: Callable[..., Any]) -> Callable[[NodeDef, Operands], Any]:
    """For an operation whose attributes do not matter."""

    def apply(node: NodeDef, operands: Operands) -> Any:
        del node
        return function(*operands)

    return apply


def _reduction(function: Callable[..., Any]) -> Callable[[NodeDef, Operands], Any]:
    def reduce(node: NodeDef, operands: Operands) -> Any:
        value, axes = operands
        axis = tuple(int(item) for item in axes.ravel())
        return function(value, axis=axis, keepdims=bool(_number(node, "keep_dims"))).astype(value.dtype)

    return reduce


def _cast(node: NodeDef, operands: Operands) -> Any:
    return operands[0].astype(_dtype(node, "DstT"))


def _range(start: np.ndarray, limit: np.ndarray, step: np.ndarray) -> Any:
    if np.ceil((int(limit) - int(start)) / int(step)) > _LARGEST:
        raise ValueError("too many")
    return np.arange(int(start), int(limit), int(step), dtype=start.dtype)


def _fill(sizes: np.ndarray, value: np.ndarray) -> Any:
    shape = [int(size) for size in sizes]
    if np.prod(shape, dtype=np.float64) > _LARGEST:
        raise ValueError("too many")
    return np.full(shape, value, value.dtype)


def _pack(node: NodeDef, operands: Operands) -> Any:
    return np.stack(operands, axis=_number(node, "axis"))


def _gather(node: NodeDef, operands: Operands) -> Any:
    axis = int(operands[2]) if len(operands) > 2 else 0
    if _number(node, "batch_dims") or (operands[1] < 0).any():
        raise ValueError("not a plain one")
    return np.take(operands[0], operands[1], axis=axis)


def _squeeze(node: NodeDef, operands: Operands) -> Any:
    axes = tuple(int(axis) for axis in node.attr["squeeze_dims"].list.i) if "squeeze_dims" in node.attr else ()
    return np.squeeze(operands[0], axis=axes or None)


def _strided_slice(node: NodeDef, operands: Operands) -> Any:
    value, begins, ends, strides = operands
    parts: List[Union[slice, int, None]] = []
    for at, (begin, end, stride) in enumerate(zip(begins, ends, strides)):
        bit = 1 << at
        if _number(node, "ellipsis_mask") & bit:
            parts.append(Ellipsis)  # type: ignore[arg-type]
        elif _number(node, "new_axis_mask") & bit:
            parts.append(None)
        elif _number(node, "shrink_axis_mask") & bit:
            parts.append(int(begin))
        else:
            first = None if _number(node, "begin_mask") & bit else int(begin)
            last = None if _number(node, "end_mask") & bit else int(end)
            parts.append(slice(first, last, int(stride)))
    return value[tuple(parts)]


def _constant(node: NodeDef, operands: Operands) -> Any:
    del operands
    value = node.attr["value"].tensor
    if not tensors.data_type(value.dtype).storage or tensors.data_type(value.dtype).storage[:5] == "float":
        raise ValueError("not one of integers")
    return graph_def.constant_value(node)


_KERNELS: Dict[str, Callable[[NodeDef, Operands], Any]] = {
    "Add": _plain(np.add),
    "AddV2": _plain(np.add),
    "All": _reduction(np.all),
    "Any": _reduction(np.any),
    "Cast": _cast,
    "ConcatV2": _plain(lambda *operands: np.concatenate(operands[:-1], axis=int(operands[-1]))),
    "Const": _constant,
    "Equal": _plain(np.equal),
    "ExpandDims": _plain(lambda value, axis: np.expand_dims(value, int(axis))),
    "Fill": _plain(_fill),
    "FloorDiv": _plain(np.floor_divide),
    "FloorMod": _plain(np.mod),
    "Gather": _gather,
    "GatherV2": _gather,
    "Greater": _plain(np.greater),
    "GreaterEqual": _plain(np.greater_equal),
    "Identity": _plain(lambda value: value),
    "Less": _plain(np.less),
    "LessEqual": _plain(np.less_equal),
    "LogicalAnd": _plain(np.logical_and),
    "LogicalNot": _plain(np.logical_not),
    "LogicalOr": _plain(np.logical_or),
    "LoopCond": _plain(lambda value: value),
    "Max": _reduction(np.max),
    "Maximum": _plain(np.maximum),
    "Min": _reduction(np.min),
    "Minimum": _plain(np.minimum),
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "NotEqual": _plain(np.not_equal),
    "Pack": _pack,
    "Prod": _reduction(np.prod),
    "Range": _plain(_range),
    "Reshape": _plain(lambda value, shape: np.reshape(value, [int(size) for size in shape])),
    "SelectV2": _plain(np.where),
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Sub": _plain(np.subtract),
    "Sum": _reduction(np.sum),
}
