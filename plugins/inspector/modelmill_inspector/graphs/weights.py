"""The numbers that a model has learnt: constants and variables, by data type."""

from collections import Counter
from typing import Any, Dict, Sequence

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef

#: How many variables are listed.
_LISTED = 50


def describe_weights(nodes: Sequence[NodeDef]) -> Dict[str, Any]:
    """`parameters`, `parameters_by_dtype`, `parameter_bytes`, `constants` and `variables` of these nodes.

    A parameter is an element of a variable, or of a constant of floats that is no scalar; `constant_elements` counts
    those of every constant, as TensorFlow's summarize_graph does. `variable_list` has at most 50.
    """
    by_dtype: Dict[str, int] = Counter()
    constants = 0
    for node in nodes:
        elements = _elements(node)
        if elements:
            by_dtype[_dtype(node)] += elements
        if node.op == "Const":
            constants += tensors.element_count(tensors.decode_shape(node.attr["value"].tensor.tensor_shape))
    variables = [node for node in nodes if node.op in graph_def.VARIABLES]
    return {
        "parameters": sum(by_dtype.values()),
        "parameters_by_dtype": dict(sorted(by_dtype.items())),
        "parameter_bytes": sum(count * item_size(dtype) for dtype, count in by_dtype.items()),
        "constant_elements": constants,
        "variable_elements": sum(_elements(node) for node in variables),
        "variables": len(variables),
        "variable_list_count": len(variables),
        "variable_list": [
            {"name": node.name, "dtype": _dtype(node), "shape": _listed(node.attr["shape"].shape)}
            for node in variables[:_LISTED]
        ],
    }


def item_size(dtype: str) -> int:
    """Bytes of an element; 0 for strings, handles and what is not known."""
    storage = tensors.storage_of(dtype)
    return np.dtype(storage).itemsize if storage else 0


def _listed(shape: Any) -> Any:
    decoded = tensors.decode_shape(shape)
    return None if decoded is None else list(decoded)


def _dtype(node: NodeDef) -> str:
    return tensors.data_type(node.attr["dtype"].type).name


def _elements(node: NodeDef) -> int:
    """How many weights a node holds: a variable's elements, or those of a constant of floats that is no scalar."""
    if node.op in graph_def.VARIABLES:
        return tensors.element_count(tensors.decode_shape(node.attr["shape"].shape))
    if node.op != "Const":
        return 0
    tensor = node.attr["value"].tensor
    shape = tensors.decode_shape(tensor.tensor_shape)
    weights = tensors.data_type(tensor.dtype).name in tensors.FLOATING and shape != ()
    return tensors.element_count(shape) if weights else 0
