"""Loads Keras models, with the names that their inputs and outputs have for people."""

import inspect
from pathlib import Path
from typing import Any, Optional, Tuple

from modelmill_worker import StepError, Tree, keras_names
from modelmill_worker.errors import TOOL
from modelmill_worker.signature import Signature, Tensor

from modelmill_tflite_quantizer.sources import KerasModel


def load(tree: Tree, suffix: str, scratch: Path) -> KerasModel:
    """The Keras model in an artifact of one file, in inference mode.

    suffix: by which Keras knows the format, whatever the file is called.

    Raises StepError KERAS_MODEL_UNREADABLE.
    """
    import tensorflow as tf

    file = scratch / ("model" + suffix)
    file.symlink_to(tree.path / tree.files[0])
    if tf.__version__.startswith("1."):
        tf.keras.backend.clear_session()
        tf.keras.backend.set_learning_phase(0)
    try:
        model = tf.keras.models.load_model(str(file), compile=False, **_safely(tf.keras.models.load_model))
    except Exception as error:
        raise _unreadable(error, tf.__version__) from error
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise StepError(
            "KERAS_MODEL_UNREADABLE",
            "The Keras model does not say which inputs it takes. Call it once on data, or give it an Input layer, "
            "and save it again.",
            {"tensorflow": tf.__version__},
        )
    return KerasModel(model, _signature(model))


def _safely(load_model: Any) -> Any:
    """Options that keep code in the file from being run, where this Keras has any."""
    return {"safe_mode": True} if "safe_mode" in inspect.signature(load_model).parameters else {}


def _unreadable(error: Exception, version: str) -> StepError:
    lines = str(error).strip().splitlines()
    line = lines[0][:500] if lines else type(error).__name__
    advice = "Layers of your own cannot be loaded without their code: convert a SavedModel of the model instead"
    if "lambda" in line.lower():
        advice = "A Lambda layer holds Python code, which is not run: replace it, or convert a SavedModel instead"
    return StepError(
        "KERAS_MODEL_UNREADABLE",
        "The Keras of TensorFlow {} cannot load the model: {}. {}.".format(version, line.rstrip("."), advice),
        {"tensorflow": version, "line": line, "exception": type(error).__name__},
        TOOL,
        str(error),
    )


def _signature(model: Any) -> Signature:
    return Signature(
        _tensors(model.inputs, keras_names.input_names(model)),
        _tensors(model.outputs, keras_names.output_names(model)),
    )


def _tensors(tensors: Any, names: Tuple[str, ...]) -> Tuple[Tensor, ...]:
    import tensorflow as tf

    return tuple(
        Tensor(name, str(tensor.name), tf.as_dtype(tensor.dtype).name, _shape(tensor.shape))
        for tensor, name in zip(tensors, names)
    )


def _shape(shape: Any) -> Optional[Tuple[int, ...]]:
    if getattr(shape, "ndims", 0) is None:
        return None
    sizes = shape.as_list() if hasattr(shape, "as_list") else list(shape)
    return tuple(-1 if size is None else int(size) for size in sizes)
