"""Runs a frozen GraphDef in a session: `run_frozen_graph.py GRAPH.pb TENSOR INPUT.npy OUT.npz OUTPUT...`.

Shares no code with modelmill; meant for an environment's Python. OUT gets an array for each OUTPUT, a node's name.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
graph_file, tensor, given, out = sys.argv[1:5]
names = sys.argv[5:]
definition = tf1.GraphDef()
definition.ParseFromString(Path(graph_file).read_bytes())
graph = tf1.Graph()
with graph.as_default():
    tf1.import_graph_def(definition, name="")
with tf1.Session(graph=graph) as session:
    outputs = session.run([name + ":0" for name in names], {tensor + ":0": np.load(given)})
np.savez(out, **dict(zip(names, outputs)))  # noqa: B905 - Python 3.7 has no `strict`
