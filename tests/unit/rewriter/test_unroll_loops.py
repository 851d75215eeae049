"""Which loops are written out, and why the others stay; by hand-made graphs, without TensorFlow."""

from __future__ import annotations  # these tests run on Python 3.7 as well

import numpy as np
import pytest
from modelmill_rewriter.rules.loops import unroll_loops
from modelmill_rewriter.rules.loops.unroll_loops import UnrollLoops
from modelmill_worker.errors import StepError


def loop(graph, limit="limit", first="first", step="step", comparison="Less", body=None, into="x"):
    """y = x doubled as often as a counter from `first` by `step` compares with `limit`."""
    graph.constant("first", 0, "int32")
    graph.constant("limit", 3, "int32")
    graph.constant("step", 1, "int32")
    around = {"frame_name": b"loop", "is_constant": False, "parallel_iterations": 10}
    graph.node("enter", "Enter", first, dtype="int32", **around)
    graph.node("enter_x", "Enter", into, **around)
    graph.node("enter_limit", "Enter", limit, dtype="int32", **{**around, "is_constant": True})
    graph.node("enter_step", "Enter", step, dtype="int32", **{**around, "is_constant": True})
    graph.node("counter", "Merge", "enter", "next", dtype="int32", N=2)
    graph.node("value", "Merge", "enter_x", "next_x", N=2)
    graph.node("compare", comparison, "counter", "enter_limit", dtype="int32")
    graph.node("condition", "LoopCond", "compare", T=None)
    graph.node("switch", "Switch", "counter", "condition", dtype="int32")
    graph.node("switch_x", "Switch", "value", "condition")
    graph.node("counted", "Add", "switch:1", "enter_step", dtype="int32")
    graph.node("carried", "Identity", "switch_x:1")
    graph.node("doubled", body or "Add", "carried", "carried")
    graph.node("next", "NextIteration", "counted", dtype="int32")
    graph.node("next_x", "NextIteration", "doubled")
    graph.node("exit", "Exit", "switch", dtype="int32")
    graph.node("exit_x", "Exit", "switch_x")
    graph.outputs.append(graph.node("y", "Neg", "exit_x"))
    return graph


def looped(graph, **changes):
    graph.placeholder("x", (2,))
    return loop(graph, **changes)


@pytest.mark.parametrize(
    ("first", "step", "limit", "comparison", "times"),
    [
        (0, 1, 3, "Less", 3),
        (0, 1, 3, "LessEqual", 4),
        (2, 3, 10, "Less", 3),
        (5, -2, 0, "Greater", 3),
        (0, 2, 6, "NotEqual", 3),
        (4, 1, 4, "Less", 0),
    ],
)
def test_runs_as_often_as_the_loop_did(graph, run_rules, compute, first, step, limit, comparison, times):
    looped(graph, first="one", step="two", limit="three", comparison=comparison)
    for name, value in (("one", first), ("two", step), ("three", limit)):
        graph.constant(name, value, "int32")
    rewritten = run_rules(graph, "unroll_loops")
    assert rewritten.operations.count("Add") == times
    feeds = {"x": np.array([0.75, -3.0], np.float32)}
    np.testing.assert_array_equal(compute(rewritten.message, feeds, ["y"])[0], -feeds["x"] * 2.0**times)


def test_what_only_counted_is_gone(graph, run_rules):
    rewritten = run_rules(looped(graph), "unroll_loops")
    assert sorted(rewritten.operations) == ["Add", "Add", "Add", "Neg", "Placeholder"]
    assert rewritten.fired == 1


def test_an_exit_that_is_an_output_keeps_its_name(graph, run_rules, compute):
    looped(graph).outputs[:] = ["exit_x", "exit"]
    rewritten = run_rules(graph, "unroll_loops")
    assert rewritten.find("exit_x").op == rewritten.find("exit").op == "Identity"
    values = compute(rewritten.message, {"x": np.ones(2, np.float32)}, ["exit_x", "exit"])
    assert [value.tolist() for value in values] == [[8, 8], 3]


def test_who_waited_for_the_loop_waits_for_its_end(graph, run_rules):
    looped(graph)
    graph.node("other", "Abs", "x", "^exit_x")
    graph.outputs.append("other")
    rewritten = run_rules(graph, "unroll_loops")
    assert list(rewritten.find("other").input) == ["x", "^doubled/iteration_2"]


def test_leaves_alone_when_the_limit_is_not_constant(graph, run_rules):
    graph.placeholder("given", (), "int32")
    rewritten = run_rules(looped(graph, limit="given"), "unroll_loops")
    assert rewritten.refused == {"condition": "how often it runs depends on 'given', which is not constant"}
    assert rewritten.fired == 0


