"""The edge ``run-saved-model``: a SavedModel run through its signature, by TensorFlow itself, in a session.

TensorFlow 1's loader reads the SavedModels of TensorFlow 2 as well: their functions are part of the graph. It restores
the variables and runs the initialiser, whichever of the ways to name it the model uses (main_op, legacy_init_op,
``__saved_model_init_op``), so that lookup tables are filled.
"""

from pathlib import Path
from typing import Any, Dict

from modelmill_worker import Step, StepError, installed_tensorflow
from modelmill_worker.saved_model import SavedModel
from modelmill_worker.signature import Signature

from modelmill_verifier import saved_models, sessions
from modelmill_verifier.run_results import Arrays, RunResult, first_line, run_on_inputs


def run_saved_model(step: Step) -> Dict[str, Any]:
    """Run the signature that is asked for, else the default one, else the only one."""
    import tensorflow as tf

    # Read after TensorFlow's import, so that the message is TensorFlow's own.
    path, model = saved_models.read(step)

    def run(described: Signature, inputs: Arrays) -> RunResult:
        outputs = _compute(path.parent, model, described, inputs)
        return RunResult(outputs, facts={"tensorflow": tf.__version__, "signature": model.signature_key})

    return run_on_inputs(step, model.called(), run)


def _compute(folder: Path, model: SavedModel, signature: Signature, inputs: Arrays) -> Arrays:
    import tensorflow as tf

    with tf.Graph().as_default() as graph, sessions.open_session(graph) as session:
        _load(session, folder, model)
        fetches = {tensor.name: tensor.tensor for tensor in signature.outputs}
        values = session.run(fetches, {tensor.tensor: inputs[tensor.name] for tensor in signature.inputs})
    return {name: sessions.plain(value) for name, value in values.items()}


def _load(session: Any, folder: Path, model: SavedModel) -> None:
    import tensorflow as tf

    try:
        installed_tensorflow.v1().saved_model.loader.load(session, list(model.tags), str(folder))
    except (ValueError, TypeError, KeyError, tf.errors.NotFoundError) as error:
        if _is_of_the_variables(error):
            raise _unreadable_variables(error) from error
        raise sessions.not_readable(error) from error
    except (tf.errors.DataLossError, tf.errors.OutOfRangeError, OSError) as error:
        raise _unreadable_variables(error) from error


def _is_of_the_variables(error: Exception) -> bool:
    """Whether it is their values that are missing, and not an operation that is not known."""
    return "variables/variables" in str(error) or "not found in checkpoint" in str(error)


def _unreadable_variables(error: Exception) -> StepError:
    return StepError(
        "CHECKPOINT_UNREADABLE",
        "The SavedModel's variables cannot be read: {}. Was the whole folder copied?".format(
            first_line(error).rstrip(".")
        ),
        {"error": str(error)},
    )
