"""Keras models as users have them: loaded with the Keras that TensorFlow brings, and described by their layers' names.

Whoever converts a model and whoever runs it load it alike. A file is told by its content; Keras tells it by its suffix.
So the file is given to it under a name that fits.
"""

import inspect
from pathlib import Path
from typing import Any, Iterable, Optional, Tuple

from modelmill_worker import keras_names, source_files
from modelmill_worker.errors import TOOL, StepError
from modelmill_worker.file_formats import FileFormat
from modelmill_worker.plugin_api import Tree
from modelmill_worker.signature import Signature, Tensor

_FORMATS = {FileFormat.HDF5: "model.h5", FileFormat.KERAS_ARCHIVE: "model.keras"}
_LONGEST_LINE = 500

#: What `load_model` raises for a model that this Keras does not know, or that is damaged.
_REFUSALS = (ValueError, TypeError, KeyError, AttributeError, ImportError, OSError, RuntimeError, NotImplementedError)


def load(tree: Tree, scratch: Path) -> Any:
    """The model in a tree, for inference, without its optimiser and losses.

    In TensorFlow 1 it lies in the default graph and Keras's session. Lambda layers of a ``.keras`` archive are not run.
    Raises StepError KERAS_MODEL_MISSING, KERAS_MODEL_UNREADABLE, or KERAS_MODEL_WITHOUT_INPUTS for a model whose
    class is its user's own code.
    """
    import tensorflow as tf

    path = _under_its_suffix(tree, scratch)
    if tf.__version__.startswith("1."):
        tf.keras.backend.set_learning_phase(0)
    load_model = tf.keras.models.load_model
    how = {"compile": False}
    if "safe_mode" in inspect.signature(load_model).parameters:
        how["safe_mode"] = True
    try:
        model = load_model(str(path), **how)
    except (*_REFUSALS, tf.errors.OpError) as error:
        raise _unreadable(error, tf.__version__) from error
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise StepError(
            "KERAS_MODEL_WITHOUT_INPUTS",
            "The Keras model does not say what goes in: it was never called, or its class is code of its own. "
            "Export it as a SavedModel and give that.",
            {"tensorflow": tf.__version__},
        )
    return model


def describe(model: Any) -> Signature:
    """What goes in and what comes out of a loaded model, under its layers' names."""
    return Signature(
        _tensors(keras_names.input_names(model), model.inputs),
        _tensors(keras_names.output_names(model), model.outputs),
    )


def _under_its_suffix(tree: Tree, scratch: Path) -> Path:
    found = source_files.of_formats(source_files.survey(tree), *_FORMATS)
    if len(found) != 1:
        raise StepError(
            "KERAS_MODEL_MISSING",
            "There is {} Keras model among the files. Give one .h5 or .keras file.".format(
                "no" if not found else "more than one"
            ),
            {"files": list(tree.files)},
        )
    link = scratch / _FORMATS[found[0].format]
    link.symlink_to(found[0].path.resolve())
    return link


def _unreadable(error: Exception, version: str) -> StepError:
    lines = str(error).strip().splitlines()
    line = lines[0][:_LONGEST_LINE] if lines else type(error).__name__
    advice = "The version that wrote it can. Layers of your own need their code: give a SavedModel of the model instead"
    if "lambda" in line.lower():
        advice = "A Lambda layer holds Python code, which is not run: replace it, or give a SavedModel instead"
    return StepError(
        "KERAS_MODEL_UNREADABLE",
        "The Keras of TensorFlow {} cannot load this model: {}. {}.".format(version, line.rstrip("."), advice),
        {"tensorflow": version, "line": line, "exception": type(error).__name__},
        TOOL,
        str(error),
    )


def _tensors(names: Iterable[str], tensors: Iterable[Any]) -> Tuple[Tensor, ...]:
    import tensorflow as tf

    return tuple(
        Tensor(name, str(tensor.name), tf.as_dtype(tensor.dtype).name, _shape(tensor.shape))
        for name, tensor in zip(names, tensors)
    )


def _shape(shape: Any) -> Optional[Tuple[int, ...]]:
    if shape is None or getattr(shape, "ndims", 0) is None:
        return None
    sizes = shape.as_list() if hasattr(shape, "as_list") else shape
    return tuple(-1 if size is None else int(size) for size in sizes)