def test_leaves_alone_when_the_start_is_not_constant(graph, run_rules):
    graph.placeholder("given", (), "int32")
    rewritten = run_rules(looped(graph, first="given"), "unroll_loops")
    assert rewritten.refused == {"condition": "how often it runs depends on 'given', which is not constant"}


def test_leaves_alone_when_the_limit_is_an_input_with_a_default(graph, run_rules):
    graph.inputs.append("limit")
    rewritten = run_rules(looped(graph), "unroll_loops")
    assert rewritten.refused == {"condition": "how often it runs depends on 'limit', which is not constant"}


def test_leaves_alone_when_it_runs_too_often(graph, run_rules):
    rewritten = run_rules(looped(graph), "unroll_loops(max_iterations=2)")
    assert rewritten.refused == {"condition": "it runs more than 2 times; raise max_iterations to unroll it"}


def test_leaves_alone_when_it_would_make_too_large_a_graph(graph, run_rules, monkeypatch):
    monkeypatch.setattr(unroll_loops, "_LARGEST_GRAPH", 20)
    (reason,) = run_rules(looped(graph), "unroll_loops").refused.values()
    assert reason.startswith("written out it would make a graph of ")
    assert reason.endswith(" nodes, and 20 are the most")


def test_leaves_alone_when_it_never_ends(graph, run_rules):
    graph.constant("nothing", 0, "int32")
    rewritten = run_rules(looped(graph, step="nothing"), "unroll_loops")
    assert rewritten.refused == {"condition": "it runs more than 256 times; raise max_iterations to unroll it"}


def test_leaves_alone_when_an_operation_has_a_state(graph, run_rules):
    graph.constant("shape", [2], "int32")
    rewritten = run_rules(looped(graph, body="Multinomial"), "unroll_loops")
    assert rewritten.refused == {
        "condition": "its 'doubled' (Multinomial) has a state of its own, which copies would not share"
    }


def test_leaves_alone_when_a_part_is_an_output(graph, run_rules):
    looped(graph).outputs.append("doubled")
    assert run_rules(graph, "unroll_loops").refused == {"condition": "its 'doubled' is an input or output of the model"}


def test_leaves_alone_when_a_variable_is_handed_on(graph, run_rules):
    looped(graph)
    graph.find("enter_x").op = "RefEnter"
    assert run_rules(graph, "unroll_loops").refused == {
        "condition": "its 'enter_x' hands on a variable rather than a value"
    }


def test_leaves_alone_when_it_lies_inside_a_condition(graph, run_rules):
    graph.placeholder("x", (2,))
    graph.placeholder("p", (), "bool")
    graph.node("side", "Switch", "x", "p")
    loop(graph, into="side:1")
    assert run_rules(graph, "unroll_loops").refused == {"condition": "it lies inside the condition on 'p'"}


def test_leaves_alone_when_two_conditions_share_a_frame(graph, run_rules):
    looped(graph)
    graph.node("condition_too", "LoopCond", "compare", T=None)
    assert run_rules(graph, "unroll_loops").refused == {
        "condition": "its frame has 2 conditions to end it, and not one"
    }


def test_leaves_alone_when_something_else_leads_out(graph, run_rules):
    looped(graph)
    graph.node("odd", "Switch", "doubled", "condition")
    graph.node("exit_odd", "Exit", "odd")
    graph.outputs.append("exit_odd")
    assert run_rules(graph, "unroll_loops").refused == {
        "condition": "its 'odd' leads out of it what is no variable of its own"
    }


def test_leaves_alone_when_a_node_runs_as_the_loop_ends(graph, run_rules):
    looped(graph)
    graph.node("late", "Neg", "switch_x")
    graph.node("exit_late", "Exit", "late")
    graph.outputs.append("exit_late")
    assert run_rules(graph, "unroll_loops").refused == {
        "condition": "its 'late' reads 'switch_x' when the loop has ended"
    }


def test_leaves_alone_when_a_variable_starts_otherwise(graph, run_rules):
    looped(graph)
    graph.find("value").input[:] = ["next_x", "enter_x"]
    assert run_rules(graph, "unroll_loops").refused == {
        "condition": "its variable 'value' is not one of an Enter and a NextIteration"
    }


def test_a_negative_number_of_iterations_is_no_option(graph, run_rules):
    with pytest.raises(StepError) as raised:
        run_rules(looped(graph), UnrollLoops(max_iterations=-1))
    assert raised.value.reason == "INVALID_OPTION"


def test_the_work_grows_with_the_iterations_and_no_faster(new_graph, run_rules):
    def names(limit):
        graph = looped(new_graph(), limit="many")
        graph.constant("many", limit, "int32")
        return run_rules(graph, UnrollLoops(max_iterations=5000)).names

    assert len(names(4000)) - len(names(2000)) == 2000
