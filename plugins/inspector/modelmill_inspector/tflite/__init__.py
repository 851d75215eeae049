"""TFLite models: what a .tflite says of itself, read as data, with nothing of it run and no weights copied."""

import math
import mmap
import struct
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from modelmill_worker.errors import StepError
from modelmill_worker.flatbuffer import FlatbufferError

from modelmill_inspector import edgetpu
from modelmill_inspector.tflite import _operators
from modelmill_inspector.tflite._activations import describe_activations
from modelmill_inspector.tflite._arena import estimate_arena
from modelmill_inspector.tflite._costs import describe_costs
from modelmill_inspector.tflite._metadata import describe_metadata, read_runtime_version
from modelmill_inspector.tflite._model import ABSENT, Model, Operator, Quantisation, Subgraph, Tensor, read_model
from modelmill_inspector.tflite._picture import nodes_of
from modelmill_inspector.tflite._quantisation import describe_quantisation
from modelmill_inspector.tflite._runtime_version import describe_runtime_version

__all__ = ["describe_tflite", "draw_tflite"]

#: How much of each list a report has.
_SUBGRAPHS, _OPERATORS, _TENSORS, _SIGNATURES = 50, 300, 300, 20
#: Of how many channels the smallest and largest scale are told.
_CHANNELS = 4096
#: How many tensors an operator's or an end's list names.
_ENDS = 50
#: Operators that run subgraphs, by what they do.
_LOOPS = frozenset(("WHILE", "STABLEHLO_WHILE"))
_CONDITIONS = frozenset(("IF", "STABLEHLO_CASE"))


def describe_tflite(path: Path, name: str) -> Tuple[str, Dict[str, Any]]:
    """The kind of a .tflite ("tflite", or "tflite.edgetpu" where it was compiled for an Edge TPU), and its facts.

    name: how errors call the file.

    inputs, outputs: by the names of the first signature of the first subgraph, else by the tensors' own.
    nodes, operations: operators of all subgraphs, counted and by name; custom ones have their own name.
    parameters, parameters_by_dtype, parameter_bytes: of all constants, also of those that are no weights, as shapes.
    subgraphs: [{"name", "inputs", "outputs", "operators", "tensors"}]: of the ends the tensors' indices, else counts;
        at most 50 (`subgraphs_count`).
    operators: [{"subgraph", "index", "op", "version", "custom"?, "activation"?, "inputs", "outputs", "subgraphs"?}],
        at most 300 (`operators_count`); inputs and outputs are indices of tensors, -1 for one left out.
    operator_versions: [{"op", "version", "custom", "count"}], all of them.
    custom_operators: {name: count}; those named Flex... run TensorFlow's kernels, and are in `flex_operators` instead.
    tensors: [{"subgraph", "index", "name", "dtype", "shape", "constant_bytes"?, "variable"?, "sparse"?,
        "quantisation"?: {"scale", "zero_point"} or, by channel, {"channels", "dimension", "scales": [smallest,
        largest], "zero_points": [smallest, largest]}, with "range": [minimum, maximum] where told}], at most 300
        (`tensors_count`).
    signatures: [{"key", "subgraph", "inputs": [tensor], "outputs": [tensor]}], at most 20 (`signatures_count`).
    control_flow: {"v1": 0, "v2", "loops", "conditions"}.
    unused_buffers: {"count", "bytes"}: what nothing refers to.
    activations, quantisation, runtime_version, arena, metadata, costs: as their own functions say; `arena_bytes` is
        arena's `bytes`.
    edgetpu: as modelmill_inspector.edgetpu says, where the file was compiled.

    Raises StepError TFLITE_DAMAGED.
    """
    with _read(path, name) as (data, model):
        facts = _facts(data, model)
        facts["runtime_version"] = describe_runtime_version(model, read_runtime_version(data, model))
        facts["metadata"] = describe_metadata(data, model, path)
        compiled = _compiled(model)
        if compiled:
            facts["edgetpu"] = edgetpu.describe_compiled(data, compiled)
    facts["description"] = _sentence(name, facts)
    return "tflite.edgetpu" if compiled else "tflite", facts


def draw_tflite(path: Path, name: str) -> List[Dict[str, Any]]:
    """The nodes of a picture, as tflite._picture.nodes_of says. Raises StepError TFLITE_DAMAGED."""
    with _read(path, name) as (_, model):
        return list(nodes_of(model))


