"""The values of tensors that are the same whenever the model runs."""

from typing import Any, List, Optional

import numpy as np

from modelmill_rewriter._kernels import OPERATIONS, ComputationError, compute
from modelmill_rewriter._operations import FORWARDING
from modelmill_rewriter._tensor import Tensor

#: Rules ask for what people write by hand; more than a few operations deep is not looked into.
_DEEPEST = 8
#: How many bytes a value may take that is not in the graph as it is, unless what it is computed from takes as many.
_LARGEST = 10 * 2**20
#: They hand on their first input; a PlaceholderWithDefault does where nobody feeds it.
_HANDING_ON = FORWARDING | frozenset(["PlaceholderWithDefault"])


def constant_value(graph: Any, tensor: Tensor) -> Optional[np.ndarray]:
    """The tensor's value where it is constant: a Const, or what is computed of constants; else None.

    A PlaceholderWithDefault that is no input of the model is never fed, so its default is its value.
    """
    # Weights are decoded only where all that is computed with them is constant: that takes memory.
    return _computed(graph, tensor) if _is_constant(graph, tensor, 0) else None


def _is_constant(graph: Any, tensor: Tensor, depth: int) -> bool:
    """Whether a tensor depends on constants only, by what can be computed."""
    tensor = graph.seen_through(tensor)
    node = graph.node(tensor.node)
    if depth > _DEEPEST or graph.is_fed(node.name):
        return False
    if node.op == "Const":
        return True
    operands = graph.data_inputs(node.name)
    if node.op in _HANDING_ON:
        operands = operands[:1]
    elif node.op not in OPERATIONS:
        return False
    return bool(operands) and all(_is_constant(graph, operand, depth + 1) for operand in operands)


def _computed(graph: Any, tensor: Tensor) -> Optional[np.ndarray]:
    tensor = graph.seen_through(tensor)
    node = graph.node(tensor.node)
    if node.op == "Const":
        return graph.array(node.name)
    if node.op in _HANDING_ON:
        return _computed(graph, graph.data_inputs(node.name)[0])
    operands: List[np.ndarray] = []
    for operand in graph.data_inputs(node.name):
        value = _computed(graph, operand)
        if value is None:
            return None
        operands.append(value)
    try:
        results = compute(node, operands, max(_LARGEST, sum(operand.nbytes for operand in operands)))
    except ComputationError:
        return None
    return results[tensor.output] if tensor.output < len(results) else None
