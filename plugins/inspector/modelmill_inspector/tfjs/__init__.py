"""TensorFlow.js models: what a model.json says of itself and of the files beside it."""

import json
from typing import Any, Dict, List, Sequence

from modelmill_worker.errors import StepError
from modelmill_worker.source_files import SourceFile

from modelmill_inspector._keras_layers import describe_layers
from modelmill_inspector.tfjs._graph_model import describe_graph_model
from modelmill_inspector.tfjs._manifest import Weight, check_shards, read_groups

__all__ = ["describe_tfjs"]

#: How many weights are listed.
_LISTED = 300
#: What a damaged file raises when it is read as if it were whole.
_WRONG = (AttributeError, KeyError, TypeError, ValueError, RecursionError)


def describe_tfjs(model: SourceFile, file_names: Sequence[str]) -> Dict[str, Any]:
    """The facts of the model.json of a graph model or a layers model.

    file_names: all files of the source; the shards must be among them.

    format: "graph-model" or "layers-model"; generated_by, converted_by: as the file has them, "" where it has not.
    user_metadata: the keys of `userDefinedMetadata`, sorted.
    parameters, parameters_by_dtype, parameter_bytes: of the weights, by the dtype that they are used as; the bytes are
        those that they take in the shards.
    weights: [{"name", "dtype", "shape", "quantised_to"?}], at most 300 (`weights_count`); quantised_to is the dtype
        in the shards, such as "uint8".
    shards: as tfjs._manifest.check_shards says.
    Of a graph model those of tfjs._graph_model.describe_graph_model; of a layers model those of
    _keras_layers.describe_layers, `keras` (the version that wrote it), `backend`, and `optimizer`
    ({"class", "variables"}: what it was compiled with, "" for nothing; of an optimizer's state it never has any).

    Raises StepError WEIGHTS_MISSING where a shard is not there, WEIGHTS_DAMAGED where shards are too short for the
    manifest, and TFJS_MODEL_DAMAGED where the file makes no sense.
    """
    try:
        content = json.loads(model.path.read_text(encoding="utf-8-sig"))
        groups = read_groups(content)
        topology = content["modelTopology"]
        is_graph = "node" in topology
        facts = describe_graph_model(content) if is_graph else _describe_layers_model(content, _weights_of(groups))
        facts["format"] = str(content.get("format") or ("graph-model" if is_graph else "layers-model"))
        facts["generated_by"] = str(content.get("generatedBy") or "")
        facts["converted_by"] = str(content.get("convertedBy") or "")
        facts["user_metadata"] = sorted(content.get("userDefinedMetadata") or {})[:_LISTED]
    except _WRONG as error:
        raise StepError(
            "TFJS_MODEL_DAMAGED",
            "{} cannot be read as a TensorFlow.js model: {!r}. Export it again.".format(model.name, error),
            {"file": model.name},
        ) from error
    facts["shards"] = check_shards(model, groups, file_names)
    facts.update(_weight_facts(_weights_of(groups)))
    facts["description"] = _sentence(model.name, facts)
    return facts


def _weights_of(groups: Sequence[Any]) -> List[Weight]:
    """The weights of all groups, in order."""
    return [weight for group in groups for weight in group.weights]


def _describe_layers_model(content: Dict[str, Any], weights: Sequence[Weight]) -> Dict[str, Any]:
    topology = content["modelTopology"]
    architecture = topology.get("model_config") or topology
    if isinstance(architecture, str):
        architecture = json.loads(architecture)
    by_layer: Dict[str, List[Any]] = {}
    for weight in weights:
        layer, _, name = weight.name.rpartition("/")
        by_layer.setdefault(layer, []).append((name, weight.dtype, weight.shape))
    facts = describe_layers(architecture, by_layer)
    compiled = topology.get("training_config") or content.get("trainingConfig") or {}
    optimizer = compiled.get("optimizer_config") or {}
    facts["optimizer"] = {"class": str(optimizer.get("class_name") or ""), "variables": 0}
    facts["keras"], facts["backend"] = str(topology.get("keras_version") or ""), str(topology.get("backend") or "")
    return facts


def _weight_facts(weights: Sequence[Weight]) -> Dict[str, Any]:
    by_dtype: Dict[str, int] = {}
    for weight in weights:
        by_dtype[weight.dtype] = by_dtype.get(weight.dtype, 0) + weight.elements
    return {
        "parameters": sum(by_dtype.values()),
        "parameters_by_dtype": dict(sorted(by_dtype.items())),
        "parameter_bytes": sum(weight.bytes or 0 for weight in weights),
        "weights": [_weight(weight) for weight in weights[:_LISTED]],
        "weights_count": len(weights),
    }


def _weight(weight: Weight) -> Dict[str, Any]:
    found: Dict[str, Any] = {"name": weight.name, "dtype": weight.dtype, "shape": list(weight.shape)}
    if weight.stored != weight.dtype:
        found["quantised_to"] = weight.stored
    return found


def _sentence(name: str, facts: Dict[str, Any]) -> str:
    sides = [", ".join(end["name"] for end in facts[side][:5]) or "nothing known" for side in ("inputs", "outputs")]
    return "{} is a TensorFlow.js {} of {:,} {} and {:,} parameters: {} -> {}".format(
        name,
        facts["format"].replace("-", " "),
        facts["nodes"],
        "layers" if "layers" in facts else "nodes",
        facts["parameters"],
        *sides,
    )
