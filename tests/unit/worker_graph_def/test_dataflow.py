import pytest
from modelmill_worker.dataflow import Dataflow, prune
from modelmill_worker.errors import StepError


def names(graph):
    return [node.name for node in graph.node]


def test_keeps_what_the_outputs_need_in_its_order(graph_of):
    graph = graph_of(("x", "Placeholder"), ("loss", "Mean", "y"), ("y", "Relu", "x"), ("z", "Neg", "x"))
    assert names(prune(graph, ["y"])) == ["x", "y"]
    assert len(graph.node) == 4


def test_drops_control_inputs_that_are_there_for_side_effects(graph_of):
    graph = graph_of(("x", "Placeholder"), ("update", "AssignSub", "x", "x"), ("y", "Identity", "x", "^update"))
    pruned = prune(graph, ["y"])
    assert names(pruned) == ["x", "y"]
    assert list(pruned.node[1].input) == ["x"]


def test_drops_the_identity_of_an_assignment_as_well(graph_of):
    graph = graph_of(("x", "Placeholder"), ("a", "Assign", "x", "x"), ("i", "Identity", "a"), ("y", "Relu", "x", "^i"))
    assert names(prune(graph, ["y"])) == ["x", "y"]


def test_keeps_control_inputs_that_tell_a_branch(graph_of):
    graph = graph_of(
        ("x", "Placeholder"),
        ("p", "Placeholder"),
        ("cond/Switch", "Switch", "p", "p"),
        ("cond/switch_t", "Identity", "cond/Switch:1"),
        ("cond/Const", "Const", "^cond/switch_t"),
        ("y", "Mul", "x", "cond/Const"),
    )
    pruned = prune(graph, ["y"])
    assert names(pruned) == ["x", "p", "cond/Switch", "cond/switch_t", "cond/Const", "y"]
    assert list(pruned.node[4].input) == ["^cond/switch_t"]


def test_keeps_versions_and_functions(graph_of):
    graph = graph_of(("x", "Placeholder"))
    graph.library.function.add().signature.name = "f"
    pruned = prune(graph, ["x"])
    assert pruned.versions.producer == 26
    assert pruned.library.function[0].signature.name == "f"


def test_survives_long_chains(graph_of):
    chain = [("n0", "Placeholder")] + [(f"n{i}", "Relu", f"n{i - 1}") for i in range(1, 5000)]
    assert len(prune(graph_of(*chain), ["n4999"]).node) == 5000


def test_survives_loops(graph_of):
    graph = graph_of(("x", "Placeholder"), ("m", "Merge", "x", "n"), ("n", "NextIteration", "m"), ("e", "Exit", "m"))
    assert names(prune(graph, ["e"])) == ["x", "m", "n", "e"]


def test_refuses_an_input_that_is_missing(graph_of):
    with pytest.raises(StepError) as caught:
        Dataflow(graph_of(("y", "Relu", "x")))
    assert caught.value.reason == "GRAPH_DEF_DAMAGED"
    assert "y has the input x" in caught.value.message


def test_what_is_passed_on_is_followed_to_where_it_comes_from(graph_of):
    flow = Dataflow(graph_of(("v", "VariableV2"), ("read", "Identity", "v"), ("again", "Identity", "read")))
    assert flow.passed_on("again", ("Identity",)) == ["again", "read", "v"]
    assert flow.passed_on("v", ("Identity",)) == ["v"]


def test_following_ends_where_a_damaged_graph_goes_in_circles(graph_of):
    flow = Dataflow(graph_of(("a", "Identity", "b"), ("b", "Identity", "a"), ("c", "Identity", "a")))
    assert flow.passed_on("c", ("Identity",)) == ["c", "a", "b"]
