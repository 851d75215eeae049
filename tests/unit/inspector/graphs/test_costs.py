"""Costs against what is counted by hand: a float32 has four bytes."""

import pytest
from modelmill_worker.errors import StepError


def test_what_lives_at_once_in_a_chain_is_two_results(graph_of, describe):
    graph = graph_of(("x", "Placeholder", (1, 10)), ("a", "Relu", "x"), ("b", "Tanh", "a"), ("c", "Sigmoid", "b"))
    costs = describe(graph)["costs"]
    assert (costs["activation_bytes"], costs["peak_activation_bytes"]) == (160, 80)


def test_a_branch_keeps_what_it_still_needs(graph_of, describe):
    graph = graph_of(
        ("x", "Placeholder", (1, 10)),
        ("a", "Relu", "x"),
        ("b", "Tanh", "a"),
        ("c", "Sigmoid", "b"),
        ("d", "Add", "a", "c"),
    )
    assert describe(graph)["costs"]["peak_activation_bytes"] == 120


def test_what_only_passes_a_result_on_has_no_memory_of_its_own(graph_of, describe):
    graph = graph_of(
        ("x", "Placeholder", (1, 10)), ("a", "Relu", "x"), ("same", "Identity", "a"), ("b", "Tanh", "same")
    )
    costs = describe(graph)["costs"]
    assert (costs["activation_bytes"], costs["peak_activation_bytes"]) == (120, 80)


def test_products_are_counted_and_the_dearest_come_first(graph_of, describe):
    graph = graph_of(
        ("x", "Placeholder", (-1, 10)),
        ("w", "Placeholder", (10, 5)),
        ("v", "Placeholder", (5, 2)),
        ("small", "MatMul", "large", "v"),
        ("large", "MatMul", "x", "w"),
    )
    costs = describe(graph, ["small"], x=(3, 10))["costs"]
    assert costs["multiply_adds"] == 3 * 10 * 5 + 3 * 5 * 2
    assert [node["name"] for node in costs["nodes"][:2]] == ["large", "small"]
    assert costs["nodes"][0]["shapes"] == [[3, 5]]
    assert costs["nodes_count"] == 5
    assert costs["input_shapes"] == {"x": [3, 10], "w": [10, 5], "v": [5, 2]}


def test_an_open_batch_counts_as_one_and_other_open_sizes_are_asked_for(graph_of, describe):
    graph = graph_of(("x", "Placeholder", (-1, -1)), ("w", "Placeholder", (10, 5)), ("y", "MatMul", "x", "w"))
    costs = describe(graph)["costs"]
    assert costs["input_shapes"]["x"] == [1, -1]
    assert costs["open_inputs"] == ["x"]
    assert costs["nodes_of_unknown_size"] > 0


def test_each_output_of_a_pipeline_has_a_shape_of_its_own(graph_of, describe):
    graph = graph_of(("it", "IteratorGetNext"), ("w", "Placeholder", (4, 2)), ("y", "MatMul", "it", "w"))
    for shape in ((-1, 4), (-1, 10)):
        listed = graph.node[0].attr["output_shapes"].list.shape.add()
        for size in shape:
            listed.dim.add().size = size
    graph.node[0].attr["output_types"].list.type.extend([1, 1])
    graph.node.add(name="label", op="Relu", input=["it:1"]).attr["T"].type = 1
    costs = describe(graph, ["y", "label"])["costs"]
    assert costs["multiply_adds"] == 4 * 2
    assert costs["input_shapes"] == {"it": [1, 4], "it:1": [1, 10], "w": [4, 2]}


def test_functions_count_where_they_are_called(graph_of, function_of, describe):
    graph = graph_of(("x", "Placeholder", (2, 10)), ("call", "PartitionedCall", "x"))
    graph.node[1].attr["f"].func.name = "f"
    graph.node[1].attr["Tout"].list.type.append(1)
    function_of(graph, "f", "a", "b:y:0", ("b", "MatMul", "a", "a")).node_def[0].attr["transpose_b"].b = True
    costs = describe(graph, ["call"])["costs"]
    assert costs["multiply_adds"] == 2 * 2 * 10
    assert costs["nodes"][0]["name"] == "call > b"


def test_an_ellipsis_in_an_equation_is_not_guessed_at(graph_of, describe):
    graph = graph_of(("x", "Placeholder", (1, 6, 6, 3)), ("w", "Placeholder", (3, 5)), ("y", "Einsum", "x", "w"))
    graph.node[2].attr["equation"].s = b"...c,cd->...d"
    costs = describe(graph)["costs"]
    assert costs["multiply_adds"] == 0
    assert costs["nodes_of_unknown_size"] == 1


def test_a_shape_for_an_input_that_is_not_there_is_refused(graph_of, describe):
    graph = graph_of(("x", "Placeholder", (-1, 10)), ("y", "Relu", "x"))
    with pytest.raises(StepError) as caught:
        describe(graph, images=(1, 10))
    assert (caught.value.reason, caught.value.details) == ("INPUT_NOT_FOUND", {"name": "images", "nearest": ["x"]})


def test_an_output_that_a_node_has_not_is_refused(graph_of, describe):
    graph = graph_of(("x", "Placeholder", (-1, 10)), ("y", "Relu", "x"))
    with pytest.raises(StepError, match="has no output 9") as caught:
        describe(graph, ["y:9"])
    assert caught.value.reason == "OUTPUT_NOT_FOUND"
