"""What of a .tflite is quantised, and how: the fact `quantisation`."""

from collections import Counter
from typing import Any, Dict, List, Tuple

from modelmill_inspector.tflite._model import ABSENT, Model, Operator, Subgraph, Tensor

#: Operators that lead from floats to integers or back; what they have of floats is no rest.
_BORDERS = frozenset(("QUANTIZE", "DEQUANTIZE"))
#: How many float tensors are listed.
_LISTED = 50


def describe_quantisation(model: Model) -> Dict[str, Any]:
    """The fact `quantisation` of a .tflite.

    scheme: what was done to the model as a whole:
        "float32"; "float16" (weights are stored so); "weight_only" (integer weights, made floats before they are used);
        "dynamic_range" (integer weights used by operators that compute with floats); "int8", "uint8" (weights and
        activations); "int16x8" (activations of 16 bits).
    inputs, outputs: the dtypes of the model's ends.
    per_channel_tensors, per_tensor_tensors: how many tensors have scales, by channel or one for all.
    integer_operators, float_operators: how many operators compute with quantised integers, and with floats.
    float_tensors: of a model with quantised activations, the floats that are left between operators:
        [{"name", "subgraph", "dtype", "shape", "from": operator or "", "to": [operators]}], at most 50, and in
        `float_tensors_count` how many there are. The model's own inputs and outputs, and what stands between them
        and a QUANTIZE or DEQUANTIZE, are not among them.
    weights: bytes of constants by dtype, of those that hold numbers to compute with (floats and quantised integers).
    """
    operators = [(graph, operator) for graph in model.subgraphs for operator in graph.operators]
    computing = [(graph, operator) for graph, operator in operators if operator.code.name not in _BORDERS]
    activations: Counter = Counter()  # type: ignore[type-arg]
    for graph, operator in computing:
        activations.update({kind for kind in _kinds(graph, operator.outputs) if kind})
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    scheme = _scheme(model, activations)
    main = model.subgraphs[0]
    rest = _float_rest(model) if scheme in ("int8", "uint8", "int16x8") else []
    return {
        "scheme": scheme,
        "inputs": [main.tensors[index].dtype for index in main.inputs if index != ABSENT],
        "outputs": [main.tensors[index].dtype for index in main.outputs if index != ABSENT],
        "per_channel_tensors": sum(_channels(tensor) > 1 for tensor in tensors),
        "per_tensor_tensors": sum(_channels(tensor) == 1 for tensor in tensors),
        "integer_operators": sum(activations[kind] for kind in activations if kind != "float"),
        "float_operators": activations["float"],
        "float_tensors": rest[:_LISTED],
        "float_tensors_count": len(rest),
        "weights": _weights(model),
    }


def _channels(tensor: Tensor) -> int:
    return tensor.quantisation.channels if tensor.quantisation else 0


def _kinds(graph: Subgraph, indices: Tuple[int, ...]) -> List[str]:
    """Of each tensor: "float", the dtype of one that is quantised, or "" for others such as indices."""
    tensors = [graph.tensors[index] for index in indices if index != ABSENT]
    return ["float" if one.is_float else one.dtype if one.is_quantised else "" for one in tensors]


def _scheme(model: Model, activations: Dict[str, int]) -> str:
    integers = {kind: count for kind, count in activations.items() if kind != "float"}
    if integers:
        most = max(sorted(integers), key=lambda kind: integers[kind])
        return {"int16": "int16x8", "uint8": "uint8"}.get(most, "int8")
    hybrid, restored, half = False, False, False
    for graph in model.subgraphs:
        for operator in graph.operators:
            constants = [graph.tensors[index] for index in operator.inputs if index != ABSENT]
            constants = [tensor for tensor in constants if tensor.constant]
            half = half or any(tensor.dtype in ("float16", "bfloat16") for tensor in constants)
            if any(tensor.is_quantised for tensor in constants):
                restored = restored or operator.code.name == "DEQUANTIZE"
                hybrid = hybrid or operator.code.name != "DEQUANTIZE"
    return "dynamic_range" if hybrid else "weight_only" if restored else "float16" if half else "float32"


def _float_rest(model: Model) -> List[Dict[str, Any]]:
    """Floats that one operator makes and another takes, where a quantised model should have integers."""
    rest = []
    for number, graph in enumerate(model.subgraphs):
        makers = {index: operator for operator in graph.operators for index in operator.outputs}
        takers: Dict[int, List[Operator]] = {}
        for operator in graph.operators:
            for index in operator.inputs:
                takers.setdefault(index, []).append(operator)
        ends = frozenset(graph.inputs + graph.outputs)
        for tensor in graph.tensors:
            if not tensor.is_float or tensor.constant or tensor.index in ends:
                continue
            if tensor.index in makers and tensor.index in takers:
                rest.append(
                    {
                        "name": tensor.name,
                        "subgraph": number,
                        "dtype": tensor.dtype,
                        "shape": list(tensor.signature),
                        "from": makers[tensor.index].code.name,
                        "to": sorted({operator.code.name for operator in takers[tensor.index]}),
                    }
                )
    return rest


def _weights(model: Model) -> Dict[str, int]:
    """Bytes by dtype; a buffer that several tensors share counts once."""
    seen = set()
    found: Counter = Counter()  # type: ignore[type-arg]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            numbers = tensor.is_float or (tensor.quantisation is not None and tensor.quantisation.channels > 0)
            if tensor.constant and numbers and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                found[tensor.dtype] += tensor.constant_bytes
    return dict(sorted(found.items()))
