"""The edges ``run-keras-h5`` and ``run-keras-v3``: a Keras model called on arrays, as its users call it."""

import sys
from typing import Any, Dict

from modelmill_worker import Step, installed_tensorflow, keras_models
from modelmill_worker.signature import Signature
from modelmill_worker.tensorflow_threads import use_one_thread

from modelmill_verifier import sessions
from modelmill_verifier.run_results import Arrays, RunResult, run_failed, run_on_inputs


def run_keras(step: Step) -> Dict[str, Any]:
    """Load the model and call it, in inference: dropout does nothing, batch normalisation uses what it has learned."""
    import tensorflow as tf

    use_one_thread()
    model = keras_models.load(step.inputs["model"], step.scratch)
    facts = {"tensorflow": tf.__version__, "keras": _version()}

    def run(signature: Signature, inputs: Arrays) -> RunResult:
        try:
            outputs = _call(model, signature, inputs)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise run_failed("Keras of TensorFlow " + tf.__version__, error) from error
        return RunResult({name: sessions.plain(value) for name, value in outputs.items()}, facts=facts)

    return run_on_inputs(step, keras_models.describe(model), run)


def _call(model: Any, signature: Signature, inputs: Dict[str, Any]) -> Dict[str, Any]:
    """The model's outputs by name, as arrays, for arrays by name: inference, on one thread."""
    import tensorflow as tf

    arrays = [inputs[tensor.name] for tensor in signature.inputs]
    names = [tensor.name for tensor in signature.outputs]
    if not tf.executing_eagerly():
        session = installed_tensorflow.v1().keras.backend.get_session()
        return dict(zip(names, session.run(list(model.outputs), dict(zip(model.inputs, arrays)))))
    given = [tf.convert_to_tensor(array) for array in arrays]
    made = tf.nest.flatten(model(given[0] if len(given) == 1 else given, training=False))
    return {name: value.numpy() for name, value in zip(names, made)}


def _version() -> str:
    """The version of the Keras that TensorFlow brings, such as "2.15.0"; empty where it does not say."""
    import tensorflow as tf

    for module in (tf.keras, sys.modules.get("keras")):
        told = getattr(module, "__version__", None)
        if told:
            return str(told)
    return ""
