import pytest
from modelmill_freezer._endpoints import choose_inputs, choose_outputs, fix_input_shapes
from modelmill_freezer._nearest_names import nearest_names
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.signature import Signature


@pytest.fixture
def graph(graph_of):
    return graph_of(
        ("images", "Placeholder"),
        ("mask", "Placeholder"),
        ("net/Relu", "Relu", "images"),
        ("net/Softmax", "Softmax", "net/Relu"),
        ("net/masked", "Mul", "net/Relu", "mask"),
    )


def choose_endpoints(graph, outputs, inputs):
    chosen = choose_outputs(graph, outputs)
    nodes = [graph_def.node_name(tensor.tensor) for tensor in chosen]
    return Signature(choose_inputs(graph, nodes, inputs), chosen)


def names(side):
    return [tensor.name for tensor in side]


def refusal(function, *arguments):
    with pytest.raises(StepError) as caught:
        function(*arguments)
    return caught.value


def test_finds_what_nobody_named(graph):
    found = choose_endpoints(graph, (), ())
    assert names(found.inputs) == ["images", "mask"]
    assert names(found.outputs) == ["net/Softmax", "net/masked"]


def test_keeps_the_order_that_was_asked_for(graph):
    found = choose_endpoints(graph, ("net/masked", "net/Softmax:0"), ("mask", "images:0"))
    assert names(found.inputs) == ["mask", "images"]
    assert names(found.outputs) == ["net/masked", "net/Softmax"]
    assert [tensor.tensor for tensor in found.outputs] == ["net/masked:0", "net/Softmax:0"]


def test_inputs_are_those_that_the_named_outputs_need(graph):
    assert names(choose_endpoints(graph, ("net/Relu",), ()).inputs) == ["images"]


def test_a_wrong_output_brings_the_nearest_names_and_the_candidates(graph):
    error = refusal(choose_endpoints, graph, ("softmax",), ())
    assert error.reason == "OUTPUT_NOT_FOUND"
    assert error.details["nearest"][0] == "net/Softmax"
    assert error.details["candidates"] == ["net/Softmax", "net/masked"]
    assert "net/Softmax" in error.message


def test_refuses_an_input_that_is_no_placeholder(graph):
    error = refusal(choose_endpoints, graph, (), ("net/Relu",))
    assert (error.reason, error.details["candidates"]) == ("INPUT_NOT_FOUND", ["images", "mask"])


def test_refuses_an_input_that_the_outputs_do_not_need(graph):
    assert refusal(choose_endpoints, graph, ("net/Relu",), ("mask",)).reason == "INPUT_NOT_FOUND"


def test_refuses_to_leave_out_an_input_that_is_needed(graph):
    error = refusal(choose_endpoints, graph, (), ("images",))
    assert (error.reason, error.details["missing"]) == ("INPUTS_MISSING", ["mask"])


def test_refuses_a_graph_that_nobody_can_feed(graph_of):
    error = refusal(choose_endpoints, graph_of(("noise", "RandomUniform"), ("y", "Relu", "noise")), ("y",), ())
    assert (error.reason, error.details["sources"]) == ("INPUT_NOT_FOUND", ["noise"])


@pytest.mark.parametrize("name", ["images", "images:0"])
def test_fixes_open_dimensions(graph, name):
    fix_input_shapes(graph, {name: (8, 3)})
    assert tensors.decode_shape(graph_def.nodes_by_name(graph)["images"].attr["shape"].shape) == (8, 3)


@pytest.mark.parametrize("shape", [(8, 4), (8,), (8, 3, 1)])
def test_refuses_a_shape_that_the_placeholder_rules_out(graph, shape):
    error = refusal(fix_input_shapes, graph, {"images": shape})
    assert (error.reason, error.details["declared"]) == ("INPUT_SHAPE_MISMATCH", [-1, 3])


def test_refuses_a_shape_for_an_unknown_input(graph):
    error = refusal(fix_input_shapes, graph, {"image": (1, 3)})
    assert (error.reason, error.details["nearest"]) == ("INPUT_NOT_FOUND", ["images"])


def test_nearest_names_look_at_the_last_part_of_a_path():
    every = ["a/b/output", "c/Outputs", "d/weights"]
    assert nearest_names("output", every) == ["a/b/output", "c/Outputs"]


def test_nothing_is_near_to_nonsense():
    assert nearest_names("zzz", ["prob", "bbox"]) == []
