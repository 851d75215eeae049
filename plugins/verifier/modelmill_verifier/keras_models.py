"""Keras models as users have them: loaded with the Keras that TensorFlow brings, and described by their layers' names.

A file is told by its content; Keras tells it by its suffix. So the file is given to it under a name that fits.
"""

import inspect
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Tuple

from modelmill_worker import Step, StepError, Tree, keras_names, source_files
from modelmill_worker.errors import TOOL
from modelmill_worker.file_formats import FileFormat
from modelmill_worker.signature import Signature, Tensor
from modelmill_worker.tensorflow_threads import use_one_thread

from modelmill_verifier.run_results import first_line

_FORMATS = {FileFormat.HDF5: "model.h5", FileFormat.KERAS_ARCHIVE: "model.keras"}

#: What `load_model` raises for a model that this Keras does not know, or that is damaged.
_REFUSALS = (ValueError, TypeError, KeyError, AttributeError, ImportError, OSError, RuntimeError, NotImplementedError)


def load(step: Step) -> Any:
    """The model of a step, without its optimiser and losses, on one thread.

    In TensorFlow 1 it lies in the default graph and Keras's session. Lambda layers of a ``.keras`` archive are not run.
    Raises StepError KERAS_MODEL_MISSING, KERAS_MODEL_UNREADABLE, or KERAS_MODEL_WITHOUT_INPUTS for a model whose
    class is its user's own code.
    """
    import tensorflow as tf

    use_one_thread()
    path = _under_its_suffix(step.inputs["model"], step.scratch)
    load_model = tf.keras.models.load_model
    how = {"compile": False}
    if "safe_mode" in inspect.signature(load_model).parameters:
        how["safe_mode"] = True
    try:
        model = load_model(str(path), **how)
    except (*_REFUSALS, tf.errors.OpError) as error:
        raise _unreadable(error) from error
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise StepError(
            "KERAS_MODEL_WITHOUT_INPUTS",
            "The Keras model does not say what goes in: it was never called, or its class is code of its own. "
            "Export it as a SavedModel and give that.",
        )
    return model


def _under_its_suffix(tree: Tree, folder: Path) -> Path:
    found = source_files.of_formats(source_files.survey(tree), *_FORMATS)
    if len(found) != 1:
        raise StepError(
            "KERAS_MODEL_MISSING",
            "There is {} Keras model among the files. Give one .h5 or .keras file.".format(
                "no" if not found else "more"
            ),
            {"files": list(tree.files)},
        )
    link = folder / _FORMATS[found[0].format]
    link.symlink_to(found[0].path.resolve())
    return link


def _unreadable(error: Exception) -> StepError:
    import tensorflow as tf

    line = first_line(error)
    return StepError(
        "KERAS_MODEL_UNREADABLE",
        "The Keras of TensorFlow {} cannot load this model: {}. The version that wrote it can.".format(
            tf.__version__, line.rstrip(".")
        ),
        {"tensorflow": tf.__version__, "line": line, "exception": type(error).__name__},
        TOOL,
        str(error),
    )


def describe(model: Any) -> Signature:
    """What goes in and what comes out of a loaded model, under the names that its converters use too."""
    return Signature(
        _tensors(keras_names.input_names(model), model.inputs),
        _tensors(keras_names.output_names(model), model.outputs),
    )


def _tensors(names: Iterable[str], tensors: Iterable[Any]) -> Tuple[Tensor, ...]:
    return tuple(Tensor(name, name, _dtype(tensor), _shape(tensor)) for name, tensor in zip(names, tensors))


def _dtype(tensor: Any) -> str:
    """The name that numpy has for a type; Keras 2 gives TensorFlow's type, Keras 3 its name."""
    return str(getattr(tensor.dtype, "name", tensor.dtype))


def _shape(tensor: Any) -> Optional[Tuple[int, ...]]:
    shape = tensor.shape
    if getattr(shape, "rank", 0) is None or shape is None:
        return None
    sizes = shape.as_list() if hasattr(shape, "as_list") else shape
    return tuple(-1 if size is None else int(size) for size in sizes)


def call(model: Any, signature: Signature, inputs: Dict[str, Any]) -> Dict[str, Any]:
    """The model's outputs by name, as arrays, for arrays by name: inference, on one thread."""
    import tensorflow as tf

    arrays = [inputs[tensor.name] for tensor in signature.inputs]
    names = [tensor.name for tensor in signature.outputs]
    if not tf.executing_eagerly():
        session = tf.compat.v1.keras.backend.get_session()
        return dict(zip(names, session.run(list(model.outputs), dict(zip(model.inputs, arrays)))))
    given = [tf.convert_to_tensor(array) for array in arrays]
    made = tf.nest.flatten(model(given[0] if len(given) == 1 else given, training=False))
    return {name: value.numpy() for name, value in zip(names, made)}


def version() -> str:
    """The version of the Keras that TensorFlow brings, such as "2.15.0"; empty where it does not say."""
    import tensorflow as tf

    for module in (tf.keras, sys.modules.get("keras")):
        told = getattr(module, "__version__", None)
        if told:
            return str(told)
    return ""
