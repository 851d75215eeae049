"""Activations behind a fake quantisation: moved before it without a change of numbers, or with a bounded one."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, strategies

RULE = "fuse_activations_behind_fake_quant"
CUT = RULE + "(exact=false)"

SIZES = strategies.tuples(strategies.integers(1, 3), strategies.integers(1, 4))
NUMBERS = strategies.floats(-20, 20, width=32)
LOWS = strategies.floats(-20, 0, width=32)
HIGHS = strategies.floats(0.5, 20, width=32)


def net(graph, activation="Relu", low=-4.0, high=4.0, second=None, producer="Add"):
    """A sum, a fake quantisation, an activation and, where `second` has its ends, another fake quantisation."""
    graph.placeholder("x", (-1, -1))
    graph.constant("bias", 0.0)
    graph.node("sum", producer, "x", "bias")
    fake_quant(graph, "quantised", "sum", low, high)
    graph.node("active", activation, "quantised")
    graph.outputs = ["active"]
    if second:
        fake_quant(graph, "again", "active", *second)
        graph.outputs = ["again"]
    return graph


def fake_quant(graph, name, reads, low, high, **attributes):
    graph.constant(name + "/min", low)
    graph.constant(name + "/max", high)
    return graph.node(name, "FakeQuantWithMinMaxVars", reads, name + "/min", name + "/max", T=None, **attributes)


def step(low, high):
    return (high - low) / 255


def both(graph, compute, rewritten, x):
    """What the graph gives before and after."""
    return [compute(message, {"x": x}, graph.outputs)[0] for message in (graph.message, rewritten.message)]


@given(data=strategies.data(), low=LOWS, high=HIGHS, activation=strategies.sampled_from(["Relu", "Relu6"]))
def test_every_number_stays(new_graph, run_rules, compute, data, low, high, activation):
    x = data.draw(SIZES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=NUMBERS)))
    graph = net(new_graph(), activation, low, high)
    rewritten = run_rules(graph, RULE)
    before, after = both(graph, compute, rewritten, x)
    # Rounding in float32 of (0 - low) / step and back.
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-6 * (high - low))
    assert rewritten.fired or "exact=false moves" in rewritten.refused["active"]
    assert rewritten.fired or (activation == "Relu6" and high > 6 - step(low, high))


@given(data=strategies.data(), low=LOWS, high=HIGHS, activation=strategies.sampled_from(["Relu", "Relu6"]))
def test_with_a_cut_range_numbers_move_by_half_a_step_and_half_a_new_one(
    new_graph, run_rules, compute, data, low, high, activation
):
    x = data.draw(SIZES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=NUMBERS)))
    graph = net(new_graph(), activation, low, high)
    rewritten = run_rules(graph, CUT)
    before, after = both(graph, compute, rewritten, x)
    assert rewritten.fired == 1
    # The range is moved by up to half a step so that 0 is in it: the cut one may end there.
    limit = min(high + step(low, high), 6) if activation == "Relu6" else high + step(low, high)
    assert np.abs(after - before).max() <= (step(low, high) + step(0, limit)) / 2 * (1 + 1e-4) + 1e-6 * (high - low)


@given(data=strategies.data(), low=LOWS, high=HIGHS, above=HIGHS, activation=strategies.sampled_from(["Relu", "Relu6"]))
def test_of_two_fake_quantisations_the_second_stays(new_graph, run_rules, compute, data, low, high, above, activation):
    x = data.draw(SIZES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=NUMBERS)))
    graph = net(new_graph(), activation, low, high, second=(-1.0, above))
    rewritten = run_rules(graph, CUT)
    before, after = both(graph, compute, rewritten, x)
    assert rewritten.operations.count("FakeQuantWithMinMaxVars") == 1
    # Where the range of the second one is cut, its steps lie elsewhere: half a step of both.
    bound = step(low, high) / 2 + step(-1.0, above) * 1.5
    assert np.abs(after - before).max() <= bound * (1 + 1e-4) + 1e-6 * (high - low)


def test_what_is_cut_off_stays_cut_off(graph, run_rules, compute):
    rewritten = run_rules(net(graph, "Relu", -2.0, 2.0, second=(0.0, 10.0)), CUT)
    before, after = both(graph, compute, rewritten, np.array([[9.0, -9.0]], np.float32))
    np.testing.assert_allclose(before, [[2, 0]], atol=0.05)
    np.testing.assert_allclose(after, [[2, 0]], atol=0.01)


def test_the_range_is_that_of_the_activation(graph, run_rules):
    rewritten = run_rules(net(graph, "Relu6", -9.0, 9.0), CUT)
    assert rewritten.operations == ["Placeholder", "Const", "Add", "Relu6", "Const", "Const", "FakeQuantWithMinMaxVars"]
    ends = [rewritten.find(name).attr["value"].tensor for name in rewritten.find("active").input[1:]]
    assert [np.frombuffer(end.tensor_content, np.float32) for end in ends] == [0, 6]


@pytest.mark.parametrize("rule", [RULE, CUT])
def test_sees_through_what_only_changes_the_shape(graph, run_rules, compute, rule):
    net(graph, "Relu", -4.0, 4.0)
    graph.constant("shape", [1, -1], "int32")
    graph.node("flat", "Reshape", "quantised", "shape", Tshape="int32")
    graph.find("active").input[0] = "flat"
    rewritten = run_rules(graph, rule)
    assert [name for name in rewritten.operations if name != "Const"] == [
        *("Placeholder", "Add", "Relu", "FakeQuantWithMinMaxVars", "Reshape")
    ]
    before, after = both(graph, compute, rewritten, np.linspace(-5, 5, 12, dtype=np.float32).reshape(3, 4))
    np.testing.assert_allclose(after, before, rtol=0, atol=0.03)


def test_bits_and_the_narrow_range_stay(graph, run_rules):
    net(graph)
    node = graph.find("quantised")
    node.attr["num_bits"].i, node.attr["narrow_range"].b = 4, True
    found = run_rules(graph, CUT).find("active")
    assert (found.op, found.attr["num_bits"].i, found.attr["narrow_range"].b) == ("FakeQuantWithMinMaxVars", 4, True)


def test_an_operation_with_its_range_in_attributes_is_known(graph, run_rules):
    net(graph)
    graph.message.node.remove(graph.find("quantised"))
    graph.node("quantised", "FakeQuantWithMinMaxArgs", "sum", T=None)
    assert run_rules(graph, RULE).find("active").op == "FakeQuantWithMinMaxArgs"


def test_leaves_alone_when_6_is_not_a_step(graph, run_rules):
    rewritten = run_rules(net(graph, "Relu6", -10.0, 10.0), RULE)
    assert rewritten.refused == {
        "active": "relu6 cuts off at 6, and the range of 'quantised' has steps at 5.96078 and 6.03922 but not there: "
        "exact=false moves numbers by at most 0.051"
    }


def test_leaves_alone_when_the_range_is_not_constant(graph, run_rules):
    net(graph)
    graph.placeholder("end", ())
    graph.find("quantised").input[2] = "end"
    for rule in (RULE, CUT):
        assert run_rules(graph, rule).refused == {"active": "the range of 'quantised' is not constant, or empty"}


def test_leaves_alone_when_the_second_range_is_not_constant(graph, run_rules):
    net(graph, second=(0.0, 4.0))
    graph.placeholder("end", ())
    graph.find("again").input[2] = "end"
    rewritten = run_rules(graph, CUT)
    # What stands between the two is moved still, and cut.
    assert rewritten.find("active").op == "FakeQuantWithMinMaxVars"
    assert rewritten.find("again").op == "FakeQuantWithMinMaxVars"


def test_leaves_alone_when_nothing_above_0_comes_through(graph, run_rules):
    rewritten = run_rules(net(graph, "Relu", -4.0, 0.0), RULE)
    assert rewritten.refused == {"active": "the range of 'quantised' has nothing above 0"}


def test_leaves_alone_when_something_else_reads_a_part(graph, run_rules):
    for part in ("quantised", "sum"):
        graph.message.Clear()
        graph.inputs.clear()
        net(graph)
        graph.node("other", "Neg", part)
        graph.outputs.append("other")
        assert run_rules(graph, RULE).refused == {"active": f"its part {part!r} is also used elsewhere"}


def test_leaves_alone_when_a_part_is_an_output(graph, run_rules):
    net(graph).outputs.append("quantised")
    assert run_rules(graph, RULE).refused == {"active": "its part 'quantised' is an output of the model"}


@pytest.mark.parametrize("producer", ["Maximum", "Pow"])
def test_says_nothing_behind_what_takes_no_activation(graph, run_rules, producer):
    rewritten = run_rules(net(graph, producer=producer), RULE)
    assert (rewritten.fired, rewritten.refused) == (0, {})
