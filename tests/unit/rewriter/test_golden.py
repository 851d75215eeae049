"""Each rule on graphs in text form: golden/<rule>/<case>.before.pbtxt becomes <case>.after.pbtxt and computes the same.

A case starts with comments: what it is about, its inputs and outputs, and where it matters the TensorFlow that will
convert it and the shape to feed. After a change that is meant, MODELMILL_WRITE_GOLDEN=1 writes the files anew; read
the difference before you commit it.
"""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from modelmill_rewriter._target import parse_version
from modelmill_rewriter.rules_api import Target
from modelmill_worker import graph_def

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(GOLDEN.glob("*/*.before.pbtxt"))


def settings(text):
    found = dict(re.findall(r"^# (\w+): (.*)$", text, re.MULTILINE))
    return {key: value.split() for key, value in found.items()}


def readable(message):
    """The text of a graph in which constants are numbers rather than bytes."""
    shown = graph_def.copy(message)
    for node in shown.node:
        if node.op == "Const":
            value = graph_def.constant_value(node)
            tensor = node.attr["value"].tensor
            assert value.dtype == np.float32
            tensor.ClearField("tensor_content")
            tensor.ClearField("float_val")
            tensor.float_val.extend(value.ravel().tolist())
    return text_format.MessageToString(shown)


@pytest.fixture(params=CASES, ids=[f"{path.parent.name}/{path.name.split('.before')[0]}" for path in CASES])
def case(request, new_graph):
    text = request.param.read_text()
    graph = new_graph()
    text_format.Parse(text, graph.message)
    given = settings(text)
    graph.inputs, graph.outputs = given["inputs"], given["outputs"]
    return request.param, graph, given


def rewritten_case(case, run_rules):
    path, graph, given = case
    target = Target("", parse_version(given.get("tensorflow", [""])[0]))
    return run_rules(graph, path.parent.name, target=target)


def test_rewrites_as_in_the_text(case, run_rules):
    path = case[0].with_name(case[0].name.replace(".before.", ".after."))
    text = readable(rewritten_case(case, run_rules).message)
    if os.environ.get("MODELMILL_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_finds_nothing_more_in_what_it_wrote(case, run_rules, new_graph):
    path, graph, given = case
    first = rewritten_case(case, run_rules)
    second = rewritten_case((path, new_graph(first.message, graph.inputs, graph.outputs), given), run_rules)
    assert first.fired > 0
    assert second.fired == 0


def test_computes_the_same(case, run_rules, compute):
    _, graph, given = case
    name = graph.inputs[0]
    shape = [int(size) for size in given.get("shape", [])] or placeholder_shape(graph.find(name))
    feeds = {name: np.random.default_rng(7).normal(size=shape).astype(np.float32)}
    before = compute(graph.message, feeds, graph.outputs)
    after = compute(rewritten_case(case, run_rules).message, feeds, graph.outputs)
    for old, new in zip(before, after):
        # Sums of two terms of which one is 0; the forms round a product of three at most.
        np.testing.assert_allclose(new, old, rtol=4e-7, atol=4e-7)


def placeholder_shape(node):
    return [3 if dim.size == -1 else dim.size for dim in node.attr["shape"].shape.dim]
