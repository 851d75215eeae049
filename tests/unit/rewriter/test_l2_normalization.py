"""L2 normalisation: one operator for TFLite where that computes the same, and none where it does not."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from expressions import placeholder
from hypothesis import given, strategies
from modelmill_rewriter.rules_api import Target

NEW = Target("tflite", (2, 15))
TOCO = Target("tflite", (1, 15))
TARGETS = [Target(), NEW, TOCO, Target("tflite", (1, 5)), Target("tfjs", (2, 19))]


def square(x):
    return x.op("Square")


def total(squares, axes=(-1,)):
    return squares.reduced("Sum", list(axes))


def tensorflow(x, axes=(-1,), epsilon=1e-12):
    return x * total(square(x), axes).op("Maximum", epsilon).op("Rsqrt")


SPELLINGS = {
    "product": lambda x: x * total(x * x).op("Maximum", 1e-12).op("Rsqrt"),
    "product_first": lambda x: total(x * x).op("Rsqrt") * x,
    "power": lambda x: x * (1e-12 + total(x.op("Pow", 2.0))).op("Rsqrt"),
    "divided": lambda x: x / total(x * x).op("Maximum", 1e-12).op("Sqrt"),
    "least_norm": lambda x: x / total(square(x)).op("Sqrt").op("Maximum", 1e-6),
    "least_norm_of_product": lambda x: x / total(x * x).op("Sqrt").op("Maximum", 1e-6),
}

values = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4),
    elements=strategies.floats(0.125, 100, width=32) | strategies.floats(-100, -0.125, width=32),
)


def operations(rewritten):
    return sorted(node.op for node in rewritten.message.node if node.op not in ("Const", "Placeholder"))


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(x=values, target=strategies.sampled_from(TARGETS))
def test_computes_the_same(spelling, x, target, new_graph, run_rules, compute):
    graph = new_graph()
    SPELLINGS[spelling](placeholder(graph, x.shape)).as_output()
    rewritten = run_rules(graph, "l2_normalization", target=target)
    before, after = (compute(message, {"x": x}, ["out"])[0] for message in (graph.message, rewritten.message))
    np.testing.assert_allclose(after, before, rtol=1e-6)  # Four roundings, of which a root halves two.


@given(x=values, axis=strategies.integers(-4, 3), epsilon=strategies.sampled_from([1e-12, 1e-5, 0.01, 1.0]))
def test_computes_the_same_where_it_is_kept_from_the_operator(x, axis, epsilon, new_graph, run_rules, compute):
    graph = new_graph()
    axis = max(-x.ndim, min(axis, x.ndim - 1))
    tensorflow(placeholder(graph, x.shape), (axis,), epsilon).as_output()
    rewritten = run_rules(graph, "l2_normalization", target=TOCO)
    before, after = (compute(message, {"x": x}, ["out"])[0] for message in (graph.message, rewritten.message))
    np.testing.assert_allclose(after, before, rtol=1e-6)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("target", [Target(), NEW, TOCO])
def test_is_what_tflite_makes_one_operator_of(spelling, target, graph, run_rules):
    SPELLINGS[spelling](placeholder(graph, (-1, 4))).as_output()
    found = operations(run_rules(graph, "l2_normalization", target=target))
    assert [it for it in found if it not in ("Add", "Maximum")] == ["Mul", "Rsqrt", "Square", "Sum"]


@pytest.mark.parametrize("axes", [(0,), (1,), (1, 2), (2,), (-2,)])
def test_an_old_converter_does_not_see_it_over_other_axes(axes, graph, run_rules):
    tensorflow(placeholder(graph, (1, 4, 4, 2)), axes).as_output()
    reason = f"it sums over the axes {list(axes)}, and TFLite's operator over the last one"
    rewritten = run_rules(graph, "l2_normalization", target=TOCO)
    assert operations(rewritten) == ["Maximum", "Mul", "Mul", "Rsqrt", "Sum"]
    assert rewritten.refused == {"out": reason}
    rewritten = run_rules(graph, "l2_normalization", target=NEW)
    assert (rewritten.fired, rewritten.refused) == (0, {"out": reason})


@pytest.mark.parametrize(("target", "epsilon"), [(TOCO, 1e-5), (TOCO, 0.01), (NEW, 1e-4)])
def test_the_converter_does_not_see_what_has_a_large_epsilon(target, epsilon, graph, run_rules):
    tensorflow(placeholder(graph, (1, 4)), epsilon=epsilon).as_output()
    rewritten = run_rules(graph, "l2_normalization", target=target)
    assert operations(rewritten) == ["Maximum", "Mul", "Mul", "Rsqrt", "Sum"]
    assert rewritten.refused == {"out": f"it has {epsilon:.2g} where TFLite's operator has 1e-12"}


@pytest.mark.parametrize(("target", "epsilon"), [(NEW, 0.01), (TOCO, 1.0), (TOCO, 1e-8), (Target(), 1e-4)])
def test_leaves_alone_an_epsilon_that_the_converter_minds_or_nobody_sees(target, epsilon, graph, run_rules):
    tensorflow(placeholder(graph, (1, 4)), epsilon=epsilon).as_output()
    rewritten = run_rules(graph, "l2_normalization", target=target)
    reason = f"it has {epsilon:.2g} where TFLite's operator has 1e-12"
    assert (rewritten.fired, rewritten.refused) == (0, {"out": reason})


def test_leaves_alone_when_the_square_of_the_smallest_norm_is_nothing(graph, run_rules):
    x = placeholder(graph, (1, 4))
    (x / total(x * x).op("Sqrt").op("Maximum", 1e-20)).as_output()
    refused = run_rules(graph, "l2_normalization", target=NEW).refused
    assert refused == {"out": "the square of its smallest norm is 0 in float32"}


def test_leaves_alone_when_the_axes_are_computed(graph, run_rules):
    x = placeholder(graph, (1, 4))
    graph.placeholder("axis", (), "int32")
    norm = square(x).node("Sum", square(x), type(x)(graph, "axis"), keep_dims=True, Tidx="int32")
    (x * norm.op("Rsqrt")).as_output()
    refused = run_rules(graph, "l2_normalization", target=NEW).refused
    assert refused == {"out": "the axes that it sums over are computed"}


@pytest.mark.parametrize("target", [Target("tfjs", (2, 19)), Target("frozen-graph")])
def test_leaves_alone_what_has_no_such_operator(target, graph, run_rules):
    SPELLINGS["product"](placeholder(graph, (1, 4))).as_output()
    rewritten = run_rules(graph, "l2_normalization", target=target)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_what_tflite_knows_already(graph, run_rules):
    tensorflow(placeholder(graph, (1, 4))).as_output()
    rewritten = run_rules(graph, "l2_normalization", target=TOCO)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_says_nothing_where_the_dimension_goes(graph, run_rules):
    x = placeholder(graph, (4,))
    (x * (x * x).reduced("Sum", [0], keep=False).op("Rsqrt")).as_output()
    rewritten = run_rules(graph, "l2_normalization", target=NEW)
    assert (rewritten.fired, rewritten.refused) == (0, {})
