"""Each rule on graphs in text form: golden/<rule>/<case>.before.pbtxt becomes <case>.after.pbtxt and computes the same.

A case starts with comments: what it is about, its inputs and outputs, and where it matters the TensorFlow that will
convert it (`tensorflow`), the `target`, the shape to feed (`shape`), the rule with its options (`rule`) and by how much
the outputs may differ (`tolerance`), relative and absolute. Where a rule changes the interface, the inputs and outputs
that the graph has then are those of `inputs_after` and `outputs_after`, and what fills its tables that of
`initializers_after`; one that finds something to do in what it wrote, by its nature, says so with `again: yes`, an edit
that is refused then with `again: refused`. After a change that is meant, MODELMILL_WRITE_GOLDEN=1 writes the files
anew; read the difference before you commit it.
"""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from modelmill_rewriter._target import parse_version
from modelmill_rewriter.rules_api import Target
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(GOLDEN.glob("*/*.before.pbtxt"))


#: The field of a TensorProto that shows the numbers of a type.
FIELDS = {"float32": "float_val", "float64": "double_val", "int32": "int_val", "int64": "int64_val", "bool": "bool_val"}


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
            field = FIELDS.get(value.dtype.name)
            if field is not None:
                tensor.ClearField("tensor_content")
                tensor.ClearField(field)
                getattr(tensor, field).extend(value.ravel().tolist())
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
    target = Target(given.get("target", [""])[0], parse_version(given.get("tensorflow", [""])[0]))
    return run_rules(graph, " ".join(given.get("rule", [path.parent.name])), target=target)


def test_rewrites_as_in_the_text(case, run_rules):
    path = case[0].with_name(case[0].name.replace(".before.", ".after."))
    text = readable(rewritten_case(case, run_rules).message)
    if os.environ.get("MODELMILL_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_finds_nothing_more_in_what_it_wrote(case, run_rules, new_graph):
    path, _, given = case
    first = rewritten_case(case, run_rules)
    ends = (first.interface.inputs, first.interface.outputs)
    after = new_graph(first.message, *([str(tensor) for tensor in side] for side in ends))
    assert first.fired > 0
    if given.get("again") == ["refused"]:
        with pytest.raises(StepError, match=r"has no such node|there is a node"):
            rewritten_case((path, after, given), run_rules)
        return
    second = rewritten_case((path, after, given), run_rules)
    assert (second.fired == 0) is ("again" not in given)


def test_computes_the_same(case, run_rules, compute):
    _, graph, given = case
    rewritten = rewritten_case(case, run_rules)
    inputs_after = given.get("inputs_after", graph.inputs)
    generator = np.random.default_rng(7)
    feeds = {}
    for name in graph.inputs:
        shape = [int(size) for size in given.get("shape", [])] or placeholder_shape(graph.find(name))
        feeds[name] = generator.normal(size=shape).astype(placeholder_dtype(graph.find(name)))
    before = compute(graph.message, feeds, graph.outputs)
    feeds_after = dict(zip(inputs_after, feeds.values()))
    initializers = tuple(given.get("initializers_after", ()))
    after = compute(
        rewritten.message, feeds_after, given.get("outputs_after", graph.outputs), initializers=initializers
    )
    tolerance = float(given.get("tolerance", ["4e-7"])[0])
    for old, new in zip(before, after):
        # Without a word in the case: sums of two terms of which one is 0; the forms round a product of three at most.
        np.testing.assert_allclose(new, old, rtol=tolerance, atol=tolerance)


def placeholder_dtype(node):
    return tensors.data_type(node.attr["dtype"].type).name


def placeholder_shape(node):
    return [3 if dim.size == -1 else dim.size for dim in node.attr["shape"].shape.dim]
