"""Freeze a trained checkpoint with the freezer's own step, and ask both for the unseen digits.

Usage: freeze_and_answer.py FOLDER OUTPUT [OPTIONS as JSON], in an environment's Python, with modelmill on PYTHONPATH.
OUTPUT gets facts.json and answers.npz: `frozen`, what the frozen graph answers in a session of its own, and
`source`, what the source answers in the verifier's run of it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from modelmill_freezer import modelmill_plugins as freezers
from modelmill_verifier import datasets
from modelmill_verifier import modelmill_plugins as verifiers
from modelmill_verifier.datasets import Dataset
from modelmill_worker import Step, Tree, graph_def, installed_tensorflow, options, signature


def main(folder, output, values):
    output.mkdir()
    source = tree_of("tf.checkpoint", folder, lambda name: name.startswith(prefix_of(folder)))
    frozen = output / "frozen"
    facts = run_edge(freezers, "freeze", {"model": source}, frozen, values)
    endpoints = signature.read(frozen)
    with np.load(str(folder / "expected.npz")) as data:
        images = data["images"]
    (given,) = endpoints.inputs
    fed = {given.name: as_fed(images, given, folder.name)}
    inputs = output / "inputs"
    inputs.mkdir()
    datasets.write(inputs, Dataset(endpoints, fed))
    run_edge(verifiers, "run-checkpoint", {"model": source, "inputs": tree_of("dataset", inputs)}, output / "ran")
    (name,) = [tensor.name for tensor in endpoints.outputs][:1]
    answers = {"source": datasets.read(output / "ran").arrays[name], "frozen": ask(frozen, given, fed, name)}
    np.savez(str(output / "answers.npz"), **answers)
    (output / "facts.json").write_text(json.dumps(facts))


def prefix_of(folder):
    return Path(tf.train.latest_checkpoint(str(folder))).name + "."


def tree_of(kind, folder, wanted=lambda name: True):
    return Tree(kind, folder, tuple(sorted(file.name for file in folder.iterdir() if wanted(file.name))))


def run_edge(plugins, name, inputs, output, values=None):
    (plugin,) = plugins()
    (edge,) = [edge for edge in plugin.edges if edge.name == name]
    output.mkdir()
    scratch = output.parent / (output.name + "-scratch")
    scratch.mkdir()
    return edge.run(Step(inputs, options.parse(edge.options, values or {}), output, scratch))


def as_fed(images, tensor, name):
    """The digits as the input wants them: raw where it is raw, else as the nets of these tests prepare them."""
    if tensor.dtype == "uint8":
        return images
    if "dropout_fed" in name:
        return images.astype(np.float32)
    return ((images / np.float32(255) - np.float32(0.5)) * np.float32(2)).astype(np.float32)


def ask(folder, tensor, fed, name):
    graph = graph_def.copy(graph_def.read(folder / "graph.pb"))
    v1 = installed_tensorflow.v1()
    with tf.Graph().as_default() as imported, v1.Session(graph=imported) as session:
        v1.import_graph_def(graph, name="")
        return session.run(name + ":0", {tensor.tensor: fed[tensor.name]})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]) if len(sys.argv) > 3 else None)
