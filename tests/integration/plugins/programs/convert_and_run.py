"""Converts every frozen graph in a folder to TFLite with the TensorFlow that is here, and runs it where it can.

    convert_and_run.py FOLDER

FOLDER has a folder for each graph: graph.pb, signature.json, feed.npy. Each gets facts.json, model.tflite, and with an
interpreter of this TensorFlow `there/<output>.npy`. For Python 3.6 and every TensorFlow from 1.5 on.
"""

import json
import sys
from pathlib import Path

import numpy as np
from modelmill_tflite_quantizer import modelmill_plugins
from modelmill_worker import Step, StepError, Tree, options
from modelmill_worker import signature as signatures

sys.path.insert(0, str(Path(__file__).parent))
from interpreting import interpreter_class, run_model


def convert(folder):
    """The facts of the conversion, or its error."""
    (plugin,) = modelmill_plugins()
    (edge,) = [edge for edge in plugin.edges if edge.name == "convert"]
    for name in ("made", "scratch"):
        (folder / name).mkdir()
    shapes = {signatures.read(folder).inputs[0].name: list(np.load(str(folder / "feed.npy")).shape)}
    model = Tree("tf.frozen_graph", folder, ("graph.pb", "signature.json"))
    step = Step(
        {"model": model}, options.parse(edge.options, {"input_shapes": shapes}), folder / "made", folder / "scratch"
    )
    try:
        return dict(edge.run(step))
    except StepError as error:
        return {"error": f"{error.reason}: {error.message}"}


for case in sorted(Path(sys.argv[1]).iterdir()):
    facts = convert(case)
    (case / "facts.json").write_text(json.dumps(facts))
    if "error" not in facts and interpreter_class() is not None:
        run_model(case, "there")
