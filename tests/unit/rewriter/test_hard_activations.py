"""The hard sigmoid and the hard swish: every spelling computes the same afterwards, by relu6."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from expressions import placeholder
from hypothesis import given, strategies
from modelmill_rewriter.rules_api import Target

SIXTH = 1 / 6
NEW = Target("tflite", (2, 15))
OLD = Target("tflite", (1, 9))
JS = Target("tfjs", (2, 19))


def relu6(x):
    return x.op("Relu6")


def clip(x, low, high):
    return x.op("Maximum", low).op("Minimum", high)


def clip_other_way(x, low, high):
    return x.op("Minimum", high).op("Maximum", low)


CLIPPED_SIGMOIDS = {
    "product": lambda x: clip(x * SIXTH + 0.5, 0.0, 1.0),
    "quotient": lambda x: clip_other_way(0.5 + x / 6.0, 0.0, 1.0),
    "clip_by_value": lambda x: (x * SIXTH + 0.5).op("ClipByValue", 0.0, 1.0),
    "clipped_from_0_to_6": lambda x: clip(x + 3.0, 0.0, 6.0) / 6.0,
    "clipped_from_0_to_6_product": lambda x: clip_other_way(3.0 + x, 0.0, 6.0) * SIXTH,
}
SLOPING_SIGMOIDS = {
    "keras_2": lambda x: clip_other_way(0.2 * x + 0.5, 0.0, 1.0),
    "quarter": lambda x: clip(x / 4.0 + 0.5, 0.0, 1.0),
}
SIGMOIDS = {**CLIPPED_SIGMOIDS, **SLOPING_SIGMOIDS, "divided": lambda x: relu6(x + 3.0) / 6.0}
SWISHES = {
    "product_divided": lambda x: x * relu6(x + 3.0) / 6.0,
    "step_first": lambda x: relu6(x + 3.0) * x * SIXTH,
    "step_divided": lambda x: x * (relu6(x + 3.0) / 6.0),
    "step_times_sixth": lambda x: (relu6(3.0 + x) * SIXTH) * x,
    "x_divided": lambda x: x / 6.0 * relu6(x + 3.0),
    "x_times_sixth": lambda x: relu6(x + 3.0) * (SIXTH * x),
    "clipped": lambda x: x * clip(x + 3.0, 0.0, 6.0) * SIXTH,
    "clipped_other_way": lambda x: x * (clip_other_way(x + 3.0, 0.0, 6.0) / 6.0),
}
OF_A_CLIPPED_SIGMOID = {name: lambda x, spell=spell: x * spell(x) for name, spell in CLIPPED_SIGMOIDS.items()}

values = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=4, max_side=4),
    elements=strategies.floats(-20, 20, width=32),
)


def spelled(graph, spell, shape=(-1, 2), dtype="float32"):
    spell(placeholder(graph, shape, dtype)).as_output()
    return graph


def operations(rewritten):
    return sorted(node.op for node in rewritten.message.node if node.op not in ("Const", "Placeholder"))


@pytest.mark.parametrize("spelling", SIGMOIDS)
@given(x=values, target=strategies.sampled_from([Target(), NEW, OLD, JS]))
def test_the_sigmoid_computes_the_same(spelling, x, target, new_graph, run_rules, compute):
    graph = spelled(new_graph(), SIGMOIDS[spelling], x.shape)
    rewritten = run_rules(graph, "hard_sigmoid", target=target)
    before, after = (compute(message, {"x": x}, ["out"])[0] for message in (graph.message, rewritten.message))
    # Numbers of up to 6 are rounded two or three times, and divided by 6.
    np.testing.assert_allclose(after, before, atol=4e-7, rtol=0)


@pytest.mark.parametrize("spelling", [*SWISHES, *OF_A_CLIPPED_SIGMOID])
@given(x=values, target=strategies.sampled_from([Target(), NEW, OLD, JS]))
def test_the_swish_computes_the_same(spelling, x, target, new_graph, run_rules, compute):
    graph = spelled(new_graph(), {**SWISHES, **OF_A_CLIPPED_SIGMOID}[spelling], x.shape)
    rewritten = run_rules(graph, "hard_sigmoid hard_swish", target=target)
    before, after = (compute(message, {"x": x}, ["out"])[0] for message in (graph.message, rewritten.message))
    # As the sigmoid, times x.
    np.testing.assert_allclose(after, before, rtol=4e-7, atol=4e-7 * max(1, float(np.abs(x).max())))


@pytest.mark.parametrize("spelling", CLIPPED_SIGMOIDS)
@pytest.mark.parametrize("target", [NEW, OLD, JS, Target()])
def test_the_sigmoid_is_a_relu6(spelling, target, graph, run_rules):
    spelled(graph, CLIPPED_SIGMOIDS[spelling])
    assert operations(run_rules(graph, "hard_sigmoid", target=target)) == ["Add", "Mul", "Relu6"]


@pytest.mark.parametrize("spelling", SLOPING_SIGMOIDS)
def test_another_slope_is_a_factor(spelling, graph, run_rules):
    spelled(graph, SLOPING_SIGMOIDS[spelling])
    assert operations(run_rules(graph, "hard_sigmoid", target=NEW)) == ["Add", "Mul", "Mul", "Relu6"]
    assert run_rules(graph, "hard_sigmoid", target=JS).fired == 0


@pytest.mark.parametrize("spelling", [*SWISHES, *OF_A_CLIPPED_SIGMOID])
def test_the_swish_is_what_tflite_makes_one_operator_of(spelling, graph, run_rules):
    spelled(graph, {**SWISHES, **OF_A_CLIPPED_SIGMOID}[spelling])
    rewritten = run_rules(graph, "hard_sigmoid hard_swish", target=NEW)
    assert operations(rewritten) == ["Add", "Mul", "Mul", "Relu6"]
    product = rewritten.find(rewritten.find("out").input[0])
    assert (product.op, product.input[0], rewritten.find(product.input[1]).op) == ("Mul", "x", "Relu6")


def test_an_old_tflite_gets_no_division(graph, run_rules):
    spelled(graph, SIGMOIDS["divided"])
    assert "RealDiv" not in operations(run_rules(graph, "hard_sigmoid", target=OLD))
    assert run_rules(graph, "hard_sigmoid", target=NEW).fired == 0


@pytest.mark.parametrize("name", ["step_divided", "x_times_sixth"])
def test_leaves_alone_what_tensorflow_js_computes_as_well(name, graph, run_rules):
    rewritten = run_rules(spelled(graph, SWISHES[name]), "hard_swish", target=JS)
    assert (rewritten.fired, rewritten.refused) == (0, {})


@pytest.mark.parametrize("spell", [*SIGMOIDS.values(), *SWISHES.values()])
def test_leaves_alone_what_no_converter_reads(spell, graph, run_rules):
    assert run_rules(spelled(graph, spell), "hard_sigmoid hard_swish", target=Target("frozen-graph")).fired == 0


def test_leaves_alone_when_it_computes_in_double_precision(graph, run_rules):
    spelled(graph, SWISHES["step_divided"], dtype="float64")
    assert run_rules(graph, "hard_swish", target=NEW).fired == 0


def test_leaves_alone_when_the_slope_is_computed(graph, run_rules):
    x = placeholder(graph, (-1, 2))
    clip(x * x.op("Abs") + 0.5, 0.0, 1.0).as_output()
    rewritten = run_rules(graph, "hard_sigmoid", target=NEW)
    assert (rewritten.fired, rewritten.refused) == (0, {"out": "its slope is no constant number"})


def test_leaves_alone_when_there_is_a_slope_for_each_channel(graph, run_rules):
    x = placeholder(graph, (-1, 2))
    clip(x * np.array([0.2, 0.3]) + 0.5, 0.0, 1.0).as_output()
    assert run_rules(graph, "hard_sigmoid", target=NEW).refused == {"out": "its slope is no constant number"}


@pytest.mark.parametrize("low_and_high", [(0.0, 6.5), (-1.0, 6.0)])
def test_says_nothing_of_other_limits(low_and_high, graph, run_rules):
    x = placeholder(graph, (-1, 2))
    (x * clip(x + 3.0, *low_and_high) * SIXTH).as_output()
    rewritten = run_rules(graph, "hard_swish", target=NEW)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_the_step_is_used_elsewhere(graph, run_rules):
    x = placeholder(graph, (-1, 2))
    step = relu6(x + 3.0)
    (x * (step / 6.0)).as_output()
    graph.outputs.append(step.op("Neg").name)
    reason = f"its part {step.name!r} is also used elsewhere"
    assert run_rules(graph, "hard_swish", target=NEW).refused == {"out": reason}
