"""Run by an environment's Python, once for each measurement: freezes a checkpoint, or makes or runs a model.

    freezing_process.py WAY GRAPH CHECKPOINT OUTPUTS RESULT

WAY: `modelmill`, `freeze_graph` (the tool of that name), `session` (a session, restored, and then
convert_variables_to_constants), `make` (a checkpoint of 1.5 GB and its graph), or `run` (GRAPH is a frozen graph and
RESULT an .npz of what it computes). OUTPUTS are node names with commas.
Prints JSON: seconds without imports, peak resident memory in bytes, that after the imports alone, nodes.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1 if hasattr(tf, "compat") and hasattr(tf.compat, "v1") else tf

#: Layers of the large model, and how wide they are: 6 x 7905 x 7905 float32 are 1.5 GB.
LAYERS, WIDTH = 6, 7905


def by_modelmill(graph, checkpoint, outputs, result):
    from modelmill_freezer import modelmill_plugins
    from modelmill_worker import options
    from modelmill_worker.plugin_api import Step, Tree

    (plugin,) = modelmill_plugins()
    (edge,) = [edge for edge in plugin.edges if edge.name == "freeze"]
    folder = checkpoint.parent
    files = [graph.name] + [path.name for path in sorted(folder.glob(checkpoint.name + ".*")) if path.suffix != ".meta"]
    chosen = options.parse(edge.options, {"outputs": outputs})
    step = Step({"model": Tree("tf.checkpoint", folder, tuple(files))}, chosen, result.parent, result.parent)
    yield
    edge.run(step)
    (result.parent / "graph.pb").rename(result)


def by_freeze_graph(graph, checkpoint, outputs, result):
    from tensorflow.python.tools import freeze_graph

    yield
    names = ",".join(outputs)
    freeze_graph.freeze_graph(
        str(graph), "", True, str(checkpoint), names, "save/restore_all", "save/Const:0", str(result), True, ""
    )


def by_session(graph, checkpoint, outputs, result):
    yield
    definition = v1.GraphDef()
    definition.ParseFromString(graph.read_bytes())
    with tf.Graph().as_default() as imported:
        v1.import_graph_def(definition, name="")
        with v1.Session(graph=imported) as session:
            session.run("save/restore_all", {"save/Const:0": str(checkpoint)})
            frozen = v1.graph_util.convert_variables_to_constants(session, imported.as_graph_def(), outputs)
    result.write_bytes(frozen.SerializeToString())


def make(graph, checkpoint, outputs, result):
    del result
    yield
    with tf.Graph().as_default():
        values = v1.placeholder(tf.float32, [None, 64], "x")
        for index in range(LAYERS + 1):
            rows = WIDTH if index else 64
            initial = v1.random_normal_initializer(0, rows**-0.5, seed=index)
            matrix = v1.get_variable(f"w{index}", [rows, WIDTH], initializer=initial, use_resource=False)
            values = tf.nn.relu(tf.matmul(values, matrix))
        tf.identity(values[:, :10], outputs[0])
        saver = v1.train.Saver()
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, str(checkpoint), write_meta_graph=False)
        graph.write_bytes(v1.get_default_graph().as_graph_def().SerializeToString())


def run(graph, checkpoint, outputs, result):
    del checkpoint
    yield
    definition = v1.GraphDef()
    definition.ParseFromString(graph.read_bytes())
    with tf.Graph().as_default() as imported:
        v1.import_graph_def(definition, name="")
        (fed,) = [it for it in imported.get_operations() if it.type == "Placeholder"]
        shape = [size or 2 for size in fed.outputs[0].shape.as_list()]
        if len(shape) == 4:
            shape = [shape[0]] + [max(size, 12) if axis < 2 else size for axis, size in enumerate(shape[1:])]
        values = np.random.RandomState(0).uniform(-1, 1, shape)
        # Optimisers would copy the constants again and again: a graph of 1.5 GB took 18 GB.
        config = v1.ConfigProto()
        config.graph_options.optimizer_options.opt_level = v1.OptimizerOptions.L0
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        with v1.Session(graph=imported, config=config) as session:
            np.savez(str(result), *session.run([name + ":0" for name in outputs], {fed.outputs[0]: values}))


WAYS = {
    "modelmill": by_modelmill,
    "freeze_graph": by_freeze_graph,
    "session": by_session,
    "make": make,
    "run": run,
}


def resident(key):
    """VmHWM: the most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no " + key)


def main():
    way, graph, checkpoint, outputs, result = sys.argv[1:]
    work = WAYS[way](Path(graph), Path(checkpoint), outputs.split(","), Path(result))
    next(work)  # up to the end of its imports
    imported, begin = resident("VmHWM"), time.perf_counter()
    for _ in work:
        raise RuntimeError("it has one yield")
    told = {"seconds": time.perf_counter() - begin, "peak": resident("VmHWM"), "imported": imported}
    if way in ("modelmill", "freeze_graph", "session"):
        frozen = v1.GraphDef()
        frozen.ParseFromString(Path(result).read_bytes())
        told["nodes"] = len(frozen.node)
    print("\n" + json.dumps(told), flush=True)
    os._exit(0)  # Nothing is left to clean up, and TensorFlow takes long for it.


main()
