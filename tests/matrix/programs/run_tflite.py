"""Runs .tflite files in this TensorFlow's interpreter: `run_tflite.py JOBS.json`, in an environment's Python.

Shares no code with modelmill. A job is {"model": file, "images": .npz with `images`, "outputs": .npz to write}; images
are given one at a time, because early converters fix the batch at 1. Outputs are written under their tensors' names.
Without jobs it only says whether there is an interpreter.
"""

import json
import sys

import numpy as np
import tensorflow as tf


def interpreter_class():
    """The class, where this version has it: ImportError or AttributeError where it has none."""
    if hasattr(tf, "lite"):
        return tf.lite.Interpreter
    from tensorflow.contrib.lite.python.interpreter import Interpreter

    return Interpreter


def run(model, images):
    """Outputs by name, for all images."""
    interpreter = interpreter_class()(model_path=model)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    outputs = {detail["name"]: (detail["index"], []) for detail in interpreter.get_output_details()}
    for image in images:
        interpreter.set_tensor(given["index"], image[np.newaxis])
        interpreter.invoke()
        for index, values in outputs.values():
            values.append(interpreter.get_tensor(index))
    return {name: np.concatenate(values) for name, (_, values) in outputs.items()}


interpreter_class()
with open(sys.argv[1]) as file:
    jobs = json.load(file)
for job in jobs:
    try:
        np.savez(job["outputs"], **run(job["model"], np.load(job["images"])["images"]))
    except (RuntimeError, ValueError) as error:
        sys.stderr.write("{}: {}\n".format(job["model"], error))
