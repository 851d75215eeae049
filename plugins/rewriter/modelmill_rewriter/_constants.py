"""The values of tensors that are the same whenever the model runs."""

from typing import Any, Callable, Dict, Optional

import numpy as np

from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._operations import FORWARDING
from modelmill_rewriter._tensor import Tensor

#: Only what graphs really compute of their constants; more than a few operations deep is not looked into.
_OPERATIONS: Dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Add": np.add,
    "AddV2": np.add,
    "ExpandDims": lambda value, axis: np.expand_dims(value, int(axis)),
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "RealDiv": np.divide,
    "Reshape": lambda value, shape: np.reshape(value, [int(size) for size in shape]),
    "Sub": np.subtract,
}
_DEEPEST = 8


def constant_value(graph: GraphIndex, tensor: Tensor, depth: int = 0) -> Optional[np.ndarray]:
    """The tensor's value where it is constant: a Const, or arithmetic on constants; else None.

    A PlaceholderWithDefault that is no input of the model is never fed, so its default is its value.
    """
    tensor = graph.seen_through(tensor)
    node = graph.node(tensor.node)
    if tensor.output or depth > _DEEPEST or graph.is_fed(node.name):
        return None
    if node.op == "Const":
        return graph.array(node.name)
    if node.op in FORWARDING or node.op == "PlaceholderWithDefault":
        return constant_value(graph, graph.data_inputs(node.name)[0], depth + 1)
    if node.op not in _OPERATIONS:
        return None
    return _computed(graph, node, depth)


def _computed(graph: GraphIndex, node: Any, depth: int) -> Optional[np.ndarray]:
    operands = []
    for operand in graph.data_inputs(node.name):
        value = constant_value(graph, operand, depth + 1)
        if value is None:
            return None
        operands.append(value)
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(_OPERATIONS[node.op](*operands))
    except (TypeError, ValueError):
        return None  # The shapes do not fit, so TensorFlow would not compute it either.
    return result.astype(operands[0].dtype, copy=False)
