"""GELU: every spelling computes the same afterwards, is one that the converter knows, and is left alone where not."""

import math

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from expressions import placeholder
from hypothesis import given, strategies
from modelmill_rewriter.rules_api import Target

ROOT = math.sqrt(2)
HALF_ROOT = math.sqrt(0.5)
K, C = math.sqrt(2 / math.pi), 0.044715

NEW = Target("tflite", (2, 15))
OLD = Target("tflite", (2, 8))
JS = Target("tfjs", (2, 19))


def erf(x):
    return (x / ROOT).op("Erf")


def erf_of_product(x):
    return (x * HALF_ROOT).op("Erf")


def bent(x, cube):
    return (K * (x + C * cube)).op("Tanh")


def cubed(x):
    return x.op("Pow", 3.0)


EXACT = {
    "keras": lambda x: 0.5 * x * (1.0 + erf(x)),
    "bert": lambda x: x * (0.5 * (1.0 + erf(x))),
    "half_last": lambda x: x * (1.0 + erf_of_product(x)) * 0.5,
    "halved_by_division": lambda x: x / 2.0 * (erf_of_product(x) + 1.0),
    "sum_first": lambda x: (1.0 + erf_of_product(x)) * (0.5 * x),
    "erfc": lambda x: 0.5 * x * (x * -HALF_ROOT).op("Erfc"),
    "erfc_of_neg": lambda x: x * (0.5 * (-x / ROOT).op("Erfc")),
    "erfc_of_neg_outside": lambda x: 0.5 * x * (-(x / ROOT)).op("Erfc"),
}
APPROXIMATE = {
    "tensorflow": lambda x: 0.5 * x * (1.0 + bent(x, cubed(x))),
    "google_bert": lambda x: x * (0.5 * (1.0 + bent(x, cubed(x)))),
    "products": lambda x: 0.5 * x * (1.0 + bent(x, x * x * x)),
    "square_times_x": lambda x: 0.5 * x * (1.0 + bent(x, x.op("Square") * x)),
    "square_times_c": lambda x: 0.5 * x * (1.0 + (K * (x + C * (x * x) * x)).op("Tanh")),
    "x_times_c": lambda x: 0.5 * x * (1.0 + (K * (x + C * x * x.op("Pow", 2.0))).op("Tanh")),
    "without_a_cube": lambda x: 0.5 * x * (1.0 + (K * x * (1.0 + C * (x * x))).op("Tanh")),
    "without_a_cube_square": lambda x: 0.5 * x * (1.0 + (x * (K * (1.0 + C * x.op("Square")))).op("Tanh")),
}
SPELLINGS = {**EXACT, **APPROXIMATE}

values = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=4, max_side=4),
    elements=strategies.floats(-20, 20, width=32),
)


def spelled(graph, spelling, shape=(-1, 2), dtype="float32"):
    SPELLINGS[spelling](placeholder(graph, shape, dtype)).as_output()
    return graph


def operations(rewritten):
    return sorted(node.op for node in rewritten.message.node if node.op not in ("Const", "Placeholder"))


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(x=values, target=strategies.sampled_from([Target(), NEW, OLD, JS]))
def test_computes_the_same(spelling, x, target, new_graph, run_rules, compute):
    graph = spelled(new_graph(), spelling, x.shape)
    rewritten = run_rules(graph, "gelu", target=target)
    before, after = (compute(message, {"x": x}, ["out"])[0] for message in (graph.message, rewritten.message))
    # The half of x is times a number from 0 to 2 whose terms are rounded at 1, so by some 2**-24 whatever it is; and
    # what goes into the tanh, up to 300, is rounded a few times and matters where its slope is not 0.
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=2e-6 * max(1, float(np.abs(x).max())))


@pytest.mark.parametrize("spelling", EXACT)
def test_becomes_the_exact_form_that_is_one_operator(spelling, graph, run_rules):
    rewritten = run_rules(spelled(graph, spelling), "gelu", target=NEW)
    assert [it for it in operations(rewritten) if it != "RealDiv"][:2] == ["Add", "Erf"]
    first, second = (rewritten.find(name) for name in rewritten.find("out").input)
    assert (first.op, second.op) == ("Mul", "Add")


@pytest.mark.parametrize("spelling", APPROXIMATE)
def test_becomes_the_approximation_that_is_one_operator(spelling, graph, run_rules):
    rewritten = run_rules(spelled(graph, spelling), "gelu", target=NEW)
    assert operations(rewritten) == ["Add", "Add", "Mul", "Mul", "Mul", "Mul", "Pow", "Tanh"]
    first, second = (rewritten.find(name) for name in rewritten.find("out").input)
    assert (first.op, second.op) == ("Mul", "Add")


@pytest.mark.parametrize("target", [OLD, JS, Target("tflite", (1, 5))])
@pytest.mark.parametrize("spelling", APPROXIMATE)
def test_needs_six_operators_where_there_is_no_gelu(spelling, target, graph, run_rules):
    rewritten = run_rules(spelled(graph, spelling), "gelu", target=target)
    assert operations(rewritten) == ["Add", "Mul", "Mul", "Mul", "Mul", "Sigmoid"]


def test_writes_the_approximation_only_where_it_is_wanted(graph, run_rules, compute):
    spelled(graph, "keras")
    rewritten = run_rules(graph, "gelu(approximate=True)", target=OLD)
    assert "Sigmoid" in operations(rewritten)
    x = np.linspace(-6, 6, 1200, dtype=np.float32).reshape(-1, 2)
    before, after = (compute(message, {"x": x}, ["out"])[0] for message in (graph.message, rewritten.message))
    assert 1e-4 < np.abs(after - before).max() < 5e-4


def test_leaves_alone_an_exact_one_when_tflite_has_no_error_function(graph, run_rules):
    rewritten = run_rules(spelled(graph, "keras"), "gelu", target=OLD)
    reason = "TFLite before 2.9 has no error function; gelu(approximate=True) writes one that is off by 5e-4"
    assert (rewritten.fired, rewritten.refused) == (0, {"out": reason})


def test_leaves_alone_when_it_computes_in_double_precision(graph, run_rules):
    rewritten = run_rules(spelled(graph, "keras", dtype="float64"), "gelu", target=NEW)
    assert (rewritten.fired, rewritten.refused) == (0, {"out": "it computes float64, and GELU is for float32"})


@pytest.mark.parametrize(("spelling", "target"), [("keras", NEW), ("keras", JS), ("tensorflow", NEW)])
def test_leaves_alone_what_serves_the_target_as_it_is(spelling, target, graph, run_rules):
    rewritten = run_rules(spelled(graph, spelling), "gelu", target=target)
    assert (rewritten.fired, rewritten.refused) == (0, {})


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_leaves_alone_what_no_converter_reads(spelling, graph, run_rules):
    assert run_rules(spelled(graph, spelling), "gelu", target=Target("frozen-graph")).fired == 0


def test_says_nothing_of_other_constants(graph, run_rules):
    x = placeholder(graph, (-1, 2))
    (0.5 * x * (1.0 + (x / 1.5).op("Erf"))).as_output()
    rewritten = run_rules(graph, "gelu", target=NEW)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_a_part_is_used_elsewhere(graph, run_rules):
    x = placeholder(graph, (-1, 2))
    inner = erf(x)
    (x * (0.5 * (1.0 + inner))).as_output()
    graph.outputs.append(inner.name)
    assert "is an output of the model" in run_rules(graph, "gelu", target=NEW).refused["out"]
