"""What a Keras model in one file is: its layers with their weights, ends, and what it was compiled with."""

from pathlib import Path
from typing import Any, Dict

from modelmill_inspector._keras_file import KerasFile, damaged_keras
from modelmill_inspector._keras_layers import describe_layers, top_layers
from modelmill_inspector._keras_weights import UnreadableWeightsError, read_archive_weights, read_hdf5_weights

#: How many metrics are named, and how long a text about them may be.
_LISTED, _LONGEST = 20, 200


def describe_keras(path: Path, name: str, file: KerasFile) -> Dict[str, Any]:
    """The facts of a Keras file that read_hdf5 or read_archive has read.

    Those of _keras_layers.describe_layers, and:
    parameters, parameters_by_dtype, parameter_bytes: of the weights in the file, without the optimizer's state.
    keras, backend: the version that wrote the file and what that computed with, "" where it does not say.
    optimizer: {"class": "" where the model was not compiled, "variables": how many of its state the file has}.
    compiled: {"loss", "metrics"} as texts, where the model was compiled.
    weights_unread: true where the archive is packed and too large to unpack; the counts are then not there.

    Raises StepError KERAS_FILE_DAMAGED.
    """
    try:
        weights = read_archive_weights(path) if file.archive else read_hdf5_weights(path)
    except UnreadableWeightsError as error:
        raise damaged_keras(name, str(error)) from error
    try:
        facts = describe_layers(file.architecture, weights.of_layers(top_layers(file.architecture)) if weights else {})
        facts["optimizer"] = {
            "class": _optimizer_of(file.compiled),
            "variables": weights.optimizer_variables if weights else 0,
        }
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged_keras(name, repr(error)) from error
    facts["keras"], facts["backend"] = file.version, file.backend
    if isinstance(file.compiled, dict) and file.compiled:
        facts["compiled"] = {key: _short(file.compiled.get(key)) for key in ("loss", "metrics")}
    if weights is None:
        facts["weights_unread"] = True
    else:
        facts.update(weights.totals())
    sides = [", ".join(end["name"] for end in facts[side][:5]) or "nothing known" for side in ("inputs", "outputs")]
    facts["description"] = "{} is a Keras model of {:,} layers and {:,} parameters: {} -> {}".format(
        name, facts["nodes"], facts.get("parameters", 0), *sides
    )
    return facts


def _optimizer_of(compiled: Any) -> str:
    if not isinstance(compiled, dict):
        return ""
    told = compiled.get("optimizer_config") or compiled.get("optimizer") or ""
    return str(told.get("class_name") or "") if isinstance(told, dict) else str(told)


def _short(told: Any) -> str:
    """What a file says of a loss or of metrics: a name, or a class with its config."""
    if isinstance(told, dict) and "class_name" in told:
        config = told.get("config")
        name = config.get("name") or config.get("fn") if isinstance(config, dict) else ""
        return str(name or told["class_name"])[:_LONGEST]
    if isinstance(told, (list, tuple)):
        return ", ".join(_short(one) for one in told[:_LISTED])[:_LONGEST]
    return "" if told is None else str(told)[:_LONGEST]
