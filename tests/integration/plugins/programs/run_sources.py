"""Computes every frozen graph in a folder with TensorFlow's session; the outputs go to `source/<output>.npy`.

run_sources.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from modelmill_worker import graph_def, installed_tensorflow
from modelmill_worker import signature as signatures

tf = installed_tensorflow.v1()
for case in sorted(Path(sys.argv[1]).iterdir()):
    signature = signatures.read(case)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(graph_def.read(case / "graph.pb"), name="")
        feeds = {signature.inputs[0].tensor: np.load(str(case / "feed.npy"))}
        values = session.run([output.tensor for output in signature.outputs], feeds)
    (case / "source").mkdir()
    for output, value in zip(signature.outputs, values, strict=True):
        np.save(str(case / "source" / (output.name + ".npy")), value)
