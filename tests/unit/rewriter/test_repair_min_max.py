"""MinMax repair: what lacks a range gets the one that is told or follows, and numbers move by half a step at most."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, strategies
from modelmill_worker.errors import StepError

RULE = "repair_min_max"
NUMBERS = strategies.floats(-9, 9, width=32)
IMAGES = strategies.tuples(strategies.just(1), strategies.integers(1, 4), strategies.integers(1, 4), strategies.just(2))


def fake_quant(graph, name, reads, low, high):
    graph.constant(name + "/min", low)
    graph.constant(name + "/max", high)
    return graph.node(name, "FakeQuantWithMinMaxVars", reads, name + "/min", name + "/max", T=None)


def convolution(graph, reads):
    """An input that is quantised, a convolution and a bias: the last one's name."""
    fake_quant(graph, "input", reads, -9.0, 9.0)
    graph.constant("filter", np.eye(2).reshape(1, 1, 2, 2))
    graph.constant("bias/value", [0.5, -0.5])
    graph.node("conv", "Conv2D", "input", "filter", strides=(1, 1, 1, 1), padding=b"SAME")
    return graph.node("bias", "BiasAdd", "conv", "bias/value")


@pytest.fixture
def net(graph):
    """An input `x` [1, ?, ?, 2] as far as a bias."""
    graph.placeholder("x", (1, -1, -1, 2))
    convolution(graph, "x")
    return graph


def told(rewritten, name):
    """The range that a node of that name has, or None where it quantises nothing."""
    node = rewritten.find(name)
    if node.op != "FakeQuantWithMinMaxVars":
        return None
    ends = [rewritten.find(end).attr["value"].tensor for end in node.input[1:]]
    return tuple(np.frombuffer(end.tensor_content, np.float32).item() for end in ends)


@given(data=strategies.data(), high=strategies.floats(0.5, 9, width=32), low=strategies.floats(-9, 0, width=32))
def test_an_output_is_given_out_by_the_fake_quantisation_behind_it(new_graph, run_rules, compute, data, low, high):
    x = data.draw(IMAGES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=NUMBERS)))
    graph = new_graph()
    graph.placeholder("x", (1, -1, -1, 2))
    convolution(graph, "x")
    fake_quant(graph, "behind", "bias", low, high)
    graph.outputs = ["bias"]
    rewritten = run_rules(graph, RULE)
    assert rewritten.fired == 1
    assert rewritten.find("bias").op == "FakeQuantWithMinMaxVars"
    assert "behind" not in rewritten.names
    before = compute(graph.message, {"x": x}, ["behind"])[0]
    after = compute(rewritten.message, {"x": x}, ["bias"])[0]
    np.testing.assert_array_equal(after, before)


def test_what_is_frozen_without_it_takes_what_relu6_lets_through(net, run_rules, compute):
    net.node("scores", "Relu6", "bias")
    net.outputs = ["scores"]
    rewritten = run_rules(net, RULE)
    assert told(rewritten, "scores") == (0, 6)
    x = np.random.default_rng(0).uniform(-9, 9, (1, 4, 4, 2)).astype(np.float32)
    before, after = (compute(graph, {"x": x}, ["scores"])[0] for graph in (net.message, rewritten.message))
    assert 0 < np.abs(after - before).max() <= 6 / 510 * 1.001


def test_an_activation_behind_a_fake_quantisation_takes_what_it_lets_through(net, run_rules):
    fake_quant(net, "quantised", "bias", -2.0, 3.0)
    net.node("active", "Relu", "quantised")
    net.node("next", "Neg", "active")
    fake_quant(net, "end", "next", -3.0, 0.0)
    net.outputs = ["end"]
    assert told(run_rules(net, RULE), "active") == pytest.approx((0, 3), abs=0.02)


@pytest.mark.parametrize(
    ("operation", "more", "attributes"),
    [
        ("Tile", [np.ones(4)], {"Tmultiples": "int32"}),
        ("ReverseV2", [np.array([1])], {"Tidx": "int32"}),
        ("ResizeNearestNeighbor", [np.array([8, 8])], {}),
    ],
)
def test_what_selects_keeps_the_range(net, run_rules, operation, more, attributes):
    fake_quant(net, "quantised", "bias", -2.0, 3.0)
    operands = [net.constant(f"more{index}", value, "int32") for index, value in enumerate(more)]
    net.node("selected", operation, "quantised", *operands, **attributes)
    net.node("next", "Neg", "selected")
    fake_quant(net, "end", "next", -3.0, 2.0)
    net.outputs = ["end"]
    assert told(run_rules(net, RULE), "selected") == pytest.approx((-2, 3), abs=0.02)


def test_what_is_joined_has_both_ranges(net, run_rules):
    fake_quant(net, "quantised", "bias", -2.0, 3.0)
    fake_quant(net, "other", "bias", 0.0, 5.0)
    net.node("both", "Maximum", "quantised", "other")
    net.outputs = ["both"]
    assert told(run_rules(net, RULE), "both") == pytest.approx((-2, 5), abs=0.03)


