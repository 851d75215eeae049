"""When what looks like training stays, and why."""

import pytest

ALL = "remove_training_nodes"


def test_leaves_an_identity_alone_when_it_waits_for_something(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.node("table", "HashTableV2")
    graph.node("fill", "InitializeTableV2", "table", "x", "x")
    graph.node("held", "Identity", "x", "^fill")
    graph.outputs.append(graph.node("y", "Neg", "held"))
    rewritten = run_rules(graph, ALL)
    assert rewritten.refused["held"] == "it waits for fill"
    assert {"table", "fill", "held"} <= set(rewritten.names)


def test_leaves_an_identity_alone_when_it_marks_the_side_of_a_condition(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("p", (), "bool")
    graph.node("switch", "Switch", "x", "p")
    graph.node("pivot", "Identity", "switch:1")
    graph.constant("one", 1)
    graph.find("one").input.append("^pivot")
    graph.node("merge", "Merge", "switch", "one")
    graph.outputs.append(graph.node("y", "Neg", "merge"))
    rewritten = run_rules(graph, ALL)
    assert rewritten.fired == 0
    assert rewritten.refused["pivot"] == "it lies inside the condition on 'p'"
    assert rewritten.refused["one"] == "it waits for pivot, which lies inside a loop or a condition"


def test_keeps_an_identity_that_is_an_input_of_the_model(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.node("fed", "Identity", "x")
    graph.inputs.append("fed")
    graph.outputs.append(graph.node("y", "Neg", "fed"))
    assert run_rules(graph, ALL).names == ["x", "fed", "y"]


def test_keeps_an_input_that_no_output_needs(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("unused", (-1, 2))
    graph.node("loss", "Abs", "x")
    graph.outputs.append(graph.node("y", "Neg", "x"))
    assert run_rules(graph, ALL).names == ["x", "unused", "y"]


def test_removes_an_assertion_with_what_only_it_needs(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.constant("limit", 3)
    graph.node("ok", "GreaterEqual", "limit", "x")
    graph.node("check", "Assert", "ok", "x")
    graph.node("group", "NoOp", "^check")
    graph.node("held", "Identity", "x", "^group")
    graph.outputs.append(graph.node("y", "Neg", "held"))
    assert run_rules(graph, ALL).names == ["x", "y"]


def dropout(graph, keep_prob="keep_prob", scale=None):
    """As TensorFlow to 1.12 writes it."""
    graph.placeholder("x", (-1, 2))
    graph.constant("shape", [3, 2], "int32")
    graph.node("random", "RandomUniform", "shape", dtype="int32")
    graph.node("add", "Add", keep_prob, "random")
    graph.node("floor", "Floor", "add")
    graph.node("div", "RealDiv", "x", scale or keep_prob)
    graph.node("dropped", "Mul", "div", "floor")
    graph.outputs.append(graph.node("y", "Neg", "dropped"))


def test_leaves_dropout_alone_when_it_drops(graph, run_rules):
    graph.constant("keep_prob", 0.5)
    dropout(graph)
    assert run_rules(graph, "remove_dropout").refused == {
        "dropped": "its keep_prob is 0.5, so the model's outputs are random; export the graph for inference"
    }


def test_leaves_dropout_alone_when_its_rate_is_fed(graph, run_rules):
    graph.constant("one", 1)
    graph.node("keep_prob", "PlaceholderWithDefault", "one")
    graph.inputs.append("keep_prob")
    dropout(graph)
    assert "its keep_prob is keep_prob, which is not constant" in run_rules(graph, "remove_dropout").refused["dropped"]


def test_leaves_dropout_alone_when_it_scales_what_it_keeps(graph, run_rules):
    graph.constant("keep_prob", 1)
    graph.constant("half", 0.5)
    dropout(graph, scale="half")
    refused = run_rules(graph, "remove_dropout").refused
    assert refused == {"dropped": "it scales what it keeps by something other than 1"}


@pytest.mark.parametrize("limits", [(0, 2), (0.5, 1)])
def test_leaves_dropout_alone_when_its_random_numbers_may_reach_one(graph, run_rules, limits):
    graph.constant("keep_prob", 1)
    graph.constant("low", limits[0])
    graph.constant("high", limits[1])
    dropout(graph)
    graph.node("span", "Sub", "high", "low")
    graph.node("spread", "Mul", "random", "span")
    graph.node("uniform", "Add", "spread", "low")
    graph.find("add").input[1] = "uniform"
    assert run_rules(graph, "remove_dropout").fired == 0


def test_a_dropout_that_is_an_output_keeps_its_name(graph, run_rules):
    graph.constant("keep_prob", 1)
    dropout(graph)
    graph.outputs.append("dropped")
    rewritten = run_rules(graph, ALL)
    assert rewritten.find("dropped").op == "Identity"
    assert list(rewritten.find("dropped").input) == ["x"]
