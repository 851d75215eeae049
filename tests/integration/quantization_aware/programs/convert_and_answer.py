"""Freeze what was trained, rewrite it, convert it to TFLite, and ask each for the unseen images by the plug-ins' steps.

Usage: convert_and_answer.py FOLDER OUTPUT QUANTIZATION RULES, in an environment's Python with modelmill on PYTHONPATH.
RULES are the rewriter's, or "" for none. OUTPUT gets `result.json`: the rewriter's facts, and those of the conversion
or the error that it ended with; and, where it is converted, model.tflite and `answers.npz`: `frozen`, of the frozen
graph before it was rewritten, `rewritten` and `converted`; or in the result as `unanswered`, why one does not run.
"""

import json
import sys
from pathlib import Path

import numpy as np
from modelmill_freezer import modelmill_plugins as freezers
from modelmill_rewriter import modelmill_plugins as rewriters
from modelmill_tflite_quantizer import modelmill_plugins as converters
from modelmill_verifier import datasets
from modelmill_verifier import modelmill_plugins as verifiers
from modelmill_verifier.datasets import Dataset
from modelmill_worker import Step, StepError, Tree, options, signature

#: The images go from -1 to 1.
STATS = {"image": [127.5, 127.5]}


def main(folder, output, quantization, rules):
    output.mkdir()
    source = tree_of("tf.checkpoint", folder)
    frozen = output / "frozen"
    run_edge(freezers, "freeze", {"model": source}, frozen, {"outputs": ["output"]})
    rewritten = output / "rewritten" if rules else frozen
    result = {}
    if rules:
        values = {"target": "tflite", "rewrite": [rules]}
        model = {"model": tree_of("tf.frozen_graph", frozen)}
        result["rules"] = run_edge(rewriters, "rewrite", model, rewritten, values)["rules"]
    values = {"quantization": quantization, "input_shapes": {"image": [1, 12, 12, 1]}}
    if quantization != "float":
        values["input_stats"] = STATS
    converted = output / "converted"
    try:
        model = {"model": tree_of("tf.frozen_graph", rewritten)}
        result["converted"] = run_edge(converters, "convert", model, converted, values)
    except StepError as error:
        result["error"] = {"reason": error.reason, "details": error.details}
    else:
        try:
            answer(folder, output, frozen, rewritten, converted)
        except StepError as error:
            result["unanswered"] = {"reason": error.reason, "message": str(error)}
    (output / "result.json").write_text(json.dumps(result))


def answer(folder, output, frozen, rewritten, converted):
    with np.load(str(folder / "unseen.npz")) as data:
        images = data["images"]
    named = {
        "frozen": ("run-frozen-graph", "tf.frozen_graph", frozen),
        "rewritten": ("run-frozen-graph", "tf.frozen_graph", rewritten),
        "converted": ("run-tflite", "tflite", converted),
    }
    answers = {}
    for name, (edge, kind, model) in named.items():
        # The converted model takes one image at a time.
        batches = [images] if name != "converted" else [image[None] for image in images]
        asked = output / ("asked-" + name)
        asked.mkdir()
        found = [ask(edge, kind, model, batch, asked / str(number)) for number, batch in enumerate(batches)]
        answers[name] = np.concatenate(found)
    np.savez(str(output / "answers.npz"), **answers)


def ask(edge, kind, model, images, folder):
    inputs = folder.parent / (folder.name + "-inputs")
    inputs.mkdir()
    datasets.write(inputs, Dataset(signature.read(model), {"image": images}))
    run_edge(verifiers, edge, {"model": tree_of(kind, model), "inputs": tree_of("dataset", inputs)}, folder)
    return datasets.read(folder).arrays["output"]


def tree_of(kind, folder):
    return Tree(kind, folder, tuple(sorted(file.name for file in folder.iterdir())))


def run_edge(plugins, name, inputs, output, values=None):
    (plugin,) = plugins()
    (edge,) = [edge for edge in plugin.edges if edge.name == name]
    output.mkdir()
    scratch = output.parent / (output.name + "-scratch")
    scratch.mkdir()
    return edge.run(Step(inputs, options.parse(edge.options, values or {}), output, scratch))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