def test_what_goes_into_a_selection_only_has_its_range(net, run_rules):
    net.constant("shape", [-1], "int32")
    net.node("sum", "Neg", "bias")
    net.node("flat", "Reshape", "sum", "shape", Tshape="int32")
    fake_quant(net, "end", "flat", -2.0, 3.0)
    net.outputs = ["end"]
    rewritten = run_rules(net, RULE + "(range=x:-9:9, range=bias:-9.5:9.5)")
    assert told(rewritten, "sum") == pytest.approx((-2, 3), abs=0.02)


def test_what_is_read_as_it_is_too_is_read_quantised_by_all(net, run_rules):
    fake_quant(net, "quantised", "bias", -2.0, 3.0)
    net.node("past", "Neg", "bias")
    fake_quant(net, "end", "past", -3.0, 2.0)
    net.outputs = ["quantised", "end"]
    rewritten = run_rules(net, RULE)
    assert told(rewritten, "bias") == pytest.approx((-2, 3), abs=0.02)
    assert rewritten.find("past").input == ["bias"]


def test_a_given_range_takes_the_place_of_the_one_there(net, run_rules):
    fake_quant(net, "behind", "bias", -2.0, 3.0)
    net.outputs = ["behind"]
    net.node("scores", "Identity", "behind")
    net.outputs = ["scores"]
    rewritten = run_rules(net, RULE + "(range=bias:-1:1)")
    assert told(rewritten, "bias") == pytest.approx((-1, 1), abs=0.01)
    assert rewritten.find("scores").input == ["bias"]


def test_an_input_can_be_given_a_range(graph, run_rules):
    graph.placeholder("x", (1, 2))
    graph.constant("w", np.eye(2))
    graph.node("y", "MatMul", "x", "w")
    graph.outputs = ["y"]
    rewritten = run_rules(graph, RULE + "(range=x:-1:1, range=y:-2:2)")
    assert rewritten.find("y/unquantised").input[0] == "x/quantised"
    assert told(rewritten, "x/quantised") == pytest.approx((-1, 1), abs=0.01)


def test_leaves_alone_what_no_training_has_quantised(graph, run_rules):
    graph.placeholder("x", (1, 2))
    graph.node("y", "Relu6", "x")
    graph.outputs = ["y"]
    rewritten = run_rules(graph, RULE)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_nothing_tells_the_range(net, run_rules):
    net.outputs = ["bias"]
    rewritten = run_rules(net, RULE)
    assert rewritten.refused == {"bias": "nothing tells its range; give one with range=bias:min:max"}


def test_leaves_alone_when_an_input_has_no_range(net, run_rules):
    net.find("conv").input[0] = "x"
    net.message.node.remove(net.find("input"))
    net.node("scores", "Relu6", "bias")
    fake_quant(net, "end", "scores", 0.0, 6.0)
    net.outputs = ["end"]
    assert run_rules(net, RULE).refused == {
        "x": "it is an input, and nothing tells its range; say it with range=x:min:max, or with the converter's option "
        "input_stats"
    }


def test_leaves_alone_when_ranges_disagree(net, run_rules):
    fake_quant(net, "one", "bias", -2.0, 3.0)
    fake_quant(net, "other", "bias", -1.0, 1.0)
    net.outputs = ["bias", "one", "other"]
    assert run_rules(net, RULE).refused == {
        "bias": "it goes into fake quantisations of different ranges; say which one holds with range=bias:min:max"
    }


def test_leaves_alone_when_the_range_is_not_constant(net, run_rules):
    fake_quant(net, "behind", "bias", -2.0, 3.0)
    net.placeholder("end", ())
    net.find("behind").input[2] = "end"
    net.outputs = ["bias"]
    assert run_rules(net, RULE).refused["bias"] == "the range of 'behind' is not constant, or empty"


def test_finds_nothing_more_in_what_it_wrote(net, run_rules, new_graph):
    net.node("scores", "Relu6", "bias")
    net.outputs = ["scores"]
    first = run_rules(net, RULE)
    again = run_rules(new_graph(first.message, net.inputs, net.outputs), RULE)
    assert (first.fired, again.fired, again.refused) == (1, 0, {})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("bias", "write the tensor's name"),
        ("bias:a:b", "write the tensor's name"),
        ("bias:1:1", "a range goes from one number to a larger one"),
        ("bias:1:2", "0 is in it"),
        ("nothing:0:1", "there is no node 'nothing'"),
    ],
)
def test_a_range_that_cannot_be_used_is_refused(net, run_rules, given, why):
    net.outputs = ["bias"]
    with pytest.raises(StepError, match=why) as caught:
        run_rules(net, f"{RULE}(range={given})")
    assert (caught.value.reason, caught.value.details["value"]) == ("INVALID_OPTION", given)
