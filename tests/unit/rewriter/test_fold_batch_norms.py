"""Constant factors and summands, and batch normalisations, into filters and biases."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linear_nets import KINDS, add_linear, feeds, random

SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
#: Relative to the largest output: filters are rounded once more, and sums of some dozens of products in another order.
TOLERANCES = {"float32": 2e-6, "float64": 1e-12}
LINEAR = {kind.split()[0] for kind in KINDS}


def assert_computes_the_same(compute, graph, rewritten, generator, dtype="float32"):
    given_feeds = feeds(graph, generator)
    before = compute(graph.message, given_feeds, graph.outputs)
    after = compute(rewritten.message, given_feeds, graph.outputs)
    for old, new in zip(before, after):
        assert old.shape == new.shape
        np.testing.assert_allclose(new, old, rtol=0, atol=TOLERANCES[dtype] * np.abs(old).max())


def constant_like(generator, channels, rank, form, dtype):
    """A constant for each channel, in one of the shapes that broadcast."""
    values = generator.uniform(0.5, 2, channels).astype(dtype)
    if form == "one":
        return values[:1].reshape(())
    return values.reshape((1,) * (rank - 1) + (channels,)) if form == "aligned" else values


CHAINS = st.lists(st.sampled_from(["Mul", "RealDiv", "Sub", "Add", "AddV2", "BiasAdd"]), min_size=1, max_size=5)


@SETTINGS
@given(
    kind=st.sampled_from(KINDS),
    chain=CHAINS,
    form=st.sampled_from(["each", "one", "aligned"]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 999),
)
def test_folds_every_chain_of_constants(new_graph, run_rules, compute, kind, chain, form, dtype, seed):
    graph, generator = new_graph(), np.random.default_rng(seed)
    channels, rank = add_linear(graph, kind, generator, dtype)
    last = "linear"
    for number, operation in enumerate(chain):
        shape = "each" if operation == "BiasAdd" else form
        graph.constant(f"c{number}", constant_like(generator, channels, rank, shape, dtype), dtype)
        last = graph.node(f"n{number}", operation, last, f"c{number}", dtype=dtype)
    graph.outputs.append(last)
    rewritten = run_rules(graph, "fold_batch_norms")
    kept = [operation for operation in rewritten.operations if operation not in ("Const", "Placeholder")]
    assert [operation for operation in kept if operation not in LINEAR] in ([], ["BiasAdd"])
    assert_computes_the_same(compute, graph, rewritten, generator, dtype)


@SETTINGS
@given(
    kind=st.sampled_from([kind for kind in KINDS if kind != "Conv3D"]),
    operation=st.sampled_from(
        ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "BatchNormWithGlobalNormalization"]
    ),
    bias=st.sampled_from(["", "BiasAdd", "AddV2", "Sub"]),
    scales=st.booleans(),
    seed=st.integers(0, 999),
)
def test_folds_every_batch_norm(new_graph, run_rules, compute, kind, operation, bias, scales, seed):
    graph, generator = new_graph(), np.random.default_rng(seed)
    last, channels = normalised(graph, generator, kind, operation, bias, scales)
    graph.outputs.append(last)
    rewritten = run_rules(graph, "fold_old_batch_norms")
    kept = [item for item in rewritten.operations if item not in ("Const", "Placeholder", "Reshape")]
    assert kept == [kind.split()[0], "BiasAdd"]
    assert channels
    # TensorFlow 1.15 takes the root of a variance plus epsilon in another order than we do.
    assert_computes_the_same(compute, graph, rewritten, generator)


def normalised(graph, generator, kind, operation, bias, scales=True, training=False):
    channels, rank = add_linear(graph, kind, generator)
    last = "linear"
    if bias:
        graph.constant("b", random(generator, channels))
        last = graph.node("biased", bias, last, "b")
    if rank == 2:
        graph.constant("rows", [-1, 1, 1, channels], "int32")
        last = graph.node("rows_of", "Reshape", last, "rows", Tshape="int32")
    for name in ("gamma", "beta", "mean"):
        graph.constant(name, random(generator, channels))
    graph.constant("variance", generator.uniform(0.1, 2, channels))
    if operation == "BatchNormWithGlobalNormalization":
        read = ("mean", "variance", "beta", "gamma")
        more = {"variance_epsilon": 0.001, "scale_after_normalization": scales}
    else:
        read = ("gamma", "beta", "mean", "variance")
        more = {"epsilon": 0.001, "is_training": training}
        if operation != "FusedBatchNorm":
            more["U"] = "float32"
    return graph.node("norm", operation, last, *read, **more), channels


@SETTINGS
@given(
    form=st.sampled_from(["rsqrt", "sqrt", "divided last", "folded"]),
    kind=st.sampled_from(["Conv2D", "DepthwiseConv2dNative", "MatMul"]),
    seed=st.integers(0, 999),
)
def test_folds_what_is_spelt_out(new_graph, run_rules, compute, form, kind, seed):
    graph, generator = new_graph(), np.random.default_rng(seed)
    channels, _ = add_linear(graph, kind, generator)
    for name in ("gamma", "beta", "mean"):
        graph.constant(name, random(generator, channels))
    graph.constant("variance", generator.uniform(0.1, 2, channels))
    graph.constant("epsilon", 0.001)
    graph.node("sum", "Add", "variance", "epsilon")
    if form in ("rsqrt", "folded"):
        graph.node("inverse", "Rsqrt", "sum")
        graph.node("factor", "Mul", "inverse", "gamma")
    else:
        graph.node("root", "Sqrt", "sum")
        graph.node("factor", "RealDiv", "gamma", "root")
    if form == "folded":
        graph.node("scaled", "Mul", "linear", "factor")
        graph.node("moved_mean", "Mul", "mean", "factor")
        graph.node("shift", "Sub", "beta", "moved_mean")
        graph.outputs.append(graph.node("y", "Add", "scaled", "shift"))
    elif form == "divided last":
        graph.node("centred", "Sub", "linear", "mean")
        graph.node("whitened", "RealDiv", "centred", "root")
        graph.node("scaled", "Mul", "gamma", "whitened")
        graph.outputs.append(graph.node("y", "Add", "scaled", "beta"))
    else:
        graph.node("centred", "Sub", "linear", "mean")
        graph.node("scaled", "Mul", "centred", "factor")
        graph.outputs.append(graph.node("y", "Add", "scaled", "beta"))
    rewritten = run_rules(graph, "fold_batch_norms prune_unused")
    assert [item for item in rewritten.operations if item not in ("Const", "Placeholder")] == [kind, "BiasAdd"]
    assert_computes_the_same(compute, graph, rewritten, generator)


@pytest.mark.parametrize("between", ["Reshape", "BatchToSpaceND"])
def test_folds_behind_what_moves_values(graph, run_rules, compute, between):
    generator = np.random.default_rng(3)
    if between == "Reshape":
        channels, _ = add_linear(graph, "MatMul", generator)
        graph.constant("rows", [1, 2, channels], "int32")
        graph.node("moved", "Reshape", "linear", "rows", Tshape="int32")
    else:
        graph.placeholder("x", (4, 3, 3, 3))
        channels = 4
        graph.constant("w", random(generator, 3, 3, 3, channels))
        graph.node("linear", "Conv2D", "x", "w", strides=(1, 1, 1, 1), padding=b"VALID")
        graph.constant("block", [2, 2], "int32")
        graph.constant("crops", [[0, 0], [0, 0]], "int32")
        graph.node("moved", between, "linear", "block", "crops", Tblock_shape="int32", Tcrops="int32")
    graph.constant("factor", random(generator, channels))
    graph.constant("shift", random(generator, channels))
    graph.node("scaled", "Mul", "moved", "factor")
    graph.outputs.append(graph.node("y", "Add", "scaled", "shift"))
    rewritten = run_rules(graph, "fold_batch_norms")
    assert [item for item in rewritten.operations if item not in ("Const", "Placeholder")] in (
        ["MatMul", "BiasAdd", "Reshape"],
        ["Conv2D", "BiasAdd", "BatchToSpaceND"],
    )
    assert_computes_the_same(compute, graph, rewritten, generator)


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_quantised_filter_keeps_its_grid(graph, run_rules, compute, per_channel):
    generator = np.random.default_rng(5)
    graph.placeholder("x", (1, 5, 5, 3))
    graph.constant("w", random(generator, 3, 3, 3, 4))
    graph.constant("low", [-1, -2, -1.5, -3] if per_channel else -2.5)
    graph.constant("high", [1.25, 2, 1, 3] if per_channel else 2.5)
    operation = "FakeQuantWithMinMaxVarsPerChannel" if per_channel else "FakeQuantWithMinMaxVars"
    graph.node("quantised", operation, "w", "low", "high", T=None, num_bits=8, narrow_range=True)
    graph.node("linear", "Conv2D", "x", "quantised", strides=(1, 1, 1, 1), padding=b"SAME")
    # Powers of two: a grid times these is the same grid in floats as well, so that no weight changes its step.
    graph.constant("factor", [0.5, 2, 4, 0.25] if per_channel else 0.5)
    graph.outputs.append(graph.node("y", "Mul", "linear", "factor"))
    rewritten = run_rules(graph, "fold_multiplications")
    assert rewritten.operations.count(operation) == 1
    assert "Mul" not in rewritten.operations
    assert_computes_the_same(compute, graph, rewritten, generator)


def quantised(graph, operation="FakeQuantWithMinMaxVars", low=-2.5, high=2.5, factor=(1.0, 2.0, 3.0, 4.0)):
    graph.placeholder("x", (1, 5, 5, 3))
    graph.constant("w", np.ones((3, 3, 3, 4)))
    graph.constant("low", low)
    graph.constant("high", high)
    graph.node("quantised", operation, "w", "low", "high", T=None)
    graph.node("linear", "Conv2D", "x", "quantised", strides=(1, 1, 1, 1), padding=b"SAME")
    graph.constant("factor", factor)
    graph.outputs.append(graph.node("y", "Mul", "linear", "factor"))
    return graph


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (
            {},
            "its factor differs from channel to channel, and quantised quantises the whole filter with one range",
        ),
        ({"factor": -1.0}, "its factor is not above zero everywhere, and quantised quantises the filter"),
    ],
)
def test_leaves_alone_when_a_quantised_filter_would_get_another_grid(graph, run_rules, more, reason):
    rewritten = run_rules(quantised(graph, **more), "fold_multiplications")
    assert rewritten.refused == {"y": reason}


def test_leaves_alone_when_the_filter_is_computed(graph, run_rules):
    graph.placeholder("x", (2, 3))
    graph.placeholder("w", (3, 4))
    graph.node("linear", "MatMul", "x", "w")
    graph.constant("factor", 2.0)
    graph.outputs.append(graph.node("y", "Mul", "linear", "factor"))
    assert run_rules(graph, "fold_multiplications").refused == {"y": "the filter of linear, w, is not constant"}


def test_leaves_alone_when_the_factor_is_computed(graph, run_rules):
    add_linear(graph, "MatMul", np.random.default_rng(0))
    graph.placeholder("gate", (2, 4))
    graph.outputs.append(graph.node("y", "Mul", "linear", "gate"))
    assert run_rules(graph, "fold_multiplications").refused == {
        "y": "its factor, gate, is no constant for each channel"
    }


def test_leaves_alone_when_the_factor_differs_within_a_channel(graph, run_rules):
    add_linear(graph, "Conv2D", np.random.default_rng(0))
    graph.constant("factor", np.ones((6, 1, 1)))
    graph.outputs.append(graph.node("y", "Mul", "linear", "factor"))
    assert run_rules(graph, "fold_multiplications").refused == {
        "y": "its factor, factor, is no constant for each channel"
    }


def test_leaves_alone_when_it_divides_by_zero(graph, run_rules):
    add_linear(graph, "Conv2D", np.random.default_rng(0))
    graph.constant("factor", [0.0, 1, 1, 1])
    graph.outputs.append(graph.node("y", "RealDiv", "linear", "factor"))
    assert run_rules(graph, "fold_multiplications").refused == {"y": "its factor, factor, is not finite"}


def test_leaves_alone_when_the_product_is_used_elsewhere_unscaled(graph, run_rules):
    add_linear(graph, "Conv2D", np.random.default_rng(0))
    graph.constant("factor", 2.0)
    graph.outputs += [graph.node("y", "Mul", "linear", "factor"), graph.node("z", "Relu", "linear")]
    assert run_rules(graph, "fold_multiplications").refused == {"y": "its part 'linear' is also used elsewhere"}


def test_leaves_alone_when_the_bias_is_computed(graph, run_rules):
    add_linear(graph, "MatMul", np.random.default_rng(0))
    graph.placeholder("b", (4,))
    graph.node("biased", "BiasAdd", "linear", "b")
    graph.constant("factor", 2.0)
    graph.outputs.append(graph.node("y", "Mul", "biased", "factor"))
    assert run_rules(graph, "fold_multiplications").refused == {
        "y": "what biased adds, b, is no constant for each channel"
    }


def test_leaves_alone_when_a_reshape_moves_channels(graph, run_rules):
    add_linear(graph, "MatMul", np.random.default_rng(0))
    graph.constant("rows", [4, 2], "int32")
    graph.node("moved", "Reshape", "linear", "rows", Tshape="int32")
    graph.constant("factor", 2.0)
    graph.outputs.append(graph.node("y", "Mul", "moved", "factor"))
    assert run_rules(graph, "fold_multiplications").refused == {"y": "moved may not keep the channels last"}


def test_leaves_alone_when_a_batch_norm_trains(graph, run_rules):
    last, _ = normalised(graph, np.random.default_rng(0), "Conv2D", "FusedBatchNorm", "", training=True)
    graph.outputs.append(last)
    assert run_rules(graph, "fold_old_batch_norms").refused == {
        "norm": "it is in training mode; freeze the graph for inference"
    }


def test_leaves_alone_when_other_outputs_of_a_batch_norm_are_used(graph, run_rules):
    last, _ = normalised(graph, np.random.default_rng(0), "Conv2D", "FusedBatchNorm", "")
    graph.outputs += [last, graph.node("mean_of_batch", "Identity", "norm:1")]
    assert run_rules(graph, "fold_old_batch_norms").refused == {"norm": "its output 1 is also used"}


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("Pad", "it reads padded, a Pad, whose border it would have to change"),
        ("Relu", "it reads padded, a Relu, which has no filter that could take it in"),
    ],
)
def test_leaves_alone_when_a_batch_norm_reads_something_else(graph, run_rules, operation, reason):
    normalised(graph, np.random.default_rng(0), "Conv2D", "FusedBatchNorm", "")
    graph.constant("border", [[0, 0], [1, 1], [1, 1], [0, 0]], "int32")
    read = ("linear", "border") if operation == "Pad" else ("linear",)
    graph.node("padded", operation, *read)
    graph.find("norm").input[0] = "padded"
    graph.outputs.append("norm")
    assert run_rules(graph, "fold_old_batch_norms").refused == {"norm": reason}


def test_leaves_alone_when_statistics_are_computed(graph, run_rules):
    normalised(graph, np.random.default_rng(0), "Conv2D", "FusedBatchNorm", "")
    graph.placeholder("live", (4,))
    graph.find("norm").input[3] = "live"
    graph.outputs.append("norm")
    assert run_rules(graph, "fold_old_batch_norms").refused == {
        "norm": "its statistics are not constant, or not one for each of the filter's channels"
    }


def test_leaves_a_bias_and_the_sum_of_branches_as_they_are(graph, run_rules):
    add_linear(graph, "Conv2D", np.random.default_rng(0))
    graph.constant("b", [1.0, 2, 3, 4])
    graph.node("biased", "BiasAdd", "linear", "b")
    graph.node("branch", "Relu", "biased")
    graph.outputs.append(graph.node("y", "AddV2", "branch", "biased"))
    rewritten = run_rules(graph, "fold_additions")
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_the_sum_of_biases_is_not_finite(graph, run_rules):
    add_linear(graph, "Conv2D", np.random.default_rng(0))
    graph.constant("b", [3e38] * 4)
    graph.node("biased", "BiasAdd", "linear", "b")
    graph.outputs.append(graph.node("y", "Add", "biased", "b"))
    assert run_rules(graph, "fold_additions").refused == {"y": "the sum of its biases is beyond its type"}


def test_a_filter_that_others_read_stays_for_them(graph, run_rules, compute):
    generator = np.random.default_rng(4)
    add_linear(graph, "MatMul", generator)
    graph.constant("factor", 2.0)
    graph.outputs += [graph.node("y", "Mul", "linear", "factor"), graph.node("z", "MatMul", "x", "w")]
    rewritten = run_rules(graph, "fold_multiplications")
    assert rewritten.fired == 1
    assert list(rewritten.find("z").input) == ["x", "w"]
    assert_computes_the_same(compute, graph, rewritten, generator)


@pytest.mark.parametrize("quantise", ["FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs"])
@pytest.mark.parametrize("operation", ["Mul", "AddV2"])
def test_leaves_alone_when_a_fake_quant_lies_between(graph, run_rules, quantise, operation):
    add_linear(graph, "Conv2D", np.random.default_rng(0))
    graph.constant("low", -1.0)
    graph.constant("high", 1.0)
    graph.constant("c", 2.0)
    read = ("low", "high") if quantise == "FakeQuantWithMinMaxVars" else ()
    graph.node("quantised", quantise, "linear", *read, T=None)
    graph.outputs.append(graph.node("y", operation, "quantised", "c"))
    rule = "fold_multiplications" if operation == "Mul" else "fold_additions"
    for name in (rule, "fold_batch_norms"):
        assert run_rules(graph, name).refused == {"y": "quantised quantises what it would be folded into"}


# -- convolutions side by side -----------------------------------------------------------------------------------------


def side_by_side(graph, generator, axis=3, widths=(4, 2), bias=False, operation="ConcatV2", read=None, first=False):
    """A batch normalisation of the concatenation of convolutions. read: what is concatenated, if not these."""
    graph.placeholder("x", (2, 3, 5, 5) if first else (2, 5, 5, 3))
    more = {"data_format": b"NCHW"} if first else {}
    parts = []
    for number, width in enumerate(widths):
        graph.constant(f"w{number}", random(generator, 3, 3, 3, width))
        last = graph.node(f"conv{number}", "Conv2D", "x", f"w{number}", strides=(1, 1, 1, 1), padding=b"SAME", **more)
        if bias:
            graph.constant(f"b{number}", random(generator, width))
            last = graph.node(f"biased{number}", "BiasAdd", last, f"b{number}", **more)
        parts.append(last)
    parts = read or parts
    graph.constant("axis", axis, "int32")
    graph.node("joined", operation, *([*parts, "axis"] if operation == "ConcatV2" else ["axis", *parts]), N=len(parts))
    if operation == "ConcatV2":
        graph.find("joined").attr["Tidx"].type = 3
    channels = sum(widths) if axis in (-1, 1 if first else 3) else widths[0]
    for name in ("gamma", "beta", "mean"):
        graph.constant(name, random(generator, channels))
    graph.constant("variance", generator.uniform(0.1, 2, channels))
    graph.node(
        "norm",
        "FusedBatchNorm",
        "joined",
        "gamma",
        "beta",
        "mean",
        "variance",
        epsilon=0.001,
        is_training=False,
        **more,
    )
    graph.outputs.append("norm")
    return graph


@SETTINGS
@given(
    case=st.sampled_from([(3, (4, 2)), (-1, (1, 2, 3)), (0, (4, 4)), (2, (3, 3, 3))]),
    bias=st.booleans(),
    operation=st.sampled_from(["ConcatV2", "Concat"]),
    seed=st.integers(0, 999),
)
def test_folds_into_convolutions_side_by_side(new_graph, run_rules, compute, case, bias, operation, seed):
    axis, widths = case
    graph, generator = new_graph(), np.random.default_rng(seed)
    if operation == "Concat":
        axis %= 4  # which knows no negative axis
    side_by_side(graph, generator, axis, widths, bias, operation)
    rewritten = run_rules(graph, "fold_old_batch_norms")
    kept = [item for item in rewritten.operations if item not in ("Const", "Placeholder")]
    assert sorted(kept) == sorted(["Conv2D", "BiasAdd"] * len(widths) + [operation])
    assert_computes_the_same(compute, graph, rewritten, generator)


def test_folds_into_convolutions_side_by_side_with_channels_first(graph, run_rules, compute):
    generator = np.random.default_rng(0)
    side_by_side(graph, generator, axis=1, first=True)
    rewritten = run_rules(graph, "fold_old_batch_norms")
    kept = [item for item in rewritten.operations if item not in ("Const", "Placeholder")]
    assert sorted(kept) == ["BiasAdd", "BiasAdd", "ConcatV2", "Conv2D", "Conv2D"]
    assert_computes_the_same(compute, graph, rewritten, generator)


def test_leaves_alone_when_not_all_that_is_concatenated_is_convolved(graph, run_rules):
    side_by_side(graph, np.random.default_rng(0), read=["conv0", "x"])
    assert run_rules(graph, "fold_old_batch_norms").refused == {
        "norm": "joined puts together x, a Placeholder, and others"
    }


def test_leaves_alone_when_one_convolution_is_concatenated_twice(graph, run_rules):
    side_by_side(graph, np.random.default_rng(0), widths=(4, 4), read=["conv0", "conv0"])
    assert run_rules(graph, "fold_old_batch_norms").refused == {"norm": "its part 'conv0' is also used elsewhere"}


@pytest.mark.parametrize("bias", [False, True])
def test_leaves_alone_when_a_convolution_side_by_side_is_used_elsewhere(graph, run_rules, bias):
    side_by_side(graph, np.random.default_rng(0), bias=bias)
    graph.outputs.append(graph.node("z", "Relu", "conv1"))
    assert run_rules(graph, "fold_old_batch_norms").refused == {"norm": "its part 'conv1' is also used elsewhere"}


def test_leaves_alone_when_a_convolution_side_by_side_waits(graph, run_rules):
    side_by_side(graph, np.random.default_rng(0))
    graph.placeholder("go", ())
    graph.find("conv1").input.append("^go")
    assert run_rules(graph, "fold_old_batch_norms").refused == {"norm": "conv1 waits for other nodes"}


def test_leaves_alone_when_the_axis_is_fed(graph, run_rules):
    side_by_side(graph, np.random.default_rng(0))
    graph.placeholder("live", (), "int32")
    graph.find("joined").input[2] = "live"
    assert run_rules(graph, "fold_old_batch_norms").refused == {
        "norm": "joined concatenates along an axis that is not constant"
    }


def test_leaves_alone_when_a_filter_side_by_side_is_fed(graph, run_rules):
    side_by_side(graph, np.random.default_rng(0))
    graph.placeholder("live", (3, 3, 3, 2))
    graph.find("conv1").input[1] = "live"
    assert run_rules(graph, "fold_old_batch_norms").refused == {"norm": "the filter of conv1, live, is not constant"}
