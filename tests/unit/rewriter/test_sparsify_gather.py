"""sparsify_gather: the same weights are found, the model gets an initializer, and what cannot be in a table stays."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_rewriter.interfaces import interface_of, signature_after
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules.folding.sparsify_gather import SparsifyGather
from modelmill_rewriter.rules_api import Target
from modelmill_worker import graph_def, signature
from modelmill_worker.errors import StepError

INITIALIZER = ("group_deps",)


def gathering(graph, name, ids, weights="w", kind="int64", operation="Gather", axis=0):
    inputs = [weights, ids]
    attributes = {"Tparams": "float32", "Tindices": kind}
    if operation == "GatherV2":
        inputs.append(graph.constant(name + "/axis", axis, "int32"))
        attributes["Taxis"] = "int32"
    graph.outputs.append(graph.node(name, operation, *inputs, T=None, **attributes))


def model(new_graph, weights, kind="int64", operation="Gather", ids_shape=None):
    graph = new_graph()
    graph.placeholder("ids", ids_shape, kind)
    graph.constant("w", weights)
    graph.node("w/read", "Identity", "w")
    gathering(graph, "y", "ids", "w/read", kind, operation)
    return graph


weights = arrays.arrays(
    np.float32,
    strategies.tuples(strategies.integers(1, 30), strategies.just(1)),
    elements=strategies.one_of(strategies.just(0.0), strategies.floats(-9, 9, width=32)),
)


@pytest.mark.parametrize("kind", ["int32", "int64"])
@pytest.mark.parametrize("operation", ["Gather", "GatherV2"])
@given(array=weights, seed=strategies.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_finds_the_same_weights(kind, operation, array, seed, new_graph, run_rules, compute):
    graph = model(new_graph, array, kind, operation)
    rewritten = run_rules(graph, "sparsify_gather")
    ids = np.random.default_rng(seed).integers(0, len(array), (2, 3)).astype(kind)
    before = compute(graph.message, {"ids": ids}, ["y"])[0]
    after = compute(rewritten.message, {"ids": ids}, ["y"], initializers=INITIALIZER)[0]
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5)  # What is smaller is taken for 0.


def test_the_table_has_what_is_not_zero(new_graph, run_rules):
    rewritten = run_rules(model(new_graph, [[0], [0.5], [9e-6], [-2]]), "sparsify_gather")
    assert graph_def.constant_value(rewritten.find("w/indices")).tolist() == [1, 3]
    assert graph_def.constant_value(rewritten.find("w/values")).tolist() == [0.5, -2]
    assert "w" not in rewritten.names


def test_one_table_serves_all_that_gather_from_the_same_weights(new_graph, run_rules):
    graph = model(new_graph, np.eye(9, 1))
    gathering(graph, "z", "ids")
    rewritten = run_rules(graph, "sparsify_gather")
    assert rewritten.operations.count("HashTableV2") == 1
    assert rewritten.operations.count("LookupTableFindV2") == 2
    assert rewritten.fired == 2


def test_joins_an_initializer_that_is_there(new_graph, run_rules):
    graph = model(new_graph, np.eye(9, 1))
    graph.node("init", "NoOp", T=None)
    graph.outputs.append("init")
    rewritten = run_rules(graph, "sparsify_gather(group_init_node=init)")
    assert list(rewritten.find("init").input) == ["^w/InitializeTable"]
    assert [str(tensor) for tensor in rewritten.interface.outputs] == ["y", "init"]


def test_the_signature_tells_what_to_run_first(new_graph):
    graph = model(new_graph, np.eye(9, 1))
    named = signature.Signature(
        (signature.Tensor("ids", "ids:0", "int64", None),), (signature.Tensor("y", "y:0", "float32", None),)
    )
    rewritten = rewrite_graph(graph.message, interface_of(named), [SparsifyGather()], Target())
    after = signature_after(named, rewritten.index)
    assert after.initializers == INITIALIZER
    assert [output.name for output in after.outputs] == ["y"]


@pytest.mark.parametrize("operation", ["Gather", "GatherV2"])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_computes_what_transform_graph_computes(operation, share, new_graph, run_rules, compute):
    tool = pytest.importorskip("tensorflow.tools.graph_transforms", reason="needs the tool, of TensorFlow before 2.0")
    random = np.random.default_rng(0)
    array = random.normal(size=(1000, 1)) * (random.random((1000, 1)) < share)
    graph = model(new_graph, array, operation=operation)
    theirs = tool.TransformGraph(graph_def.copy(graph.message), ["ids"], ["y", "group_deps"], ["sparsify_gather"])
    ours = run_rules(graph, "sparsify_gather").message
    assert len(ours.node) <= len(theirs.node)
    feeds = {"ids": np.arange(1000, dtype=np.int64)}
    results = (
        compute(message, feeds, ["y"], initializers=INITIALIZER)[0]
        for message in (ours, graph_def.parse(theirs.SerializeToString()))
    )
    np.testing.assert_array_equal(*results)


def refusal(graph, run_rules):
    return run_rules(graph, "sparsify_gather").refused


def test_leaves_alone_when_rows_are_gathered(new_graph, run_rules):
    reason = "what it gathers from has the shape [4, 2], and a table holds single numbers, [N, 1]"
    assert refusal(model(new_graph, np.ones((4, 2))), run_rules) == {"y": reason}


def test_leaves_alone_when_the_weights_are_fed(new_graph, run_rules):
    graph = model(new_graph, np.ones((4, 1)))
    graph.inputs.append("w")
    assert refusal(graph, run_rules) == {"y": "what it gathers from, w/read, is not constant"}


def test_leaves_alone_when_it_gathers_along_another_axis(graph, run_rules):
    graph.placeholder("ids", None, "int64")
    graph.constant("w", np.ones((4, 1)))
    gathering(graph, "y", "ids", operation="GatherV2", axis=1)
    assert refusal(graph, run_rules) == {"y": "it does not gather along the first axis"}


def test_leaves_alone_when_it_gathers_in_batches(graph, run_rules):
    graph.placeholder("ids", None, "int64")
    graph.constant("w", np.ones((4, 1)))
    gathering(graph, "y", "ids", operation="GatherV2")
    graph.find("y").attr["batch_dims"].i = 1
    assert refusal(graph, run_rules) == {"y": "it gathers for each member of a batch"}


def test_leaves_alone_when_the_weights_lie_beside_the_graph(new_graph, run_rules):
    graph = model(new_graph, np.ones((4, 1)))
    graph.find("w").attr["_modelmill_weights"].list.i.extend([64, 16])
    assert refusal(graph, run_rules) == {"y": "the weights lie beside the graph, which is too large to hold them"}


def test_leaves_alone_when_it_lies_in_a_loop(graph, run_rules):
    graph.placeholder("start", None, "int64")
    graph.node("ids", "Enter", "start", dtype="int64", frame_name=b"while")
    graph.constant("w", np.ones((4, 1)))
    gathering(graph, "y", "ids")
    assert refusal(graph, run_rules) == {"y": "it lies inside a loop or a condition, where no table can be read"}


def test_leaves_alone_when_the_type_of_the_indices_is_not_known(graph, run_rules):
    graph.placeholder("x", None)
    graph.node("ids", "Unheard", "x", T=None)
    graph.constant("w", np.ones((4, 1)))
    gathering(graph, "y", "ids")
    assert refusal(graph, run_rules) == {"y": "the type of its indices is not known"}


def test_says_nothing_about_whole_numbers(graph, run_rules):
    graph.placeholder("ids", None, "int64")
    graph.constant("w", np.ones((4, 1)), "int32")
    graph.outputs.append(graph.node("y", "Gather", "w", "ids", T=None, Tparams="int32", Tindices="int64"))
    assert refusal(graph, run_rules) == {}


def test_refuses_an_initializer_that_is_something_else(new_graph, run_rules):
    with pytest.raises(StepError) as raised:
        run_rules(model(new_graph, np.ones((4, 1))), "sparsify_gather(group_init_node=w)")
    assert raised.value.reason == "INVALID_OPTION"
