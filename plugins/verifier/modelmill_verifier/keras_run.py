"""The edges ``run-keras-h5`` and ``run-keras-v3``: a Keras model called on arrays, as its users call it."""

from typing import Any, Dict

from modelmill_worker import Step
from modelmill_worker.signature import Signature

from modelmill_verifier import keras_models, sessions
from modelmill_verifier.run_results import Arrays, RunResult, run_failed, run_on_inputs


def run_keras(step: Step) -> Dict[str, Any]:
    """Load the model and call it, in inference: dropout does nothing, batch normalisation uses what it has learned."""
    import tensorflow as tf

    model = keras_models.load(step)
    facts = {"tensorflow": tf.__version__, "keras": keras_models.version()}

    def run(signature: Signature, inputs: Arrays) -> RunResult:
        try:
            outputs = keras_models.call(model, signature, inputs)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise run_failed("Keras of TensorFlow " + tf.__version__, error) from error
        return RunResult({name: sessions.plain(value) for name, value in outputs.items()}, facts=facts)

    return run_on_inputs(step, keras_models.describe(model), run)
