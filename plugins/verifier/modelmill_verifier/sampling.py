"""The edges ``sample...`` and ``adopt...``: inputs to run a model and its conversions on, for each kind of source."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from modelmill_worker import Step, StepError, Tree, arrays, keras_models, option
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

from modelmill_verifier import datasets, saved_models
from modelmill_verifier.datasets import Dataset

#: What an unknown dimension becomes: the first is nearly always the batch, the others height, width or length.
BATCH = 1
DIMENSION = 64

#: Values of whole-number inputs, as far as the type holds them: bytes of an image, or indices into a small table.
_LARGEST_INTEGER = 255
#: Elements of one generated input; more is surely not what somebody wants for a check.
_MOST_ELEMENTS = 2**28


@dataclass(frozen=True)
class Sampling:
    """Options of the edges ``sample...``."""

    seed: int = option(0, "Equal seeds give equal inputs.")
    input_shapes: Dict[str, Tuple[int, ...]] = option(  # noqa: RUF009 - it makes a field
        {}, "Shapes by input name, for inputs with unknown dimensions."
    )


@dataclass(frozen=True)
class SavedModelSampling(Sampling, saved_models.Part):
    """Options of the edge ``sample-saved-model``."""


def sample(step: Step) -> Dict[str, Any]:
    """Write seeded inputs for a model: floats from -1 to 1, whole numbers from 0 to 255, both truth values.

    An unknown batch becomes 1, another unknown dimension 64, unless ``input_shapes`` says otherwise. Inputs for which
    nothing sensible can be made (strings, an unknown rank) are told as `skipped`.
    """
    return _sample(step, signatures.read(step.inputs["model"].path))


def sample_saved_model(step: Step) -> Dict[str, Any]:
    """As `sample`, for the inputs of a SavedModel's signature, read without TensorFlow."""
    return _sample(step, saved_models.read(step)[1].called())


def sample_keras(step: Step) -> Dict[str, Any]:
    """As `sample`, for the inputs of a Keras model, which is loaded to see them."""
    return _sample(step, _keras_signature(step))


def _sample(step: Step, signature: Signature) -> Dict[str, Any]:
    shapes = _resolve_shapes(signature, step.options.input_shapes)
    # The stream of RandomState is the same in every numpy, by promise.
    random = np.random.RandomState(step.options.seed % 2**32)
    made: Dict[str, np.ndarray] = {}
    reasons: List[str] = []
    for tensor in signature.inputs:
        shape = shapes[tensor.name]
        if shape is None:
            reasons.append("the rank of {} is unknown: give its shape as an input shape".format(tensor.name))
            continue
        values = _generate(random, tensor.dtype, shape)
        if values is None:
            reasons.append("{} takes {}, for which no values can be made up".format(tensor.name, tensor.dtype))
            continue
        made[tensor.name] = values
    skipped = "Nothing to run the model on: {}. A dataset of your own works too.".format("; ".join(reasons))
    dataset = Dataset(signature, made, skipped if reasons else None)
    datasets.write(step.output, dataset)
    return _facts(dataset)


def adopt(step: Step) -> Dict[str, Any]:
    """Check a user's arrays against the model's inputs and write them as a dataset of this model.

    Raises StepError INPUT_MISMATCH where an array is missing or its type or shape does not fit.
    """
    return _adopt(step, signatures.read(step.inputs["model"].path))


def adopt_saved_model(step: Step) -> Dict[str, Any]:
    """As `adopt`, for the inputs of a SavedModel's signature, read without TensorFlow."""
    return _adopt(step, saved_models.read(step)[1].called())


def adopt_keras(step: Step) -> Dict[str, Any]:
    """As `adopt`, for the inputs of a Keras model, which is loaded to see them."""
    return _adopt(step, _keras_signature(step))


def _keras_signature(step: Step) -> Signature:
    return keras_models.describe(keras_models.load(step.inputs["model"], step.scratch))


def _adopt(step: Step, signature: Signature) -> Dict[str, Any]:
    given = arrays.read(_npz_of(step.inputs["dataset"]))
    fitted = {tensor.name: _fit(_find(given, tensor, signature), tensor) for tensor in signature.inputs}
    dataset = Dataset(signature, fitted)
    datasets.write(step.output, dataset)
    facts = _facts(dataset)
    used = {key for tensor in signature.inputs for key in _keys(tensor)}
    unused = sorted(set(given) - used)
    if unused:
        facts["notes"] = ["The model has no inputs for these arrays of the dataset: {}.".format(", ".join(unused))]
    return facts


def _facts(dataset: Dataset) -> Dict[str, Any]:
    facts: Dict[str, Any] = {
        "inputs": [
            {"name": name, "dtype": values.dtype.name, "shape": list(values.shape)}
            for name, values in sorted(dataset.arrays.items())
        ]
    }
    if dataset.skipped is not None:
        facts["skipped"] = dataset.skipped
    return facts


def _resolve_shapes(signature: Signature, wanted: Dict[str, Tuple[int, ...]]) -> Dict[str, Optional[Tuple[int, ...]]]:
    """A shape without unknown dimensions for each input; None where the rank is unknown and nothing was wanted."""
    known = [tensor.name for tensor in signature.inputs]
    for name, shape in wanted.items():
        if name not in known:
            raise _invalid_shape(name, shape, "the model has no such input; its inputs are " + ", ".join(known))
    return {tensor.name: _resolve_shape(tensor, wanted.get(tensor.name)) for tensor in signature.inputs}


