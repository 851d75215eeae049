"""The edge ``export``: from a frozen graph to ``model.json``, its weight shards and its signature."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Tuple

from modelmill_worker import Step, StepError, option
from modelmill_worker import signature as signatures
from modelmill_worker.errors import TOOL
from modelmill_worker.signature import Signature, Tensor

from modelmill_tfjs_exporter import graph_model
from modelmill_tfjs_exporter.tensorflowjs_import import import_converter

#: At most so many nodes are named in an error; `node_count` tells how many there are.
NODES_SHOWN = 20

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
    model = step.inputs["model"].path
    signature = signatures.read(model)
    step.progress(0.1, "exporting")
    _convert(model / "graph.pb", signature, step)

    step.progress(0.9, "reading back")
    topology = graph_model.read(step.output)
    _check_ends(topology, signature)
    signatures.write(step.output, _signature_of(signature).costing(EXPECTED_ERROR[step.options.weight_quantization]))
    return {
        "converter": topology.converter,
        "tensorflow": topology.tensorflow,
        "weight_quantization": step.options.weight_quantization,
        "size": sum(path.stat().st_size for path in step.output.iterdir() if path.name != signatures.FILE_NAME),
        "shards": len(topology.shards),
        "operators": topology.operators,
        "fused": topology.fused,
    }


def _convert(graph: Path, signature: Signature, step: Step) -> None:
    quantization = step.options.weight_quantization
    converter = import_converter()
    # What tensorflowjs raises has no common base; an unsupported operation is a plain ValueError.
    try:
        converter.convert_tf_frozen_model(
            str(graph),
            ",".join(_array(tensor.tensor) for tensor in signature.outputs),
            str(step.output),
            quantization_dtype_map=None if quantization == "none" else {quantization: True},
            skip_op_check=step.options.skip_op_check,
            weight_shard_size_bytes=step.options.shard_size,
        )
    except Exception as error:
        raise _refused(error, graph) from error


def _array(tensor: str) -> str:
    """A tensor as tensorflowjs names it: without the number of the node's first output."""
    return tensor[:-2] if tensor.endswith(":0") else tensor


def unsupported_operations(text: str) -> List[str]:
    """The operations that tensorflowjs's text says it does not know, sorted."""
    found = re.search(r"Unsupported Ops in the model (?:before|after) optimization\n(.+)", text)
    return sorted(name.strip() for name in found.group(1).split(",")) if found else []


def _refused(error: Exception, graph: Path) -> StepError:
    operations = unsupported_operations(str(error))
    if operations:
        return _unsupported(operations, graph)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[-1] if lines else type(error).__name__
    return StepError(
        "CONVERTER_REFUSED",
        "tensorflowjs refused the graph: {}. The step's log tells more.".format(line.rstrip(".")),
        {"converter": "tensorflowjs", "line": line, "exception": type(error).__name__},
        TOOL,
        str(error),
    )


def _unsupported(operations: List[str], graph: Path) -> StepError:
    nodes = _nodes_of(operations, graph)
    shown = ["{} ({})".format(node["node"], node["operation"]) for node in nodes[:3]]
    where = " at {}{}".format(", ".join(shown), " and others" if len(nodes) > 3 else "") if nodes else ""
    return StepError(
        "UNSUPPORTED_OPERATION",
        "TensorFlow.js has no operator for {}{}. Cut the nodes out of the graph, or set skip_op_check and register "
        "them in the page.".format(", ".join(operations), where),
        {"operations": operations, "nodes": nodes[:NODES_SHOWN], "node_count": len(nodes)},
        TOOL,
    )


def _nodes_of(operations: List[str], path: Path) -> List[Dict[str, str]]:
    """The nodes of the graph, and of the functions it brings, that are of these operations."""
    from modelmill_worker import graph_def

    graph = graph_def.read(path)
    nodes = list(graph.node)
    for function in graph.library.function:
        nodes.extend(function.node_def)
    return [{"node": node.name, "operation": node.op} for node in nodes if node.op in operations]


def _check_ends(topology: graph_model.GraphModel, signature: Signature) -> None:
    """Optimising must not have lost an output."""
    lost = [tensor.name for tensor in signature.outputs if tensor.tensor.split(":")[0] not in topology.nodes]
    if lost:
        raise StepError(
            "CONVERTER_REFUSED",
            "tensorflowjs lost the outputs {} while optimising. Give them an Identity of their own.".format(
                ", ".join(lost)
            ),
            {"converter": "tensorflowjs", "outputs": lost},
            TOOL,
        )


def _signature_of(source: Signature) -> Signature:
    """The same names and tensors, in TensorFlow.js's types."""
    return replace(source, inputs=_retype(source.inputs), outputs=_retype(source.outputs))


def _retype(tensors: Tuple[Tensor, ...]) -> Tuple[Tensor, ...]:
    return tuple(replace(tensor, dtype=_TYPES.get(tensor.dtype, tensor.dtype)) for tensor in tensors)
