"""Runs a converted model with the interpreter of the TensorFlow that is here."""

import numpy as np
import tensorflow as tf
from modelmill_worker import signature as signatures


def interpreter_class():
    """TFLite's interpreter; the versions before 1.9 bring none."""
    if hasattr(tf, "lite"):
        return tf.lite.Interpreter
    try:
        from tensorflow.contrib.lite.python import interpreter
    except ImportError:
        return None
    return interpreter.Interpreter


def run_model(case, into):
    """Run made/model.tflite on feed.npy; each output goes to a file of its name."""
    interpreter = interpreter_class()(model_path=str(case / "made" / "model.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(str(case / "feed.npy")))
    interpreter.invoke()
    found = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    (case / into).mkdir()
    for output in signatures.read(case / "made").outputs:
        np.save(str(case / into / (output.name + ".npy")), interpreter.get_tensor(found[output.tensor]))