@contextmanager
def _read(path: Path, name: str) -> Iterator[Tuple[Any, Model]]:
    """The bytes of a .tflite and the model in them; what is wrong with either is a StepError."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data, read_model(data)
    except FlatbufferError as error:
        raise StepError(
            "TFLITE_DAMAGED",
            "{} cannot be read as a TFLite model: {}. Was it copied whole? Else convert it again.".format(name, error),
            {"file": name, "error": str(error)},
        ) from error


def _facts(data: Any, model: Model) -> Dict[str, Any]:
    arena = estimate_arena(model)
    facts = {
        "nodes": sum(len(graph.operators) for graph in model.subgraphs),
        "subgraphs": [_subgraph(graph) for graph in model.subgraphs[:_SUBGRAPHS]],
        "subgraphs_count": len(model.subgraphs),
        "signatures_count": len(model.signatures),
        "activations": describe_activations(model),
        "quantisation": describe_quantisation(model),
        "arena": arena,
        "arena_bytes": arena["bytes"],
        "costs": describe_costs(model),
        "unused_buffers": _unused_buffers(model),
    }
    for part in (_ends(model), _operator_facts(model), _tensor_facts(data, model), _parameters(model)):
        facts.update(part)
    return facts


def _compiled(model: Model) -> List[Tuple[int, int]]:
    """Where the payloads of the operators that an Edge TPU runs lie; empty where the model was not compiled for one."""
    return [
        operator.custom_options or (0, 0)
        for graph in model.subgraphs
        for operator in graph.operators
        if operator.code.custom and operator.code.name == edgetpu.OPERATOR
    ]


def _subgraph(graph: Subgraph) -> Dict[str, Any]:
    return {
        "name": graph.name,
        "inputs": list(graph.inputs[:_ENDS]),
        "outputs": list(graph.outputs[:_ENDS]),
        "operators": len(graph.operators),
        "tensors": len(graph.tensors),
    }


def _ends(model: Model) -> Dict[str, Any]:
    """Inputs and outputs of the model, and its signatures."""
    main = model.subgraphs[0]
    inputs = [("", index) for index in main.inputs if index != ABSENT]
    outputs = [("", index) for index in main.outputs if index != ABSENT]
    for signature in model.signatures:
        if signature.subgraph == 0:
            inputs = _in_order(inputs, signature.inputs)
            outputs = _in_order(outputs, signature.outputs)
            break
    signatures = [
        {
            "key": signature.key,
            "subgraph": signature.subgraph,
            "inputs": [_end(model.subgraphs[signature.subgraph], *one) for one in signature.inputs[:_ENDS]],
            "outputs": [_end(model.subgraphs[signature.subgraph], *one) for one in signature.outputs[:_ENDS]],
        }
        for signature in model.signatures[:_SIGNATURES]
    ]
    return {
        "inputs": [_end(main, *one) for one in inputs],
        "outputs": [_end(main, *one) for one in outputs],
        "signatures": signatures,
    }


def _in_order(ends: List[Tuple[str, int]], named: Tuple[Tuple[str, int], ...]) -> List[Tuple[str, int]]:
    """The subgraph's ends with a signature's names; those that it does not name keep their own."""
    names = {index: name for name, index in named}
    return [(names.get(index, ""), index) for _, index in ends]


def _end(graph: Subgraph, name: str, index: int) -> Dict[str, Any]:
    tensor = graph.tensors[index]
    return {
        "name": name or tensor.name or "tensor_{}".format(index),
        "tensor": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.signature),
    }


def _operator_facts(model: Model) -> Dict[str, Any]:
    everyone = [(number, one) for number, graph in enumerate(model.subgraphs) for one in graph.operators]
    operations = Counter(operator.code.name for _, operator in everyone)
    versions = Counter(operator.code for _, operator in everyone)
    custom = Counter(operator.code.name for _, operator in everyone if operator.code.custom)
    flex = {name: count for name, count in custom.items() if name.startswith(_operators.FLEX_PREFIX)}
    return {
        "operations": dict(sorted(operations.items())),
        "operators": [_operator(number, operator) for number, operator in everyone[:_OPERATORS]],
        "operators_count": len(everyone),
        "operator_versions": [
            {"op": code.name, "version": code.version, "custom": code.custom, "count": count}
            for code, count in sorted(versions.items(), key=lambda item: (item[0].name, item[0].version))
        ],
        "custom_operators": {name: count for name, count in sorted(custom.items()) if name not in flex},
        "flex_operators": dict(sorted(flex.items())),
        "control_flow": {
            "v1": 0,
            "v2": sum(bool(operator.subgraphs) for _, operator in everyone),
            "loops": sum(operator.code.name in _LOOPS for _, operator in everyone),
            "conditions": sum(operator.code.name in _CONDITIONS for _, operator in everyone),
        },
    }


def _operator(subgraph: int, operator: Operator) -> Dict[str, Any]:
    found: Dict[str, Any] = {
        "subgraph": subgraph,
        "index": operator.index,
        "op": operator.code.name,
        "version": operator.code.version,
        "inputs": list(operator.inputs[:_ENDS]),
        "outputs": list(operator.outputs[:_ENDS]),
    }
    if operator.code.custom:
        found["custom"] = True
    if operator.activation:
        found["activation"] = operator.activation
    if operator.subgraphs:
        found["subgraphs"] = list(operator.subgraphs)
    return found


def _tensor_facts(data: Any, model: Model) -> Dict[str, Any]:
    everyone = [(number, one) for number, graph in enumerate(model.subgraphs) for one in graph.tensors]
    return {
        "tensors": [_tensor(data, number, tensor) for number, tensor in everyone[:_TENSORS]],
        "tensors_count": len(everyone),
    }


def _tensor(data: Any, subgraph: int, tensor: Tensor) -> Dict[str, Any]:
    found: Dict[str, Any] = {
        "subgraph": subgraph,
        "index": tensor.index,
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.signature),
    }
    if tensor.constant:
        found["constant_bytes"] = tensor.constant_bytes
    for key, holds in (("variable", tensor.variable), ("sparse", tensor.sparse)):
        if holds:
            found[key] = True
    if tensor.quantisation:
        found["quantisation"] = _quantisation(data, tensor.quantisation)
    return found


def _quantisation(data: Any, quantisation: Quantisation) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    scales, zero_points = _numbers(data, "f", *quantisation.scales), _numbers(data, "q", *quantisation.zero_points)
    if quantisation.channels == 1:
        found["scale"] = _finite(scales[0])
        found["zero_point"] = zero_points[0] if zero_points else 0
    elif quantisation.channels:
        found["channels"], found["dimension"] = quantisation.channels, quantisation.dimension
        found["scales"] = [_finite(min(scales)), _finite(max(scales))]
        found["zero_points"] = [min(zero_points, default=0), max(zero_points, default=0)]
    if quantisation.minimum and quantisation.maximum:
        found["range"] = [_finite(quantisation.minimum[0]), _finite(quantisation.maximum[0])]
    return found


def _numbers(data: Any, code: str, start: int, count: int) -> Tuple[Any, ...]:
    return struct.unpack_from("<{}{}".format(min(count, _CHANNELS), code), data, start)


def _finite(number: float) -> Optional[float]:
    """The number; None for infinities and what is no number, which JSON has no words for."""
    return number if math.isfinite(number) else None


def _parameters(model: Model) -> Dict[str, Any]:
    """A buffer that several tensors share counts once."""
    seen = set()
    elements: Counter = Counter()  # type: ignore[type-arg]
    size = 0
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.constant and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                elements[tensor.dtype] += tensor.elements
                size += tensor.constant_bytes
    return {
        "parameters": sum(elements.values()),
        "parameters_by_dtype": dict(sorted(elements.items())),
        "parameter_bytes": size,
    }


def _unused_buffers(model: Model) -> Dict[str, int]:
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors} | set(model.metadata.values())
    sizes = [size for index, (_, size) in enumerate(model.buffers) if size and index not in used]
    return {"count": len(sizes), "bytes": sum(sizes)}


def _sentence(name: str, facts: Dict[str, Any]) -> str:
    sides = [", ".join(end["name"] for end in facts[side][:5]) or "nothing" for side in ("inputs", "outputs")]
    if "edgetpu" in facts:
        told = facts["edgetpu"]
        what = "compiled for the Edge TPU, {:,} bytes of parameters on its chip and {:,} sent to it".format(
            told["on_chip_bytes"], told["off_chip_bytes"]
        )
    else:
        what = facts["quantisation"]["scheme"].replace("_", " ")
    return "{} is a TensorFlow Lite model ({}) of {:,} operators and {:,} parameters: {} -> {}".format(
        name, what, facts["nodes"], facts["parameters"], *sides
    )
