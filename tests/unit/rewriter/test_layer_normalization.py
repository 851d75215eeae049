"""Layer normalisation: by its moments in nine operators, whatever Keras made of it."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from expressions import placeholder
from hypothesis import given, strategies
from modelmill_rewriter.rules_api import Target

NEW = Target("tflite", (2, 15))
OLD = Target("tflite", (1, 12))
JS = Target("tfjs", (2, 19))
PLAIN = ["Add", "Add", "Mean", "Mean", "Mul", "Mul", "Mul", "Rsqrt", "Sub"]
GAMMA, BETA = np.array([1.0, 0.5, 2.0, -1.5]), np.array([0.5, 0.25, -3.0, 0.0])
EPSILON = 1e-3


def mean(x, axes=(-1,)):
    return x.reduced("Mean", list(axes))


def inverse(x, middle, axes=(-1,)):
    return (mean(middle.node("SquaredDifference", x, middle), axes) + EPSILON).op("Rsqrt")


def keras(x, gamma=GAMMA, beta=BETA, axes=(-1,)):
    middle = mean(x, axes)
    scaled = inverse(x, middle, axes) * gamma
    return x * scaled + (x.lifted(beta) - middle * scaled)


def without_gamma(x):
    middle = mean(x)
    scaled = inverse(x, middle)
    return (x.lifted(BETA) - middle * scaled) + x * scaled


def core(x):
    middle = mean(x)
    return (x - middle) * inverse(x, middle) * GAMMA + BETA


def core_divided(x):
    middle = mean(x)
    return (x - middle) / (mean(x.op("SquaredDifference", middle)) + EPSILON).op("Sqrt") * GAMMA + BETA


def core_of_squares(x):
    middle = mean(x)
    return (x - middle) * (mean((x - middle).op("Square")) + EPSILON).op("Rsqrt") * GAMMA + BETA


def by_batch_normalization(x, shape, form="NCHW", scale=1.0, flat=None, training=True):
    rows, size = int(np.prod(shape[:-1])), shape[-1]
    flattened = x.op("Reshape", np.array(flat or [1, rows, size, 1]), Tshape="int32")
    empty = x.lifted(np.zeros(0, np.float32))
    attributes = {"U": "float32", "is_training": training, "data_format": form.encode(), "epsilon": EPSILON}
    normal = flattened.op(
        "FusedBatchNormV3", np.full(rows, scale), np.zeros(rows), empty, empty, exponential_avg_factor=1.0, **attributes
    )
    return normal.op("Reshape", np.array(shape), Tshape="int32") * GAMMA + BETA


SPELLINGS = {"keras": keras, "without_gamma": without_gamma}
CORES = {"core": core, "core_divided": core_divided, "core_of_squares": core_of_squares}
values = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=3, max_side=4).map(lambda shape: (*shape, 4)),
    elements=strategies.floats(-10, 10, width=32),
)


def operations(rewritten):
    return sorted(node.op for node in rewritten.message.node if node.op not in ("Const", "Placeholder"))


def by_hand(x):
    centred = x.astype(np.float64) - x.mean(-1, keepdims=True, dtype=np.float64)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON) * GAMMA + BETA


@pytest.mark.parametrize("spelling", [*SPELLINGS, *CORES])
@given(x=values, target=strategies.sampled_from([Target(), NEW, OLD, JS]))
def test_computes_the_same(spelling, x, target, new_graph, run_rules, compute):
    graph = new_graph()
    {**SPELLINGS, **CORES}[spelling](placeholder(graph, x.shape)).as_output()
    rewritten = run_rules(graph, "layer_normalization", target=target)
    before, after = (compute(message, {"x": x}, ["out"])[0] for message in (graph.message, rewritten.message))
    # The old spelling subtracts m * r from x * r, both up to 10 / sqrt(0.001) = 316, where x and m are alike.
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=4e-4)


@given(x=values, target=strategies.sampled_from([Target(), NEW, OLD, JS]))
def test_a_batch_normalization_of_rows_is_a_layer_normalization(x, target, new_graph, run_rules, compute):
    graph = new_graph()
    by_batch_normalization(placeholder(graph, x.shape), x.shape).as_output()
    rewritten = run_rules(graph, "layer_normalization", target=target)
    assert operations(rewritten) == PLAIN
    (found,) = compute(rewritten.message, {"x": x}, ["out"])
    np.testing.assert_allclose(found, by_hand(x), rtol=1e-4, atol=1e-4)  # As above; the witness is computed by hand.


@pytest.mark.parametrize("target", [Target(), NEW, OLD, JS])
def test_has_nine_operators(target, graph, run_rules):
    keras(placeholder(graph, (-1, 3, 4))).as_output()
    assert operations(run_rules(graph, "layer_normalization", target=target)) == PLAIN


@pytest.mark.parametrize("spelling", CORES)
def test_a_tflite_without_the_squares_gets_products(spelling, graph, run_rules):
    CORES[spelling](placeholder(graph, (-1, 3, 4))).as_output()
    assert operations(run_rules(graph, "layer_normalization", target=Target("tflite", (1, 11)))) == PLAIN
    rewritten = run_rules(graph, "layer_normalization", target=NEW)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_tflite_has_no_reciprocal_root(graph, run_rules):
    keras(placeholder(graph, (-1, 3, 4))).as_output()
    refused = run_rules(graph, "layer_normalization", target=Target("tflite", (1, 9))).refused
    assert refused == {"out": "TFLite before 1.10 has no reciprocal square root"}


def test_leaves_alone_over_other_axes_where_the_factors_are_small(graph, run_rules):
    keras(placeholder(graph, (1, 3, 3, 4)), axes=(1, 2)).as_output()
    rewritten = run_rules(graph, "layer_normalization", target=NEW)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_what_no_converter_reads(graph, run_rules):
    keras(placeholder(graph, (-1, 4))).as_output()
    assert run_rules(graph, "layer_normalization", target=Target("frozen-graph")).fired == 0


def test_leaves_alone_when_the_last_axis_is_not_known(graph, run_rules):
    by_batch_normalization(placeholder(graph, (-1, 3, -1)), (2, 3, 4)).as_output()
    (reason,) = run_rules(graph, "layer_normalization", target=NEW).refused.values()
    assert reason == "the size of the last axis is not known"


def test_leaves_alone_when_two_axes_are_normalized(graph, run_rules):
    by_batch_normalization(placeholder(graph, (2, 3, 4)), (2, 3, 4), flat=[1, 2, 12, 1]).as_output()
    (reason,) = run_rules(graph, "layer_normalization", target=NEW).refused.values()
    assert reason == "what it normalises is not one row along the last axis"


def test_leaves_alone_when_the_result_has_another_shape(graph, run_rules):
    x = placeholder(graph, (2, 3, 4))
    by_batch_normalization(x, (6, 4)).as_output()
    (reason,) = run_rules(graph, "layer_normalization", target=NEW).refused.values()
    assert reason == "the result has another shape than what it normalises"


@pytest.mark.parametrize("other", [{"form": "NHWC"}, {"scale": 2.0}, {"training": False}])
def test_says_nothing_of_other_batch_normalizations(other, graph, run_rules):
    by_batch_normalization(placeholder(graph, (2, 3, 4)), (2, 3, 4), **other).as_output()
    rewritten = run_rules(graph, "layer_normalization", target=NEW)
    assert (rewritten.fired, rewritten.refused) == (0, {})
