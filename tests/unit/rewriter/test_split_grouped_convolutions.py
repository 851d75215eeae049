"""Grouped convolutions to depthwise and split ones: any of them computes the same, and when they stay.

Before 2.5 TensorFlow's CPU kernels group nothing, so the convolution as it was is computed with NumPy.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_rewriter.rules_api import Target
from modelmill_worker.errors import StepError
from tflite_of_graphs import Interpreter, convert

NAME = "split_grouped_convolutions"
NEEDED_ELSEWHERE = (
    "TensorFlow 2.9 and later convert it as it is; split it with always=true where the model goes to an older runtime "
    "or to the Edge TPU"
)


def grouped(graph, shape, filters, stride=1, padding=b"SAME", dtype="float32", weights="constant", **attributes):
    """A convolution with a bias and a relu behind it; the filter is what its shape says."""
    graph.placeholder("x", shape, dtype)
    values = np.random.default_rng(3).normal(size=filters)
    graph.constant("w", values, dtype)
    if weights == "computed":
        graph.placeholder("gain", (1,), dtype)
        graph.node("scaled", "Mul", "w", "gain", dtype=dtype)
    strides = stride if isinstance(stride, tuple) else (1, stride, stride, 1)
    given = {"strides": strides, "padding": padding, **attributes}
    graph.node("conv", "Conv2D", "x", "scaled" if weights == "computed" else "w", dtype=dtype, **given)
    graph.constant("b", np.linspace(-1, 1, filters[3]), dtype)
    data_format = {key: value for key, value in attributes.items() if key == "data_format"}
    graph.node("biased", "BiasAdd", "conv", "b", dtype=dtype, **data_format)
    graph.outputs.append(graph.node("y", "Relu", "biased", dtype=dtype))
    return graph


@strategies.composite
def convolutions(draw):
    """The number of groups, the shapes of image and filter, and the convolution's settings."""
    groups, depth, multiple = (draw(strategies.integers(low, 4)) for low in (2, 1, 1))
    size = [draw(strategies.integers(1, 3)) for _ in range(2)]
    image = [draw(strategies.integers(3, 6)) for _ in range(2)]
    batch, channels = draw(strategies.integers(1, 2)), groups * depth
    shape = (batch, *image, channels)
    given = {
        "stride": draw(strategies.sampled_from([1, 2, (1, 2, 1, 1)])),
        "padding": draw(strategies.sampled_from([b"SAME", b"VALID"])),
        "weights": draw(strategies.sampled_from(["constant", "computed"])),
        "dtype": draw(strategies.sampled_from(["float32", "float64", "float16"])),
    }
    if draw(strategies.booleans()):
        shape = (batch, channels, *image)
        given.update(data_format=b"NCHW", stride=(1, 1, 2, 2))
    return groups, shape, (*size, depth, groups * multiple), given


def feeds(shape, given):
    found = {"x": np.random.default_rng(5).normal(size=shape).astype(given["dtype"])}
    if given["weights"] == "computed":
        found["gain"] = np.array([1.25], given["dtype"])
    return found


@pytest.mark.parametrize("form", ["auto", "split", "depthwise"])
@given(convolution=convolutions(), batch_known=strategies.booleans())
def test_computes_the_same(form, convolution, batch_known, new_graph, run_rules, compute):
    groups, shape, filters, given = convolution
    graph = grouped(new_graph(), shape if batch_known else (-1, *shape[1:]), filters, **given)
    rewritten = run_rules(graph, f"{NAME}(as={form})")
    before, after = (compute(item, feeds(shape, given), ["y"])[0] for item in (graph.message, rewritten.message))
    # NumPy sums the same products in float64 and rounds once; the order in which it does is not ours.
    precision = {"float16": 2e-3, "float32": 3e-7, "float64": 1e-14}[given["dtype"]]
    np.testing.assert_allclose(after, before, rtol=precision, atol=precision * max(1.0, np.abs(before).max()))
    expected = {"split": groups, "auto": groups if filters[2] > 1 or given["stride"] == (1, 2, 1, 1) else 0}
    if form in expected:
        assert rewritten.operations.count("Conv2D") == expected[form]
        assert rewritten.operations.count("DepthwiseConv2dNative") == (expected[form] == 0)


@given(convolution=convolutions(), form=strategies.sampled_from(["auto", "split"]))
@settings(max_examples=15)
def test_tensorflow_computes_what_was_asked_for(
    convolution, form, new_graph, run_rules, compute, compute_with_tensorflow
):
    """Without NCHW, which TensorFlow has no kernels for."""
    _, shape, filters, given = convolution
    if "data_format" in given:
        return
    given = {**given, "dtype": "float32"}
    graph = grouped(new_graph(), shape, filters, **given)
    rewritten = run_rules(graph, f"{NAME}(as={form})")
    before = compute(graph.message, feeds(shape, given), ["y"])[0]
    after = compute_with_tensorflow(rewritten.message, feeds(shape, given), ["y"])[0]
    # TensorFlow sums up to 36 products in float32.
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(before).max()))


