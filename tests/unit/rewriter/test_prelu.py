"""The PReLU rule: every spelling, with any shape and alpha, computes the same afterwards; and when it says no."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, strategies
from modelmill_rewriter.rules_api import Target
from modelmill_worker import graph_def

OLD = Target("tflite", (1, 9))

#: One for each form that the rule writes for some alpha.
TARGETS = [
    Target(),
    Target("frozen-graph"),
    Target("tflite", (1, 5)),
    Target("tflite", (1, 7)),
    Target("tflite", (1, 8)),
    OLD,
    Target("tflite", (1, 12)),
    Target("tflite", (2, 15)),
    Target("tfjs", (1, 12)),
    Target("tfjs", (1, 15)),
    Target("tfjs", (2, 19)),
]


def mirrored(graph):
    graph.node("neg", "Neg", "x")
    return graph.node("mirrored", "Relu", "neg")


def neg_outside(graph, alpha):
    graph.node("relu", "Relu", "x")
    graph.constant("alpha", alpha)
    graph.node("scaled", "Mul", "alpha", mirrored(graph))
    graph.node("minus", "Neg", "scaled")
    graph.node("prelu", "Add", "relu", "minus")


def neg_inside(graph, alpha):
    graph.node("relu", "Relu", "x")
    graph.constant("alpha", alpha)
    graph.node("alpha/read", "Identity", "alpha")
    graph.node("minus", "Neg", mirrored(graph))
    graph.node("scaled", "Mul", "minus", "alpha/read")
    graph.node("prelu", "AddV2", "scaled", "relu")


def minus_alpha_constant(graph, alpha):
    graph.node("relu", "Relu", "x")
    graph.constant("minus_alpha", -alpha)
    graph.node("scaled", "Mul", mirrored(graph), "minus_alpha")
    graph.node("prelu", "Add", "scaled", "relu")


def subtracted(graph, alpha):
    graph.node("relu", "Relu", "x")
    graph.constant("alpha", alpha)
    graph.node("scaled", "Mul", "alpha", mirrored(graph))
    graph.node("prelu", "Sub", "relu", "scaled")


def maximum_and_minimum(graph, alpha):
    graph.constant("zero", 0)
    graph.constant("alpha", alpha)
    graph.node("max", "Maximum", "zero", "x")
    graph.node("min", "Minimum", "x", "zero")
    graph.node("scaled", "Mul", "alpha", "min")
    graph.node("prelu", "Add", "max", "scaled")


def absolute(graph, alpha):
    graph.constant("alpha", alpha)
    graph.constant("half", 0.5)
    graph.node("relu", "Relu", "x")
    graph.node("abs", "Abs", "x")
    graph.node("sub", "Sub", "x", "abs")
    graph.node("scaled", "Mul", "alpha", "sub")
    graph.node("halved", "Mul", "scaled", "half")
    graph.node("prelu", "Add", "relu", "halved")


def two_factors(graph, alpha):
    graph.constant("f", (1 + alpha) / np.float32(2))
    graph.constant("g", (1 - alpha) / np.float32(2))
    graph.node("abs", "Abs", "x")
    graph.node("left", "Mul", "f", "x")
    graph.node("right", "Mul", "g", "abs")
    graph.node("prelu", "Add", "left", "right")


def absolute_divided(graph, alpha):
    absolute(graph, alpha)
    graph.find("half").CopyFrom(_constant("half", 2))
    graph.find("halved").op = "RealDiv"


def absolute_with_half_of_alpha(graph, alpha):
    graph.constant("half_alpha", alpha / np.float32(2))
    graph.node("relu", "Relu", "x")
    graph.node("abs", "Abs", "x")
    graph.node("sub", "Sub", "x", "abs")
    graph.node("scaled", "Mul", "half_alpha", "sub")
    graph.node("prelu", "Add", "relu", "scaled")


def maxima(graph, alpha):
    graph.constant("zero", 0)
    graph.constant("alpha", alpha)
    graph.node("max", "Maximum", "x", "zero")
    graph.node("neg", "Neg", "x")
    graph.node("mirrored", "Maximum", "neg", "zero")
    graph.node("scaled", "Mul", "alpha", "mirrored")
    graph.node("prelu", "Sub", "max", "scaled")


def difference(graph, alpha):
    graph.constant("alpha", alpha)
    graph.node("relu", "Relu", "x")
    graph.node("rest", "Sub", "x", "relu")
    graph.node("scaled", "Mul", "alpha", "rest")
    graph.node("prelu", "Add", "relu", "scaled")


def two_factors_of_a_relu(graph, alpha):
    graph.constant("f", alpha)
    graph.constant("g", 1 - alpha)
    graph.node("relu", "Relu", "x")
    graph.node("left", "Mul", "x", "f")
    graph.node("right", "Mul", "relu", "g")
    graph.node("prelu", "Add", "right", "left")


def larger(graph, alpha):
    graph.constant("alpha", np.minimum(alpha, 1))
    graph.node("scaled", "Mul", "x", "alpha")
    graph.node("prelu", "Maximum", "scaled", "x")


def smaller(graph, alpha):
    graph.constant("alpha", np.maximum(alpha, 1))
    graph.node("scaled", "Mul", "alpha", "x")
    graph.node("prelu", "Minimum", "x", "scaled")


def leaky_relu(graph, alpha):
    slope = float(min(alpha.flat[0], 1)) if alpha.size else 1.0
    graph.node("prelu", "LeakyRelu", "x", alpha=slope)


def chosen(select, comparison, swapped=False, like=False):
    """x where it is positive, by this comparison; `swapped`: zero first; `like`: zeros of the shape of x."""

    def spell(graph, alpha):
        zero = graph.node("zero", "ZerosLike", "x") if like else graph.constant("zero", 0)
        graph.constant("alpha", alpha)
        graph.node("scaled", "Mul", "alpha", "x")
        graph.node("which", comparison, *((zero, "x") if swapped else ("x", zero)))
        first = comparison.startswith("Greater") is not swapped
        graph.node("prelu", select, "which", *(("x", "scaled") if first else ("scaled", "x")))

    spell.__name__ = "_".join([select, comparison] + ["swapped"] * swapped + ["like"] * like)
    return spell


CHOSEN = [
    chosen("Select", "Greater"),
    chosen("Select", "GreaterEqual", like=True),
    chosen("Select", "Less"),
    chosen("SelectV2", "Greater", like=True),
    chosen("SelectV2", "GreaterEqual"),
    chosen("SelectV2", "LessEqual"),
    chosen("SelectV2", "Less", swapped=True),
    chosen("SelectV2", "LessEqual", swapped=True),
    chosen("SelectV2", "Greater", swapped=True),
    chosen("SelectV2", "GreaterEqual", swapped=True),
]
#: They do for one slope, or for slopes on one side of 1.
LIMITED = [larger, smaller, leaky_relu]
SPELLINGS = [
    neg_outside,
    neg_inside,
    minus_alpha_constant,
    subtracted,
    maximum_and_minimum,
    maxima,
    absolute,
    absolute_divided,
    absolute_with_half_of_alpha,
    difference,
    two_factors,
    two_factors_of_a_relu,
    *CHOSEN,
]

slopes = strategies.floats(-2, 2, width=32)
values = strategies.floats(-1000, 1000, width=32)


@strategies.composite
def inputs_and_slopes(draw):
    """An x of rank 1 to 4, and an alpha that broadcasts to it without stretching it."""
    shape = tuple(draw(strategies.lists(strategies.integers(1, 4), min_size=1, max_size=4)))
    rank = draw(strategies.integers(0, len(shape)))
    alpha_shape = tuple(size if draw(strategies.booleans()) else 1 for size in shape[len(shape) - rank :])
    x = draw(arrays.arrays(np.float32, shape, elements=values))
    return x, draw(arrays.arrays(np.float32, alpha_shape, elements=slopes))


@pytest.mark.parametrize("spell", SPELLINGS + LIMITED)
@given(data=inputs_and_slopes(), known=strategies.booleans(), target=strategies.sampled_from(TARGETS))
def test_computes_the_same(spell, target, data, known, new_graph, run_rules, compute):
    x, alpha = data
    graph = new_graph()
    graph.placeholder("x", (*(-1 for _ in x.shape[:-1]), x.shape[-1]) if known else None)
    spell(graph, alpha)
    graph.outputs.append("prelu")

    rewritten = run_rules(graph, "prelu", target=target)

    assert not rewritten.refused
    before, after = (compute(message, {"x": x}, ["prelu"])[0] for message in (graph.message, rewritten.message))
    assert after.shape == before.shape
    # Each spelling rounds two or three times in float32, at most at (1 + 2 * |alpha|) * |x|. Below float32's normal
    # numbers each rounding costs up to half of 2**-149, however small x is.
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6 * float(np.abs(x).max()) + 2.0**-147)


@pytest.mark.parametrize("spell", SPELLINGS)
def test_fuses_every_spelling_to_the_same_operations(spell, graph, run_rules):
    graph.placeholder("x", (-1, -1, -1, 2))
    spell(graph, np.array([0.25, -0.5], np.float32))
    graph.outputs.append("prelu")

    rewritten = run_rules(graph, "prelu")

    assert sorted(operation.replace("V2", "") for operation in rewritten.operations) == [
        "Add", "Const", "Mul", "Neg", "Placeholder", "Relu", "Relu",
    ]  # fmt: skip
    assert rewritten.find("prelu").input[0] == "prelu/Relu", "TensorFlow.js looks for the relu first"
    dims = rewritten.find("prelu/minus_alpha").attr["value"].tensor.tensor_shape.dim
    assert [dim.size for dim in dims] == [1, 1, 2]


def test_makes_maximum_and_minimum_for_a_converter_that_cannot_load_a_prelu_of_this_rank(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    neg_outside(graph, np.array([0.25, -0.5], np.float32))
    graph.outputs.append("prelu")
    assert "Maximum" in run_rules(graph, "prelu", target=OLD).operations
    assert "Maximum" not in run_rules(graph, "prelu", target=Target("tflite", (1, 12))).operations
    assert "Maximum" not in run_rules(graph, "prelu", target=Target("tflite", (2, 15))).operations


def test_makes_relus_for_an_old_converter_where_the_rank_is_four(graph, run_rules):
    graph.placeholder("x", (1, 8, 8, 2))
    maximum_and_minimum(graph, np.array([0.25, -0.5], np.float32))
    graph.outputs.append("prelu")
    assert "Maximum" not in run_rules(graph, "prelu", target=OLD).operations


ONE = np.array(0.25, np.float32)
GENTLE = np.array([0.25, -0.5], np.float32)
STEEP = np.array([0.25, 1.5], np.float32)
LEAKY = ["LeakyRelu"]
PLAIN = ["Maximum", "Mul"]
RELUS = ["Add", "Mul", "Neg", "Relu", "Relu"]
BOTH = ["Add", "Maximum", "Minimum", "Mul"]
DIFFERENCE = ["Add", "Mul", "Relu", "Sub"]
FACTORS = ["Add", "Mul", "Mul", "Relu"]
#: By the target's name, its TensorFlow, the rank of x (0: unknown) and alpha.
FORMS = [
    ("tflite", (2, 21), 0, ONE, LEAKY),
    ("tflite", (1, 13), 4, ONE, LEAKY),
    ("tflite", (1, 12), 4, ONE, RELUS),
    ("tfjs", (2, 19), 4, ONE, LEAKY),
    ("tfjs", (1, 15), 4, ONE, RELUS),
    ("frozen-graph", (1, 13), 4, ONE, LEAKY),
    ("frozen-graph", (1, 12), 4, ONE, PLAIN),
    ("tflite", (2, 21), 4, STEEP, RELUS),
    ("tflite", (2, 21), 0, STEEP, BOTH),
    ("tflite", (2, 21), 0, GENTLE, PLAIN),
    ("tflite", (2, 5), 2, GENTLE, PLAIN),
    ("tflite", (2, 4), 2, GENTLE, RELUS),
    ("tflite", (2, 1), 0, GENTLE, RELUS),
    ("tflite", (1, 11), 2, GENTLE, RELUS),
    ("tflite", (1, 10), 2, GENTLE, PLAIN),
    ("tflite", (1, 10), 4, GENTLE, RELUS),
    ("tflite", (1, 9), 2, STEEP, BOTH),
    ("tflite", (1, 8), 4, STEEP, RELUS),
    ("tflite", (1, 8), 2, STEEP, DIFFERENCE),
    ("tflite", (1, 7), 4, GENTLE, DIFFERENCE),
    ("tflite", (1, 5), 4, GENTLE, FACTORS),
    ("tfjs", (1, 12), 4, GENTLE, PLAIN),
    ("tfjs", (1, 12), 4, STEEP, BOTH),
    ("tfjs", (1, 15), 0, STEEP, RELUS),
    ("", None, 0, GENTLE, RELUS),
    ("frozen-graph", None, 4, GENTLE, PLAIN),
]


@pytest.mark.parametrize(("name", "tensorflow", "rank", "alpha", "expected"), FORMS)
def test_writes_what_serves_the_converter(name, tensorflow, rank, alpha, expected, graph, run_rules):
    graph.placeholder("x", (*[-1] * (rank - 1), 2) if rank else None)
    neg_outside(graph, alpha)
    graph.outputs.append("prelu")
    operations = run_rules(graph, "prelu", target=Target(name, tensorflow)).operations
    assert sorted(operation for operation in operations if operation not in ("Const", "Placeholder")) == expected


def test_knows_a_rank_that_only_the_whole_graph_tells(graph, run_rules):
    graph.placeholder("image", (1, 8, 8, 2))
    graph.constant("begin", [0, 0, 0, 0], "int32")
    graph.constant("size", [1, 4, 4, 2], "int32")
    graph.node("x", "Slice", "image", "begin", "size", Index="int32")
    neg_outside(graph, GENTLE)
    graph.outputs.append("prelu")
    assert "Relu" in run_rules(graph, "prelu", target=Target("tflite", (2, 15))).operations


def test_is_no_leaky_relu_where_its_attribute_cannot_hold_the_slope(graph, run_rules):
    graph.placeholder("x", (-1, 2), "float64")
    neg_outside(graph, ONE)
    for node in graph.message.node:
        if "T" in node.attr:
            node.attr["T"].type = 2
    graph.find("alpha").CopyFrom(_constant("alpha", 0.1, "float64"))
    graph.outputs.append("prelu")
    assert "LeakyRelu" not in run_rules(graph, "prelu").operations


def test_adds_as_an_old_tensorflow_can(graph, run_rules):
    graph.placeholder("x", (1, 8, 8, 2))
    neg_inside(graph, GENTLE)
    graph.outputs.append("prelu")
    assert "AddV2" in run_rules(graph, "prelu", target=Target("tflite", (1, 15))).operations
    assert "AddV2" not in run_rules(graph, "prelu", target=Target("tflite", (1, 14))).operations


@pytest.mark.parametrize(
    ("target", "spell", "alpha"),
    [
        (Target("tflite", (2, 15)), leaky_relu, ONE),
        (Target("tfjs", (1, 12)), larger, GENTLE),
        (Target("frozen-graph"), chosen("SelectV2", "Greater"), STEEP),
        (Target("tflite", (1, 10)), difference, STEEP),
        (Target("tflite", (1, 7)), difference, GENTLE),
    ],
)
def test_leaves_alone_what_serves_the_target_as_it_is(target, spell, alpha, graph, run_rules):
    graph.placeholder("x", (-1, 2))
    spell(graph, alpha)
    graph.outputs.append("prelu")
    rewritten = run_rules(graph, "prelu", target=target)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_keeps_what_is_used_elsewhere_and_what_the_model_gives_out(graph, run_rules, compute):
    graph.placeholder("x", (-1, 2))
    neg_outside(graph, np.array([0.25, -0.5], np.float32))
    graph.node("other", "Abs", "scaled")
    graph.outputs += ["prelu", "other", "mirrored"]

    rewritten = run_rules(graph, "prelu")

    assert rewritten.fired == 1
    assert {"scaled", "mirrored", "other"} <= set(rewritten.names)
    assert "minus" not in rewritten.names
    feeds = {"x": np.array([[1, -2], [-3, 4]], np.float32)}
    computed = (compute(message, feeds, graph.outputs) for message in (graph.message, rewritten.message))
    for before, after in zip(*computed):
        np.testing.assert_array_equal(after, before)


def test_reports_the_nodes_before_and_after(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    neg_outside(graph, np.array([0.25, -0.5], np.float32))
    graph.outputs.append("prelu")
    (report,) = run_rules(graph, "prelu").reports
    (firing,) = report.to_json()["fired"]
    assert sorted(firing["before"]) == ["minus", "mirrored", "neg", "prelu", "relu", "scaled"]
    assert firing["after"][-1] == "prelu"
    assert set(firing["after"]) >= {"prelu/Relu", "prelu/minus_alpha"}


def refusal(graph, run_rules, node="prelu"):
    graph.outputs.append("prelu")
    before = [list(item.input) for item in graph.message.node]
    rewritten = run_rules(graph, "prelu")
    assert rewritten.fired == 0
    assert [list(item.input) for item in rewritten.message.node] == before
    return rewritten.refused[node]


def test_leaves_alone_when_alpha_is_computed(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("slope", (2,))
    neg_outside(graph, np.zeros(2, np.float32))
    graph.find("scaled").input[0] = "slope"
    assert refusal(graph, run_rules) == "alpha, slope, is computed and not constant"


def test_leaves_alone_when_alpha_is_a_default_that_may_be_fed(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    neg_outside(graph, np.zeros(2, np.float32))
    graph.node("fed", "PlaceholderWithDefault", "alpha")
    graph.inputs.append("fed")
    graph.find("scaled").input[0] = "fed"
    assert "alpha, fed, is computed" in refusal(graph, run_rules)


def test_leaves_alone_when_the_sides_read_different_tensors(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("other", (-1, 2))
    neg_outside(graph, np.zeros(2, np.float32))
    graph.find("neg").input[0] = "other"
    assert refusal(graph, run_rules) == "its two sides read different tensors, x and other"


def test_leaves_alone_when_the_factors_belong_to_different_alphas(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    two_factors(graph, np.array([0.25, 0.5], np.float32))
    graph.find("g").CopyFrom(_constant("g", [0.4, 0.25]))
    assert refusal(graph, run_rules) == "its two factors are not those of one alpha"


def test_leaves_alone_when_the_factors_of_a_relu_do_not_make_one(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    two_factors_of_a_relu(graph, GENTLE)
    graph.find("g").CopyFrom(_constant("g", [0.5, 1.5]))
    assert refusal(graph, run_rules) == "its two factors are not those of one alpha"


def test_leaves_alone_a_maximum_when_alpha_is_above_one(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    larger(graph, STEEP)
    graph.find("alpha").CopyFrom(_constant("alpha", STEEP))
    assert refusal(graph, run_rules) == "alpha is above 1 somewhere, where this is no PReLU"


def test_leaves_alone_a_minimum_when_alpha_is_below_one(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    smaller(graph, STEEP)
    graph.find("alpha").CopyFrom(_constant("alpha", STEEP))
    assert refusal(graph, run_rules) == "alpha is below 1 somewhere, where this is no PReLU"


def test_says_nothing_of_a_choice_by_something_else(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("other", (-1, 2))
    chosen("SelectV2", "Greater")(graph, GENTLE)
    graph.find("which").input[0] = "other"
    graph.outputs.append("prelu")
    rewritten = run_rules(graph, "prelu")
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_it_computes_integers(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    neg_outside(graph, np.zeros(2, np.float32))
    graph.find("prelu").attr["T"].type = 3
    assert refusal(graph, run_rules) == "it computes int32, and PReLU is for floats"


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3,)], ids=["rank", "channels"])
def test_leaves_alone_when_alpha_would_stretch_x(graph, run_rules, shape):
    graph.placeholder("x", (-1, 1))
    neg_outside(graph, np.full(shape, 0.5, np.float32))
    assert "would stretch what it multiplies" in refusal(graph, run_rules)


def test_leaves_alone_when_it_lies_in_a_loop(graph, run_rules):
    graph.placeholder("start", (2,))
    graph.node("x", "Enter", "start", frame_name=b"while")
    neg_outside(graph, np.zeros(2, np.float32))
    assert refusal(graph, run_rules) == "it lies inside the loop 'while'"


def test_leaves_alone_when_it_lies_on_one_side_of_a_condition(graph, run_rules):
    graph.placeholder("start", (2,))
    graph.placeholder("training", (), "bool")
    graph.node("switch", "Switch", "start", "training")
    graph.node("x", "Abs", "switch:1")
    neg_outside(graph, np.zeros(2, np.float32))
    assert refusal(graph, run_rules) == "it lies inside the condition on 'training'"


def test_says_nothing_about_sums_that_are_no_prelu(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.node("relu", "Relu", "x")
    graph.node("prelu", "Add", "relu", "x")
    graph.outputs.append("prelu")
    assert run_rules(graph, "prelu").refused == {}


def _constant(name, value, dtype="float32"):
    return graph_def.new_constant(name, np.asarray(value, dtype))
