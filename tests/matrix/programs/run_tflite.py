"""Runs .tflite files in this TensorFlow's interpreter: `run_tflite.py JOBS.json`, in an environment's Python.

Shares no code with modelmill. A job is {"model": file, "images": .npz with `images`, "outputs": .npz to write}; images
are given one at a time, because early converters fix the batch at 1. Outputs are written under their tensors' names;
what is quantised is given and written in real units. Exit code 3: this version has no interpreter.
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
    outputs = {detail["name"]: (detail, []) for detail in interpreter.get_output_details()}
    for image in images:
        interpreter.set_tensor(given["index"], quantised(image[np.newaxis], given))
        interpreter.invoke()
        for detail, values in outputs.values():
            values.append(real(interpreter.get_tensor(detail["index"]), detail))
    return {name: np.concatenate(values) for name, (_, values) in outputs.items()}


def quantised(values, detail):
    """Real values as a tensor takes them."""
    if detail["dtype"] == np.float32:
        return values
    scale, zero = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale + zero), limits.min, limits.max).astype(detail["dtype"])


def real(values, detail):
    """The inverse of `quantised`, as far as there is one."""
    if detail["dtype"] == np.float32:
        return values
    scale, zero = detail["quantization"]
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)


try:
    interpreter_class()
except (ImportError, AttributeError) as error:
    sys.stderr.write("{}: {}\n".format(type(error).__name__, error))
    sys.exit(3)
with open(sys.argv[1]) as file:
    jobs = json.load(file)
for job in jobs:
    try:
        np.savez(job["outputs"], **run(job["model"], np.load(job["images"])["images"]))
    except (RuntimeError, ValueError) as error:
        sys.stderr.write("{}: {}\n".format(job["model"], error))
