"""Graphs that no TensorFlow would take go through every target's rules: an error at the user or a graph, never a crash.

What is damaged are the graphs of the golden pairs, so that each rule meets what is nearly what it is there for.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules_api import Interface, Target, Tensor
from modelmill_rewriter.sequences import passes_for
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError

CASES = sorted((Path(__file__).parent / "golden").glob("*/*.before.pbtxt"))
VALUES = [np.float32(1), np.float32([]), np.int32([0]), np.int32([-1, 2**31 - 1]), np.ones((2, 3), np.float32)]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["input", "operation", "attribute", "value", "type", "cut", "double"]),
        st.integers(0, 2**16),
        st.integers(0, 2**16),
    ),
    min_size=1,
    max_size=6,
)


@lru_cache(maxsize=None)
def case(path: Path):
    text = path.read_text(encoding="utf-8")
    message = graph_def.new_graph()
    text_format.Parse(text, message)
    return message, {key: value.split() for key, value in re.findall(r"^# (\w+): (.*)$", text, re.MULTILINE)}


def damage(graph, changes):
    operations = sorted({node.op for node in graph.node})
    for what, one, other in changes:
        node, second = graph.node[one % len(graph.node)], graph.node[other % len(graph.node)]
        if what == "input" and node.input:
            node.input[other % len(node.input)] = second.name
        elif what == "double":
            node.input.insert(0, second.name)
        elif what == "cut" and node.input:
            del node.input[other % len(node.input)]
        elif what == "operation":
            node.op = operations[other % len(operations)]
        elif what == "attribute" and node.attr:
            del node.attr[sorted(node.attr)[other % len(node.attr)]]
        elif what == "value" and "value" in node.attr:
            node.attr["value"].CopyFrom(graph_def.new_constant("", VALUES[other % len(VALUES)]).attr["value"])
        elif what == "type" and "T" in node.attr:
            node.attr["T"].type = other % 24


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(path=st.sampled_from(CASES), changes=CHANGES, target=st.sampled_from(["tflite", "tfjs", ""]), old=st.booleans())
def test_a_damaged_graph_is_rewritten_or_refused(path, changes, target, old):
    message, given_settings = case(path)
    graph = graph_def.copy(message)
    damage(graph, changes)
    interface = Interface(*(tuple(map(Tensor, given_settings[side])) for side in ("inputs", "outputs")))
    own_rule = " ".join(given_settings.get("rule", [path.parent.name]))
    passes = (*passes_for("", [own_rule], []), *passes_for(target, [], []))
    reason = refused_for(lambda: rewrite_graph(graph, interface, passes, Target(target, (1, 12) if old else None)))
    assert reason not in ("REWRITE_DOES_NOT_END", "RULE_BROKE_GRAPH")


def refused_for(rewrite):
    """The reason why a rewrite was refused; None where it was not. Anything but a StepError is a crash."""
    try:
        assert rewrite().graph.node
    except StepError as error:
        return error.reason
    return None


@pytest.mark.parametrize("target", ["tflite", "tfjs", ""])
def test_a_graph_of_operations_that_nobody_knows_stays(graph, run_rules, target):
    graph.placeholder("x", None)
    graph.outputs.append(graph.node("y", "NoSuchOperation", "x", T=None))
    assert run_rules(graph, "default", target=Target(target)).operations == ["Placeholder", "NoSuchOperation"]
