"""Run by TensorFlow 1.15's Python: transforms graphs by the Graph Transform Tool and by the rewriter, and runs them.

Takes one case a line on its input, as JSON, and answers each with a line of JSON.

A case: {"net": {"seed", "kinds", "layers", "batch"}} or {"path": of a frozen graph}; "inputs": tensor to {"shape",
"low", "high"} or {"file": what is fed, as bytes}; "outputs": node names; "before": transforms of the tool that make
the graph that both sides get, or ""; "tool" and "rewriter": the transforms of each side, in which {log} stands for a
log of the ranges of RequantizationRange nodes; "seeds": of the inputs.

The answer: "nodes", "operations" (each by side: "source", "tool", "rewriter"), "errors" (a pair of sides to the
largest difference relative to the output's range, over all outputs and seeds), "tool_fails" (why TensorFlow
does not run what the tool made, or empty), "fired" (how often each rule did), or {"error"} with the text.
"""

import collections
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import nets
import numpy as np
import tensorflow as tf
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules_api import Interface, Target, Tensor
from modelmill_rewriter.sequences import passes_for
from tensorflow.core.protobuf import rewriter_config_pb2
from tensorflow.tools.graph_transforms import TransformGraph

v1 = tf.compat.v1
#: What sparsify_gather calls the node that fills the tables that it makes.
_FILLING = "group_deps"
_PAIRS = (("source", "tool"), ("source", "rewriter"), ("tool", "rewriter"))


def answer(case):
    source = _source(case)
    inputs, outputs = list(case["inputs"]), case["outputs"]
    if case["before"]:
        source = TransformGraph(source, inputs, outputs, [case["before"]])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as log:
        _write_log(log, source)
        words = {side: case[side].replace("{log}", log.name) for side in ("tool", "rewriter")}
        graphs = {"source": source, "tool": TransformGraph(source, inputs, outputs, [words["tool"]])}
        graphs["rewriter"], reports = _rewritten(source, inputs, outputs, words["rewriter"])
    errors = dict.fromkeys(map(" ".join, _PAIRS), 0.0)
    tool_fails = ""
    for seed in case["seeds"]:
        feeds = _feeds(source, case["inputs"], seed)
        results = {side: _run(graph, feeds, outputs) for side, graph in graphs.items() if side != "tool"}
        try:
            results["tool"] = _run(graphs["tool"], feeds, outputs)
        except (ValueError, tf.errors.OpError) as error:
            tool_fails = str(error)
        for pair in _PAIRS:
            if tool_fails and "tool" in pair:
                continue
            error = _difference(*(results[side] for side in pair))
            errors[" ".join(pair)] = max(errors[" ".join(pair)], error)
    return {
        "nodes": {side: len(graph.node) for side, graph in graphs.items()},
        "operations": {side: collections.Counter(it.op for it in graph.node) for side, graph in graphs.items()},
        "bytes": {side: graph.ByteSize() for side, graph in graphs.items()},
        "errors": errors,
        "tool_fails": tool_fails,
        "fired": {report.rule: len(report.fired) for report in reports},
    }


def _source(case):
    if "net" in case:
        return nets.build(**case["net"])
    graph = v1.GraphDef()
    graph.ParseFromString(Path(case["path"]).read_bytes())
    return graph


def _write_log(file, graph):
    """As Print nodes of insert_logging would write it in twenty runs."""
    ranges = [node.name for node in graph.node if node.op == "RequantizationRange"]
    for number in range(20):
        for name in ranges:
            file.write(f";{name}__print__;__requant_min_max:[{-1 - number / 10}][{2 + number / 10}]\n")
    file.flush()


def _rewritten(source, inputs, outputs, transforms):
    copy = v1.GraphDef()
    copy.CopyFrom(source)
    interface = Interface(tuple(map(Tensor, inputs)), tuple(map(Tensor, outputs)))
    passes = passes_for("", (transforms,), (), folder=Path(tempfile.gettempdir()))
    return rewrite_graph(copy, interface, passes, Target("", (1, 15)))[:2]


def _feeds(source, inputs, seed):
    random = np.random.RandomState(seed)
    feeds = {}
    for name, given in inputs.items():
        if "file" in given:
            feeds[name + ":0"] = np.array(Path(given["file"]).read_bytes(), object)
        else:
            feeds[name + ":0"] = random.uniform(given["low"], given["high"], given["shape"]).astype(np.float32)
    return feeds


def _run(graph, feeds, outputs):
    """What a graph computes as it is: without the optimisers that would rewrite it themselves."""
    options = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    options.graph_options.optimizer_options.opt_level = v1.OptimizerOptions.L0
    options.graph_options.rewrite_options.disable_meta_optimizer = True
    options.graph_options.rewrite_options.constant_folding = rewriter_config_pb2.RewriterConfig.OFF
    with tf.Graph().as_default() as imported:
        tf.import_graph_def(graph, name="")
        with v1.Session(graph=imported, config=options) as session:
            if any(node.name == _FILLING for node in graph.node):
                session.run(_FILLING)
            return session.run([name + ":0" for name in outputs], feeds)


def _difference(wanted, given):
    """The largest difference relative to the range of what was wanted, over all outputs."""
    worst = 0.0
    for one, other in zip(wanted, given):  # noqa: B905 - this Python is too old for strict
        if one.shape != other.shape or not np.isfinite(other).all():
            return float("inf")
        span = float(one.max() - one.min()) or 1.0
        worst = max(worst, float(np.abs(one.astype(np.float64) - other).max()) / span)
    return worst


def main():
    """Whatever TensorFlow prints goes to the errors: the output is for answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except Exception:  # noqa: BLE001 - the test shows it, whatever it is
            found = {"error": traceback.format_exc()}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
