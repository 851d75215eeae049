"""Calls of functions become the functions' nodes."""

import sys
from pathlib import Path

import pytest
from modelmill_worker.errors import StepError

sys.path.insert(0, str(Path(__file__).parent))

from function_graphs import FLOAT, function, new_graph, node

pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")

DOUBLE = function("double", {"x": FLOAT}, {"y": ("sum:z:0", FLOAT)}, node("sum", "Add", "x", "x", T=FLOAT))
X = node("x", "Placeholder", dtype=FLOAT)


def call(name, called, *inputs, results=1):
    return node(name, "PartitionedCall", *inputs, Tin=[FLOAT] * len(inputs), Tout=[FLOAT] * results, f=called + "()")


def inline(graph, *outputs, keep=()):
    from modelmill_freezer._inlining import inline_calls
    from modelmill_freezer._tensorflow import library_of

    return inline_calls(graph, outputs, library_of(graph), keep)


def inputs_of(inlined):
    return {it.name: list(it.input) for it in inlined.graph.node}


def test_a_name_that_is_taken_gets_the_calls_name_before_it():
    graph = new_graph([X, call("first", "double", "x"), call("second", "double", "first")], [DOUBLE])
    inlined = inline(graph, "second")
    assert inputs_of(inlined) == {"x": [], "sum": ["x", "x"], "second/sum": ["sum", "sum"]}
    assert inlined.tensor("second") == "second/sum:0"
    assert [change.nodes for change in inlined.changes({"first", "x"})] == [("first",)]
    assert inlined.changes({"x"}) == ()


def test_calls_inside_functions_are_inlined_as_well():
    twice = function(
        "twice", {"x": FLOAT}, {"y": ("b:output:0", FLOAT)}, call("a", "double", "x"), call("b", "double", "a:output:0")
    )
    inlined = inline(new_graph([X, call("twice", "twice", "x")], [DOUBLE, twice]), "twice")
    assert inputs_of(inlined) == {"x": [], "sum": ["x", "x"], "b/sum": ["sum", "sum"]}
    assert inlined.tensor("twice:0") == "b/sum:0"
    assert [change.nodes for change in inlined.changes({"twice"})] == [("twice", "a", "b")]


def test_the_outputs_of_an_operation_are_counted_as_it_defines_them():
    several = function(
        "several",
        {"x": FLOAT},
        {"places": ("unique:idx:0", "DT_INT32"), "last": ("split:output:2", FLOAT), "same": ("x", FLOAT)},
        node("unique", "Unique", "x", T=FLOAT, out_idx="DT_INT32"),
        node("axis", "Const", dtype="DT_INT32", value="tensor { dtype: DT_INT32 tensor_shape { } int_val: 0 }"),
        node("split", "Split", "axis:output:0", "x", T=FLOAT, num_split="i: 3"),
    )
    inlined = inline(new_graph([X, call("s", "several", "x", results=3)], [several]), "s")
    assert [inlined.tensor(f"s:{index}") for index in range(3)] == ["unique:1", "split:2", "x:0"]


def test_what_runs_before_a_call_runs_before_what_nothing_feeds():
    constant = node("one", "Const", dtype=FLOAT, value="tensor { dtype: DT_FLOAT tensor_shape { } float_val: 1 }")
    ones = function("ones", {}, {"y": ("one:output:0", FLOAT)}, constant)
    graph = new_graph([X, call("c", "ones", "^x"), node("after", "Identity", "x", "^c", T=FLOAT)], [ones])
    assert inputs_of(inline(graph, "after")) == {"x": [], "one": ["^x"], "after": ["x", "^one", "^x"]}


def test_calls_that_are_not_needed_or_shall_stay_are_left_alone():
    graph = new_graph([X, call("a", "double", "x"), call("b", "double", "a"), call("c", "double", "x")], [DOUBLE])
    inlined = inline(graph, "b", keep=["b"])
    assert inputs_of(inlined) == {"x": [], "sum": ["x", "x"], "b": ["sum"], "c": ["x"]}


def test_an_output_keeps_the_name_of_its_call():
    from modelmill_freezer._inlining import keep_name

    inlined = inline(new_graph([X, call("y", "double", "x")], [DOUBLE]), "y")
    keep_name(inlined, ["y:0"])
    assert inputs_of(inlined)["y"] == ["sum:0"]


@pytest.mark.parametrize(
    ("called", "functions", "reason"),
    [
        ("gone", [], "FUNCTION_MISSING"),
        (
            "itself",
            [function("itself", {"x": FLOAT}, {"y": ("c:output:0", FLOAT)}, call("c", "itself", "x"))],
            "UNSUPPORTED_FUNCTION",
        ),
        (
            "unheard",
            [function("unheard", {"x": FLOAT}, {"y": ("c:second:0", FLOAT)}, node("c", "Unique", "x", T=FLOAT))],
            "UNSUPPORTED_FUNCTION",
        ),
    ],
)
def test_says_which_function_cannot_be_inlined(called, functions, reason):
    with pytest.raises(StepError) as caught:
        inline(new_graph([X, call("y", called, "x")], functions), "y")
    assert caught.value.reason == reason
    assert caught.value.details["function"] == called


def test_an_operation_that_nobody_knows_is_kept_where_it_has_one_output():
    own = function("own", {"x": FLOAT}, {"y": ("c:out:0", FLOAT)}, node("c", "OurOwnOperation", "x", T=FLOAT))
    inlined = inline(new_graph([X, call("y", "own", "x")], [own]), "y")
    assert inputs_of(inlined) == {"x": [], "c": ["x"]}
    assert inlined.tensor("y") == "c:0"