@pytest.mark.parametrize(("filters", "form"), [((3, 3, 2, 8), "auto"), ((3, 3, 1, 8), "auto"), ((3, 3, 1, 8), "split")])
def test_tflite_computes_what_was_asked_for(filters, form, graph, run_rules, compute, tmp_path):
    grouped(graph, (1, 6, 5, 4), filters)
    rewritten = run_rules(graph, f"{NAME}(as={form})")
    x = feeds((1, 6, 5, 4), {"dtype": "float32", "weights": "constant"})
    found = Interpreter(convert(rewritten.message, ["x"], ["y"], tmp_path)).run(x["x"])[0]
    before = compute(graph.message, x, ["y"])[0]
    np.testing.assert_allclose(found, before, rtol=1e-5, atol=1e-5 * np.abs(before).max())


def test_keeps_dilations_and_explicit_paddings(graph, run_rules, compute):
    pads = (0, 0, 2, 1, 0, 1, 0, 0)
    settings_ = {"padding": b"EXPLICIT", "explicit_paddings": pads, "dilations": (1, 2, 1, 1)}
    grouped(graph, (1, 7, 6, 2), (2, 3, 1, 4), **settings_)
    rewritten = run_rules(graph, NAME)
    given = {"dtype": "float32", "weights": "constant"}
    before, after = (compute(item, feeds((1, 7, 6, 2), given), ["y"])[0] for item in (graph.message, rewritten.message))
    np.testing.assert_allclose(after, before, rtol=3e-7, atol=3e-7)
    assert rewritten.operations.count("Conv2D") == 2


@pytest.mark.parametrize(
    ("target", "filters", "operation"),
    [
        (Target("tflite", (2, 8)), (3, 3, 2, 8), "ConcatV2"),
        (Target("tflite", (2, 15)), (3, 3, 1, 8), "DepthwiseConv2dNative"),
        (Target("tfjs", (2, 15)), (3, 3, 2, 8), "ConcatV2"),
        (Target("", None), (3, 3, 2, 8), "ConcatV2"),
    ],
)
def test_splits_where_the_target_needs_it(target, filters, operation, graph, run_rules):
    grouped(graph, (1, 5, 5, 4), filters)
    assert run_rules(graph, NAME, target=target).find("conv").op == operation


@pytest.mark.parametrize("version", [None, (2, 9), (2, 21)])
def test_leaves_alone_when_the_target_takes_it_as_it_is(version, graph, run_rules):
    grouped(graph, (1, 5, 5, 4), (3, 3, 2, 8))
    target = Target("tflite", version)
    rewritten = run_rules(graph, NAME, target=target)
    assert (rewritten.fired, rewritten.refused) == (0, {"conv": NEEDED_ELSEWHERE})
    assert run_rules(graph, NAME + "(always=true)", target=target).fired == 1


def test_leaves_alone_when_there_is_one_group(graph, run_rules):
    grouped(graph, (1, 5, 5, 2), (3, 3, 2, 8))
    rewritten = run_rules(graph, NAME)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_the_channels_are_not_known(graph, run_rules):
    grouped(graph, (1, 5, 5, -1), (3, 3, 2, 8))
    assert run_rules(graph, NAME).refused == {
        "conv": "whether it has groups cannot be told: how many channels it reads is not known"
    }


@pytest.mark.parametrize("filters", [(3, 3, 3, 4), (3, 3, 2, 5)])
def test_leaves_alone_when_the_filter_does_not_fit(filters, graph, run_rules):
    grouped(graph, (1, 5, 5, 4), filters)
    assert run_rules(graph, NAME).refused == {
        "conv": f"its filter {list(filters)} does not fit the 4 channels that it reads"
    }


@pytest.mark.parametrize(
    ("filters", "settings_", "reason"),
    [
        ((3, 3, 2, 4), {}, "its groups have 2 channels each, and a depthwise convolution has groups of one"),
        (
            (3, 3, 1, 4),
            {"stride": (1, 2, 1, 1)},
            "its strides over rows and columns differ, which TensorFlow has no depthwise kernel for",
        ),
        (
            (3, 3, 1, 4),
            {"dilations": (1, 2, 2, 1)},
            "it is dilated, which TensorFlow has no depthwise kernel for",
        ),
        (
            (3, 3, 1, 4),
            {"padding": b"EXPLICIT", "explicit_paddings": (0, 0, 1, 1, 1, 1, 0, 0)},
            "its padding is explicit, which older depthwise kernels do not know",
        ),
    ],
)
def test_leaves_alone_when_it_cannot_be_depthwise_and_must_be(filters, settings_, reason, graph, run_rules):
    grouped(graph, (1, 7, 7, 4), filters, **settings_)
    rewritten = run_rules(graph, NAME + "(as=depthwise)")
    assert (rewritten.fired, rewritten.refused) == (0, {"conv": reason})


def test_leaves_alone_when_the_size_of_the_filter_is_not_known(graph, run_rules):
    graph.placeholder("x", (1, 7, 7, 4))
    graph.placeholder("w", (-1, -1, 1, 4))
    graph.outputs.append(graph.node("conv", "Conv2D", "x", "w", strides=(1, 1, 1, 1), padding=b"SAME"))
    assert run_rules(graph, NAME + "(as=depthwise)").refused == {"conv": "the size of its filter is not known"}
    assert run_rules(graph, NAME).operations.count("Conv2D") == 4


def test_refuses_a_form_that_there_is_not(graph, run_rules):
    grouped(graph, (1, 5, 5, 4), (3, 3, 2, 8))
    with pytest.raises(StepError) as caught:
        run_rules(graph, NAME + "(as=dense)")
    assert caught.value.reason == "INVALID_OPTION"
    assert str(caught.value).endswith("give one of auto, depthwise, split.")
