"""Runs a .tflite in TensorFlow's interpreter: `run_tflite.py MODEL INPUT.npy OUT.npz`, in an environment's Python.

Shares no code with modelmill. OUT gets an array for each output tensor, under its name, and the names of the
operators, as the interpreter lists them, under `operators`. The model has one input.
"""

import sys

import numpy as np
import tensorflow as tf

model, given, out = sys.argv[1:]
# Without the delegate that TensorFlow applies by default, which would hide operators behind one of its own.
interpreter = tf.lite.Interpreter(
    model, experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
)
values = np.load(given)
(tensor,) = interpreter.get_input_details()
interpreter.resize_tensor_input(tensor["index"], values.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(tensor["index"], values)
interpreter.invoke()
outputs = {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}
operators = [operator["op_name"] for operator in interpreter._get_ops_details()]
np.savez(out, operators=np.array(operators), **outputs)
