"""Functions, and TensorFlow 1's conditions, through every target's rules: they stay as they are."""

import pytest
from modelmill_rewriter.rules_api import Target


@pytest.mark.parametrize("target", ["tflite", "tfjs", ""])
def test_functions_stay_as_they_are(graph, run_rules, target):
    graph.placeholder("x", (2, 2))
    graph.outputs.append(graph.node("y", "PartitionedCall", "x", T=None))
    function = graph.message.library.function.add()
    function.signature.name = "f"
    function.signature.input_arg.add(name="a", type=1)
    function.signature.output_arg.add(name="r", type=1)
    for name, operation, read in (("same", "Identity", "a"), ("again", "Relu", "same:output:0"), ("idle", "Neg", "a")):
        node = function.node_def.add(name=name, op=operation)
        node.input.append(read)
        node.attr["T"].type = 1
    function.ret["r"] = "again:activations:0"
    graph.find("y").attr["f"].func.name = "f"
    before = graph.message.library.SerializeToString(deterministic=True)
    rewritten = run_rules(graph, "default", target=Target(target))
    assert rewritten.message.library.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("target", ["tflite", "tfjs", ""])
def test_a_condition_of_tensorflow_1_stays_as_it_is(graph, run_rules, target):
    """Both sides hold what rules are there for: an Identity, and a product that could be part of a filter."""
    graph.placeholder("x", (2, 2))
    graph.placeholder("which", (), "bool")
    graph.constant("w", [[1, 2], [3, 4]])
    graph.constant("factor", 2.0)
    graph.node("switch", "Switch", "x", "which")
    graph.node("same", "Identity", "switch:1")
    graph.node("product", "MatMul", "same", "w")
    graph.node("scaled", "Mul", "product", "factor")
    graph.outputs.append(graph.node("y", "Merge", "switch", "scaled"))
    rewritten = run_rules(graph, "default", target=Target(target))
    assert [node.SerializeToString(deterministic=True) for node in rewritten.message.node] == [
        node.SerializeToString(deterministic=True) for node in graph.message.node
    ]
