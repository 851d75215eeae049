"""What running a .tflite costs: multiply-adds by operator, and bytes of activations: the fact `costs`."""

from collections import Counter
from typing import Any, Callable, Dict, List, Optional

from modelmill_inspector.tflite._arena import lifetimes
from modelmill_inspector.tflite._model import ABSENT, Model, Operator, Subgraph, Tensor, count_elements

#: How many operators are listed, those that cost most first.
_LISTED = 50
#: Operators that multiply and add, and are not counted.
_UNCOUNTED = frozenset(
    ("BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "LSTM", "RNN", "SVDF", "UNIDIRECTIONAL_SEQUENCE_RNN")
    + ("CONV_3D_TRANSPOSE", "STABLEHLO_CONVOLUTION", "STABLEHLO_DOT_GENERAL", "STABLEHLO_COMPOSITE", "RFFT2D")
)
#: The inputs of a UNIDIRECTIONAL_SEQUENCE_LSTM that are matrices: of the input, of the state, of the projection.
_LSTM_MATRICES = (1, 2, 3, 4, 5, 6, 7, 8, 16)


def describe_costs(model: Model) -> Dict[str, Any]:
    """The fact `costs` of the subgraph that runs; of those that it calls, each once in `multiply_adds`.

    input_shapes: by the inputs' names, with 1 for what is unknown; the counts hold for these.
    multiply_adds: of convolutions, fully connected layers and matrix products.
    activation_bytes: the outputs of all operators; peak_activation_bytes: the most that is needed at once.
    nodes: [{"name": the first output's, "op", "multiply_adds", "output_bytes", "shapes"}], at most 50.
    uncounted: operators that multiply too and are not counted, by name: recurrent ones, custom ones.
    """
    nodes: List[Dict[str, Any]] = []
    uncounted: Counter = Counter()  # type: ignore[type-arg]
    total, size = 0, 0
    for graph in model.subgraphs:
        for operator in graph.operators:
            outputs = [graph.tensors[index] for index in operator.outputs if index != ABSENT]
            count = multiply_adds(graph, operator)
            if count is None:
                uncounted[operator.code.name] += 1
            written = sum(tensor.bytes for tensor in outputs)
            total += count or 0
            size += written
            nodes.append(
                {
                    "name": outputs[0].name if outputs else "",
                    "op": operator.code.name,
                    "multiply_adds": count or 0,
                    "output_bytes": written,
                    "shapes": [list(tensor.shape) for tensor in outputs],
                }
            )
    nodes.sort(key=lambda node: (-node["multiply_adds"], -node["output_bytes"]))
    main = model.subgraphs[0]
    inputs = [main.tensors[index] for index in main.inputs if index != ABSENT]
    return {
        "input_shapes": {tensor.name: [max(size, 1) for size in tensor.shape] for tensor in inputs},
        "multiply_adds": total,
        "activation_bytes": size,
        "peak_activation_bytes": max(_peak(graph) for graph in model.subgraphs),
        "nodes": nodes[:_LISTED],
        "uncounted": dict(sorted(uncounted.items())),
    }


def multiply_adds(graph: Subgraph, operator: Operator) -> Optional[int]:
    """Of one operator; None where it multiplies and is not counted, or lacks what tells the number.

    Filters are [out, height, width, in] in CONV_2D and TRANSPOSE_CONV, [1, height, width, out] in DEPTHWISE_CONV_2D,
    [depth, height, width, in, out] in CONV_3D, and [out, in] in FULLY_CONNECTED.
    """
    name = operator.code.name
    if operator.code.custom or name in _UNCOUNTED:
        return None
    if name not in _COUNTED:
        return 0
    inputs = [None if index == ABSENT else graph.tensors[index] for index in operator.inputs]
    outputs = [graph.tensors[index] for index in operator.outputs if index != ABSENT]
    try:
        return _COUNTED[name](operator, inputs, outputs[0].elements)
    except (AttributeError, IndexError):
        return None


def _of_lstm(_: Operator, inputs: List[Any], __: int) -> int:
    """Every step multiplies each matrix once: the steps and the batch are the input's first two dimensions."""
    matrices: List[Tensor] = [inputs[index] for index in _LSTM_MATRICES if index < len(inputs) and inputs[index]]
    return count_elements(inputs[0].shape[:-1]) * sum(matrix.elements for matrix in matrices)


#: Operator, its inputs (None for one left out) and the elements of its output -> multiply-adds.
_COUNTED: Dict[str, Callable[[Operator, List[Any], int], int]] = {
    "CONV_2D": lambda _, inputs, written: written * count_elements(inputs[1].shape[1:]),
    "DEPTHWISE_CONV_2D": lambda _, inputs, written: written * count_elements(inputs[1].shape[1:3]),
    "TRANSPOSE_CONV": lambda _, inputs, __: int(inputs[2].elements) * count_elements(inputs[1].shape[:3]),
    "CONV_3D": lambda _, inputs, written: written * count_elements(inputs[1].shape[:4]),
    "FULLY_CONNECTED": lambda _, inputs, written: written * max(inputs[1].shape[-1], 1),
    "BATCH_MATMUL": lambda operator, inputs, written: (
        written * max(inputs[0].shape[-2 if operator.adjoint_x else -1], 1)
    ),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _of_lstm,
}


def _peak(graph: Subgraph) -> int:
    """The most bytes that are needed at once, while one operator runs."""
    changes: Counter = Counter()  # type: ignore[type-arg]
    for block in lifetimes(graph):
        changes[block.first] += block.size
        changes[block.last + 1] -= block.size
    now, most = 0, 0
    for moment in sorted(changes):
        now += changes[moment]
        most = max(most, now)
    return most
