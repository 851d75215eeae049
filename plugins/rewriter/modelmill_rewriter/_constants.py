"""The values of tensors that are the same whenever the model runs."""

from typing import Any, List, Optional

import numpy as np

from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._kernels import OPERATIONS, ComputationError, compute
from modelmill_rewriter._operations import FORWARDING
from modelmill_rewriter._tensor import Tensor

#: Rules ask for what people write by hand; more than a few operations deep is not looked into.
_DEEPEST = 8
#: How many bytes a value may take that is not in the graph as it is.
_LARGEST = 10 * 2**20


def constant_value(graph: GraphIndex, tensor: Tensor, depth: int = 0) -> Optional[np.ndarray]:
    """The tensor's value where it is constant: a Const, or what is computed of constants; else None.

    A PlaceholderWithDefault that is no input of the model is never fed, so its default is its value.
    """
    tensor = graph.seen_through(tensor)
    node = graph.node(tensor.node)
    if depth > _DEEPEST or graph.is_fed(node.name):
        return None
    if node.op == "Const":
        return graph.array(node.name)
    if node.op in FORWARDING or node.op == "PlaceholderWithDefault":
        return constant_value(graph, graph.data_inputs(node.name)[0], depth + 1)
    if node.op not in OPERATIONS:
        return None
    return _computed(graph, node, tensor.output, depth)


def _computed(graph: GraphIndex, node: Any, output: int, depth: int) -> Optional[np.ndarray]:
    operands: List[np.ndarray] = []
    for operand in graph.data_inputs(node.name):
        value = constant_value(graph, operand, depth + 1)
        if value is None:
            return None
        operands.append(value)
    try:
        results = compute(node, operands, _LARGEST)
    except ComputationError:
        return None
    return results[output] if output < len(results) else None
