"""The edge ``export``: from a frozen graph to ``model.json``, its weight shards and its signature."""

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Tuple

from modelmill_worker import Step, StepError, lookup_tables, option, unfrozen_variables, weights_beside
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

from modelmill_tfjs_exporter import graph_model
from modelmill_tfjs_exporter.generations import GENERATIONS, Generation, generation_of
from modelmill_tfjs_exporter.refusals import export_refused, outputs_lost
from modelmill_tfjs_exporter.request import Request
from modelmill_tfjs_exporter.tensorflowjs_import import import_converter, installed_version

#: What an export may cost by nature: the largest error of an output, relative to that output's range.
#:
#: none: float32 sums in another order, and folded biases and batch normalisations. The worst seen on MTCNN and
#:     PoseNet (31 layers) is 7e-6; 1e-4 leaves room for deeper nets.
#: float16: a weight moves by up to 2^-11 = 5e-4 of itself; the worst element seen is off by 0.016.
#: uint16: a weight moves by up to half a step of 1/65535 of its tensor's range; 0.021.
#: uint8: half a step of 1/255; 0.07 on MTCNN. PoseNet is off by 0.65, with a cosine similarity of 0.42, because the
#:     channels of a depthwise layer share one range: that must fail.
EXPECTED_ERROR = {"none": 1e-4, "float16": 0.05, "uint16": 0.05, "uint8": 0.25}

#: What becomes of numpy's types in TensorFlow.js, which has float32, int32, bool, string and complex64.
_TYPES = {
    "float16": "float32",
    "float64": "float32",
    "uint8": "int32",
    "int8": "int32",
    "uint16": "int32",
    "int16": "int32",
    "int64": "int32",
}


@dataclass(frozen=True)
class Export:
    """Options of the edge ``export``."""

    weight_quantization: str = option(
        "none",
        "How weights are stored; they are float32 again when the model runs.",
        choices=("none", "float16", "uint16", "uint8"),
    )
    shard_size: int = option(4 * 1024 * 1024, "Largest size of one file of weights, in bytes.")
    skip_op_check: bool = option(
        False,
        "Export operations that TensorFlow.js does not know; the page must register them before it runs the model.",
    )


def export(step: Step) -> Dict[str, Any]:
    """Write the graph model and ``signature.json``; tell its operators, what was fused and the size."""
    if step.options.shard_size < 1:
        raise StepError(
            "INVALID_OPTION",
            "The option shard_size cannot be {}: give a size of at least one byte.".format(step.options.shard_size),
            {"option": "shard_size", "value": step.options.shard_size},
        )
    version = installed_version()
    generation = generation_of(version)
    _check_quantization(step.options.weight_quantization, generation, version)
    model = step.inputs["model"].path
    signature = signatures.read(model)
    weights_beside.refuse(model, "a TensorFlow.js model", "Export a part of it: choose outputs that need less of it.")
    lookup_tables.refuse(signature, "a TensorFlow.js graph model here", "Look up before the model, in the page.")
    unfrozen_variables.refuse(signature, "a TensorFlow.js graph model")
    request = Request(
        graph=model / "graph.pb",
        outputs=tuple(tensor.tensor for tensor in signature.outputs),
        folder=step.output,
        weight_quantization=step.options.weight_quantization,
        shard_size=step.options.shard_size,
        skip_op_check=step.options.skip_op_check,
    )
    step.progress(0.1, "exporting")
    _convert(request, generation, version)

    step.progress(0.9, "reading back")
    topology = graph_model.read(step.output)
    lost = [tensor.name for tensor in signature.outputs if tensor.tensor.split(":")[0] not in topology.nodes]
    if lost:
        raise outputs_lost(lost, version)
    signatures.write(step.output, _signature_of(signature).costing(EXPECTED_ERROR[request.weight_quantization]))
    return {
        "converter": topology.converter or "TensorFlow.js Converter v{}".format(version),
        "tensorflow": topology.tensorflow or _tensorflow_version(),
        "weight_quantization": request.weight_quantization,
        "size": sum(path.stat().st_size for path in step.output.iterdir() if path.name != signatures.FILE_NAME),
        "shards": len(topology.shards),
        "operators": topology.operators,
        "fused": topology.fused,
        "notes": _notes(generation, version),
    }


def _check_quantization(chosen: str, generation: Generation, version: str) -> None:
    if chosen in generation.weight_quantizations:
        return
    since = [row.since for row in GENERATIONS if chosen in row.weight_quantizations]
    raise StepError(
        "INVALID_OPTION",
        "tensorflowjs {} cannot store weights as {}. Choose {} for weight_quantization, or export with "
        "tensorflowjs {}.{} or newer.".format(version, chosen, ", ".join(generation.weight_quantizations), *min(since)),
        {"option": "weight_quantization", "value": chosen, "tensorflowjs": version},
    )


def _convert(request: Request, generation: Generation, version: str) -> None:
    converter = import_converter(generation)
    # What tensorflowjs raises has no common base; an unsupported operation is a plain ValueError.
    try:
        generation.convert(converter, request)
    except Exception as error:
        raise export_refused(error, request.graph, version) from error


def _tensorflow_version() -> str:
    import tensorflow as tf

    return str(tf.__version__)


def _notes(generation: Generation, version: str) -> List[str]:
    if not generation.lacks:
        return []
    return [
        "tensorflowjs {} writes a model.json without {}; inputs and outputs are told in signature.json.".format(
            version, " and ".join((", ".join(generation.lacks[:-1]), generation.lacks[-1]))
        )
    ]


def _signature_of(source: Signature) -> Signature:
    """The same names and tensors, in TensorFlow.js's types."""
    return replace(source, inputs=_retype(source.inputs), outputs=_retype(source.outputs))


def _retype(tensors: Tuple[Tensor, ...]) -> Tuple[Tensor, ...]:
    return tuple(replace(tensor, dtype=_TYPES.get(tensor.dtype, tensor.dtype)) for tensor in tensors)
