import numpy as np
import pytest
from modelmill_tflite_quantizer import input_stats
from modelmill_worker import StepError, graph_def
from modelmill_worker.signature import Signature, Tensor

SIGNATURE = Signature((Tensor("image", "in/x:0", "float32", (1, 4)),), ())


def graph_of(low, high, operation="FakeQuantWithMinMaxVars"):
    graph = graph_def.new_graph()
    graph.node.extend([graph_def.new_node("in/x", "Placeholder"), graph_def.new_node("same", "Identity", ("in/x",))])
    if operation == "FakeQuantWithMinMaxVars":
        for name, value in (("low", low), ("high", high)):
            graph.node.append(graph_def.new_constant(name, np.float32(value)))
            graph.node.append(graph_def.new_node(name + "/read", "Identity", (name,)))
        graph.node.append(graph_def.new_node("quantised", operation, ("same", "low/read", "high/read")))
    elif operation:
        node = graph_def.new_node("quantised", operation, ("same",))
        node.attr["min"].f, node.attr["max"].f = low, high
        graph.node.append(node)
    return graph


@pytest.mark.parametrize("operation", ["FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs"])
def test_follows_from_the_range_that_the_input_was_trained_with(operation):
    stats = input_stats.of_inputs(graph_of(0.0, 6.0, operation), SIGNATURE, {})

    assert stats == {"in/x": pytest.approx((0.0, 42.5))}


def test_a_range_is_moved_so_that_zero_is_one_of_its_values():
    mean, deviation = input_stats.of_inputs(graph_of(-1.0, 1.0), SIGNATURE, {})["in/x"]

    assert mean == pytest.approx(round(mean))
    assert deviation == pytest.approx(127.5)


def test_what_is_given_counts():
    assert input_stats.of_inputs(graph_of(0.0, 6.0), SIGNATURE, {"image": (127.5, 127.5)}) == {"in/x": (127.5, 127.5)}


def test_an_input_without_a_range_needs_the_option():
    with pytest.raises(StepError) as caught:
        input_stats.of_inputs(graph_of(0.0, 0.0, ""), SIGNATURE, {})
    assert caught.value.reason == "INPUT_STATS_MISSING"
    assert "input_stats" in caught.value.message


@pytest.mark.parametrize("given", [{"other": (0.0, 1.0)}, {"image": (1.0,)}, {"image": (0.0, 0.0)}])
def test_refuses_stats_that_mean_nothing(given):
    with pytest.raises(StepError) as caught:
        input_stats.of_inputs(graph_of(0.0, 6.0), SIGNATURE, given)
    assert caught.value.reason == "INVALID_OPTION"
