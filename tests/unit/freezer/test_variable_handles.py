"""Functions that were handed variables take their values."""

import sys
from pathlib import Path

import numpy as np
import pytest
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError

sys.path.insert(0, str(Path(__file__).parent))

from function_graphs import BOOL, FLOAT, RESOURCE, function, new_graph, node

pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")

SHAPE = "shape { dim { size: 3 } }"
VALUES = {"v": np.float32([1, 2, 3]), "w": np.float32([4, 5, 6])}


def variable(name):
    return node(name, "VarHandleOp", dtype=FLOAT, shape=SHAPE)


READ = node("read", "ReadVariableOp", "handle", dtype=FLOAT)
BRANCH = function("branch", {"handle": RESOURCE}, {"y": ("read:value:0", FLOAT)}, READ)
CONDITION = node("p", "Placeholder", dtype=BOOL)


def choose(name, handle, branches=("branch", "branch")):
    functions = {"then_branch": branches[0] + "()", "else_branch": branches[1] + "()"}
    return node(name, "If", "p", handle, Tcond=BOOL, Tin=[RESOURCE], Tout=[FLOAT], **functions)


def freeze(graph, *outputs):
    from modelmill_freezer._freezing import freeze_graph

    return freeze_graph(graph, VALUES, outputs).graph


def functions_of(graph):
    return {it.signature.name: it for it in graph.library.function}


def test_a_branch_takes_the_value_and_equal_variables_share_a_copy():
    graph = new_graph([CONDITION, variable("v"), variable("w"), choose("a", "v"), choose("b", "w")], [BRANCH])
    frozen = freeze(graph, "a", "b")
    (name,) = functions_of(frozen)
    copy = functions_of(frozen)[name]
    assert [it.type for it in copy.signature.input_arg] == [1]
    assert [(it.op, list(it.input)) for it in copy.node_def] == [("Identity", ["handle"])]
    assert dict(copy.ret) == {"y": "read:output:0"}
    nodes = graph_def.nodes_by_name(frozen)
    assert {nodes[it].attr["then_branch"].func.name for it in "ab"} == {name}
    assert list(nodes["a"].attr["Tin"].list.type) == [1]


def test_a_loop_passes_the_value_on_and_tells_its_shape():
    turn = function(
        "turn",
        {"t": FLOAT, "handle": RESOURCE},
        {"t2": ("sum:z:0", FLOAT), "handle2": ("handle", RESOURCE)},
        READ,
        node("sum", "Add", "t", "read:value:0", T=FLOAT),
    )
    go = function(
        "go",
        {"t": FLOAT, "handle": RESOURCE},
        {"c": ("true:output:0", BOOL)},
        node("true", "Const", dtype=BOOL, value="tensor { dtype: DT_BOOL tensor_shape { } bool_val: true }"),
    )
    shapes = "list { shape { dim { size: 3 } } shape { } }"
    types = [FLOAT, RESOURCE]
    loop = node("loop", "While", "x", "v", T=types, cond="go()", body="turn()", output_shapes=shapes)
    graph = new_graph([node("x", "Placeholder", dtype=FLOAT), variable("v"), loop], [turn, go])
    frozen = freeze(graph, "loop")
    loop = graph_def.nodes_by_name(frozen)["loop"]
    assert list(loop.attr["T"].list.type) == [1, 1]
    assert [[dim.size for dim in shape.dim] for shape in loop.attr["output_shapes"].list.shape] == [[3], [3]]
    body = functions_of(frozen)[loop.attr["body"].func.name]
    assert [it.type for it in body.signature.output_arg] == [1, 1]
    assert body.ret["handle2"] == "handle"


def test_names_the_node_and_the_function_that_take_the_variable_itself():
    update = function(
        "update", {"handle": RESOURCE}, {"y": ("u:out:0", FLOAT)}, node("u", "Unheard", "handle", T=RESOURCE)
    )
    graph = new_graph([CONDITION, variable("v"), choose("a", "v", ("branch", "update"))], [BRANCH, update])
    with pytest.raises(StepError) as caught:
        freeze(graph, "a")
    assert caught.value.reason == "UNSUPPORTED_VARIABLE_USE"
    assert caught.value.details == {"node": "u", "operation": "Unheard", "function": "update"}


def test_refuses_a_variable_that_a_function_makes_for_itself():
    own = function(
        "own",
        {"handle": RESOURCE},
        {"y": ("read:value:0", FLOAT)},
        variable("inside"),
        node("read", "ReadVariableOp", "inside:resource:0", dtype=FLOAT),
    )
    graph = new_graph([CONDITION, variable("v"), choose("a", "v", ("branch", "own"))], [BRANCH, own])
    with pytest.raises(StepError) as caught:
        freeze(graph, "a")
    assert caught.value.reason == "UNSUPPORTED_VARIABLE_USE"
    assert caught.value.details["node"] == "inside"


def test_functions_that_nothing_needs_are_dropped():
    graph = new_graph([node("x", "Placeholder", dtype=FLOAT), node("y", "Identity", "x", T=FLOAT)], [BRANCH])
    assert functions_of(freeze(graph, "y")) == {}