def _resolve_shape(tensor: Tensor, wanted: Optional[Tuple[int, ...]]) -> Optional[Tuple[int, ...]]:
    if wanted is not None and not _fits(wanted, tensor.shape):
        raise _invalid_shape(tensor.name, wanted, "the model's input has shape {}".format(tensor.shape))
    shape = tensor.shape if wanted is None else wanted
    if shape is None:
        return None
    resolved = tuple(
        size if size >= 0 else BATCH if position == 0 else DIMENSION for position, size in enumerate(shape)
    )
    # math.prod is not in Python 3.6; Python's integers do not overflow.
    if np.prod(np.array(resolved, dtype=object)) > _MOST_ELEMENTS:
        raise _invalid_shape(tensor.name, resolved, "that is more than {} numbers".format(_MOST_ELEMENTS))
    return resolved


def _fits(shape: Tuple[int, ...], known: Optional[Tuple[int, ...]]) -> bool:
    """Whether a shape, itself perhaps with unknown dimensions, agrees with what the model says."""
    if known is None:
        return True
    return len(shape) == len(known) and all(-1 in (a, b) or a == b for a, b in zip(shape, known))


def _invalid_shape(name: str, shape: Tuple[int, ...], why: str) -> StepError:
    return StepError(
        "INVALID_OPTION",
        "The option input_shapes cannot give {} the shape {}: {}.".format(name, list(shape), why),
        {"option": "input_shapes", "input": name, "value": list(shape)},
    )


def _generate(random: np.random.RandomState, dtype: str, shape: Tuple[int, ...]) -> Optional[np.ndarray]:
    """Values of a type; None where the type is none that numpy has numbers for."""
    if dtype in ("float16", "float32", "float64"):
        return random.uniform(-1.0, 1.0, shape).astype(dtype)
    if dtype in ("complex64", "complex128"):
        return (random.uniform(-1.0, 1.0, shape) + 1j * random.uniform(-1.0, 1.0, shape)).astype(dtype)
    if dtype == "bool":
        return random.randint(0, 2, shape).astype(dtype)
    if dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
        return random.randint(0, min(_LARGEST_INTEGER, np.iinfo(dtype).max) + 1, shape).astype(dtype)
    return None


def _npz_of(tree: Tree) -> Path:
    names = [name for name in tree.files if name == datasets.ARRAYS] or [
        name for name in tree.files if name.endswith(".npz")
    ]
    if len(names) != 1:
        raise StepError(
            "DATASET_UNREADABLE",
            "A dataset is one .npz file with an array for each input; given are: {}.".format(
                ", ".join(tree.files) or "no files"
            ),
            {"files": list(tree.files)},
        )
    return tree.path / names[0]


def _keys(tensor: Tensor) -> Tuple[str, ...]:
    """Under which keys an input's array may lie in a user's file, best first."""
    return (tensor.name, tensor.tensor, tensor.tensor.split(":")[0])


def _find(given: Dict[str, np.ndarray], tensor: Tensor, signature: Signature) -> np.ndarray:
    for key in _keys(tensor):
        if key in given:
            return given[key]
    raise StepError(
        "INPUT_MISMATCH",
        "The dataset has no array {}. It must have one for each of the model's inputs ({}); it has: {}.".format(
            tensor.name, ", ".join(one.name for one in signature.inputs), ", ".join(sorted(given)) or "none"
        ),
        {"input": tensor.name, "arrays": sorted(given)},
    )


def _fit(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """The array in the input's type, where that loses nothing but the last digits of floats."""
    if not _fits(values.shape, tensor.shape):
        raise _mismatch(tensor, values, "the input has shape {}".format(list(tensor.shape or ())))
    if tensor.dtype == "string":
        if values.dtype.kind not in "SU":
            raise _mismatch(tensor, values, "the input takes strings")
        return values
    if not _casts(values, tensor.dtype):
        raise _mismatch(tensor, values, "the input takes {}".format(tensor.dtype))
    return values.astype(tensor.dtype)


def _casts(values: np.ndarray, dtype: str) -> bool:
    try:
        target = np.dtype(dtype)
    except TypeError:  # A type that numpy does not have, such as bfloat16.
        return False
    if target.kind not in "biufc":  # Nor can a file hold it, where a library has taught it to numpy.
        return False
    if not np.can_cast(values.dtype, target, "same_kind") and not _whole_numbers(values.dtype, target):
        return False
    return target.kind not in "iu" or bool(np.array_equal(values.astype(target), values))


def _whole_numbers(one: np.dtype, other: np.dtype) -> bool:
    return one.kind in "iu" and other.kind in "iu"


def _mismatch(tensor: Tensor, values: np.ndarray, why: str) -> StepError:
    return StepError(
        "INPUT_MISMATCH",
        "The dataset's array {} is {} of shape {}, but {}.".format(
            tensor.name, values.dtype.name, list(values.shape), why
        ),
        {"input": tensor.name, "dtype": values.dtype.name, "shape": list(values.shape)},
    )
