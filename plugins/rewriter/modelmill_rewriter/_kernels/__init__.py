"""TensorFlow's operations computed with NumPy, for what graphs really compute of constants.

Each module has a family of operations. A kernel checks what TensorFlow's checks, says how large its result will be
before it makes it, and gives the dtype that TensorFlow gives: integers, sums, differences, products, comparisons and
all that only moves elements come out as TensorFlow's to the bit, other floats as near as its own kernels on two
machines are to each other. There is none here for what is random, has a state, or is left in the graph on purpose.
"""

from typing import Dict, Sequence, Tuple

import numpy as np
from modelmill_worker import graph_def, tensor_types, tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter._kernels import arrays, elementwise, reductions
from modelmill_rewriter._kernels._call import Call, ComputationError, Kernel, TooLargeError

_KERNELS: Dict[str, Kernel] = {}
for _family in (elementwise.KERNELS, arrays.KERNELS, reductions.KERNELS):
    _KERNELS.update(_family)

__all__ = ["OPERATIONS", "ComputationError", "TooLargeError", "compute", "result_type"]

#: What `compute` knows.
OPERATIONS = frozenset(_KERNELS)


def compute(node: NodeDef, operands: Sequence[np.ndarray], largest: int) -> Tuple[np.ndarray, ...]:
    """The values of a node's outputs, from the values of its data inputs.

    largest: how many bytes one output may take.
    Of bfloat16, which NumPy does not have, operands and results come as float32; a result is rounded as bfloat16 is.

    Raises ComputationError, and TooLargeError, which is one.
    """
    if node.op not in _KERNELS:
        raise ComputationError("nothing here computes {}".format(node.op))
    try:
        with np.errstate(all="ignore"):
            results = _KERNELS[node.op](Call(node, operands, largest))
    except (IndexError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise ComputationError("its inputs do not fit: {}".format(error)) from error
    return tuple(_rounded(node, output, np.asarray(result)) for output, result in enumerate(results))


def result_type(node: NodeDef, output: int, result: np.ndarray) -> tensors.DataType:
    """The data type of what `compute` gave for an output: NumPy's, or what NumPy holds it for, such as qint8."""
    told = tensor_types.output_dtype(node, output)
    if told != "unknown":
        kind = tensors.data_type_named(told)
        held = "<f4" if kind is tensors.BFLOAT16 else kind.storage
        if held is not None and np.dtype(held) == result.dtype:
            return kind
    return tensors.data_type_of(result.dtype)


def _rounded(node: NodeDef, output: int, result: np.ndarray) -> np.ndarray:
    if result.dtype != np.float32 or result_type(node, output, result) is not tensors.BFLOAT16:
        return result
    return graph_def.constant_value(graph_def.new_constant("rounded", result, tensors.BFLOAT16))
