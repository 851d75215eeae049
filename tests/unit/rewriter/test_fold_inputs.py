"""Constant factors and summands before convolutions and matrix products, into their filters and biases."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linear_nets import KINDS, add_linear, feeds, random

SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
#: Relative to the largest output: filters are rounded once more, and sums of some dozens of products in another order.
TOLERANCES = {"float32": 4e-6, "float64": 1e-12}
#: What each rule is there for.
OPERATIONS = {"fold_input_multiplications": ("Mul", "RealDiv"), "fold_input_additions": ("Add", "AddV2", "Sub")}


def before(graph, generator, kind, operation, form="each", dtype="float32", padding=b"VALID", swapped=False):
    """A linear operation that reads what an operation makes of "x" and a constant "c"."""
    channels, rank = add_linear(graph, kind, generator, dtype, padding)
    values = generator.uniform(0.5, 2, 3)
    shapes = {"each": (3,), "one": (), "aligned": (1,) * (rank - 1) + (3,), "stretched": (1,) * (rank + 1)}
    graph.constant("c", values[: int(np.prod(shapes[form]))].reshape(shapes[form]), dtype)
    read = ("c", "x") if swapped else ("x", "c")
    graph.node("changed", operation, *read, dtype=dtype)
    node = graph.find("linear")
    node.input[list(node.input).index("x")] = "changed"
    graph.outputs.append(graph.node("y", "Relu", "linear", dtype=dtype))
    return channels


def operations(rewritten):
    return [item for item in rewritten.operations if item not in ("Const", "Placeholder")]


@SETTINGS
@given(
    kind=st.sampled_from(KINDS),
    operation=st.sampled_from(["Mul", "RealDiv", "Add", "AddV2", "Sub"]),
    form=st.sampled_from(["each", "one", "aligned"]),
    dtype=st.sampled_from(["float32", "float64"]),
    padding=st.sampled_from([b"SAME", b"VALID"]),
    swapped=st.booleans(),
    seed=st.integers(0, 999),
)
def test_computes_the_same(new_graph, run_rules, compute, kind, operation, form, dtype, padding, swapped, seed):
    graph, generator = new_graph(), np.random.default_rng(seed)
    scales = operation in ("Mul", "RealDiv")
    if kind == "Conv2DBackpropInput":
        padding = b"SAME"  # as the sizes that the net says are
    swapped = swapped and operation not in ("RealDiv", "Sub")
    before(graph, generator, kind, operation, form, dtype, padding, swapped)
    rule = "fold_input_multiplications" if scales else "fold_input_additions"
    rewritten = run_rules(graph, rule)
    if not scales and padding == b"SAME" and not kind.startswith("MatMul"):
        assert list(rewritten.refused) == ["linear"]
        return
    assert operations(rewritten) == [kind.split()[0], *([] if scales else ["BiasAdd"]), "Relu"]
    given_feeds = feeds(graph, generator)
    old, new = (compute(message, given_feeds, ["y"])[0] for message in (graph.message, rewritten.message))
    assert old.shape == new.shape
    np.testing.assert_allclose(new, old, rtol=0, atol=TOLERANCES[dtype] * max(np.abs(old).max(), 1))


def test_scales_and_centres_an_image(graph, run_rules, compute):
    """x / 127.5 - 1, as many nets begin; what is left is one convolution and one bias."""
    generator = np.random.default_rng(0)
    graph.placeholder("x", (1, 8, 8, 3))
    graph.constant("range", 127.5)
    graph.constant("one", 1.0)
    graph.constant("w", random(generator, 3, 3, 3, 4))
    graph.constant("b", random(generator, 4))
    graph.node("scaled", "RealDiv", "x", "range")
    graph.node("centred", "Sub", "scaled", "one")
    graph.node("conv", "Conv2D", "centred", "w", strides=(1, 2, 2, 1), padding=b"VALID")
    graph.outputs.append(graph.node("y", "BiasAdd", "conv", "b"))
    rewritten = run_rules(graph, "fold_input_additions", "fold_input_multiplications", "fold_additions")
    assert operations(rewritten) == ["Conv2D", "BiasAdd"]
    given_feeds = {"x": generator.uniform(0, 255, (1, 8, 8, 3)).astype(np.float32)}
    old, new = (compute(message, given_feeds, ["y"])[0] for message in (graph.message, rewritten.message))
    # Without the centring, what is summed is up to twice as large.
    np.testing.assert_allclose(new, old, rtol=0, atol=4e-6 * np.abs(old).max())


def test_a_filter_of_one_pixel_pads_nothing(graph, run_rules):
    graph.placeholder("x", (1, 4, 4, 3))
    graph.constant("w", np.ones((1, 1, 3, 2)))
    graph.constant("c", 1.0)
    graph.node("sum", "Add", "x", "c")
    graph.outputs.append(graph.node("y", "Conv2D", "sum", "w", strides=(1, 1, 1, 1), padding=b"SAME"))
    assert operations(run_rules(graph, "fold_input_additions")) == ["Conv2D", "BiasAdd"]


@pytest.mark.parametrize("operation", ["FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel"])
def test_a_quantised_filter_keeps_its_grid(graph, run_rules, compute, operation):
    generator = np.random.default_rng(5)
    before(graph, generator, "Conv2D", "Mul", "one")
    one_range = operation == "FakeQuantWithMinMaxVars"
    quantise(graph, operation)
    graph.find("c").attr["value"].tensor.ClearField("tensor_content")
    graph.find("c").attr["value"].tensor.float_val[:] = [0.5]  # a power of two, which rounds no step to another
    rewritten = run_rules(graph, "fold_input_multiplications")
    assert operations(rewritten) == [operation, "Conv2D", "Relu"]
    node = next(node for node in rewritten.message.node if node.op == operation)
    low = rewritten.index.constant(rewritten.index.data_inputs(node.name)[1])
    np.testing.assert_array_equal(low, -1.0 if one_range else [-1.0] * 4)
    given_feeds = feeds(graph, generator)
    old, new = (compute(message, given_feeds, ["y"])[0] for message in (graph.message, rewritten.message))
    np.testing.assert_allclose(new, old, rtol=0, atol=4e-6 * np.abs(old).max())


def quantise(graph, operation="FakeQuantWithMinMaxVars"):
    """Let the filter go through a FakeQuant from -2 to 2."""
    ends = (-2.0, 2.0) if operation == "FakeQuantWithMinMaxVars" else ([-2.0] * 4, [2.0] * 4)
    for name, end in zip(("low", "high"), ends):
        graph.constant(name, end)
    graph.node("quantised", operation, "w", "low", "high", T=None)
    graph.find("linear").input[1] = "quantised"


def test_leaves_alone_when_a_quantised_filter_would_get_another_grid(graph, run_rules):
    before(graph, np.random.default_rng(0), "Conv2D", "Mul")
    quantise(graph)
    assert run_rules(graph, "fold_input_multiplications").refused == {
        "linear": "its factor differs from channel to channel, and quantised quantises them with one range"
    }


def test_leaves_alone_when_the_bias_would_be_summed_of_a_quantised_filter(graph, run_rules):
    before(graph, np.random.default_rng(0), "Conv2D", "Add")
    quantise(graph)
    assert run_rules(graph, "fold_input_additions").refused == {
        "linear": "quantised quantises the filter that the bias would be summed of"
    }


@pytest.mark.parametrize("rule", sorted(OPERATIONS))
def test_leaves_alone_when_the_filter_is_computed(graph, run_rules, rule):
    before(graph, np.random.default_rng(0), "MatMul", OPERATIONS[rule][0])
    graph.placeholder("live", (3, 4))
    graph.find("linear").input[1] = "live"
    assert run_rules(graph, rule).refused == {"linear": "the filter of linear, live, is not constant"}


@pytest.mark.parametrize("rule", sorted(OPERATIONS))
def test_leaves_alone_when_channels_are_not_the_columns(graph, run_rules, rule):
    before(graph, np.random.default_rng(0), "MatMul", OPERATIONS[rule][0])
    graph.find("linear").attr["transpose_a"].b = True
    assert run_rules(graph, rule).refused == {"linear": "linear transposes what it reads"}


@pytest.mark.parametrize(
    ("rule", "what"), [("fold_input_multiplications", "factor"), ("fold_input_additions", "summand")]
)
def test_leaves_alone_when_the_constant_stretches_the_image(graph, run_rules, rule, what):
    before(graph, np.random.default_rng(0), "Conv2D", OPERATIONS[rule][0])
    graph.find("x").attr["shape"].shape.dim[3].size = 1
    assert run_rules(graph, rule).refused == {"linear": f"its {what}, c, is no constant for each channel"}


def test_leaves_alone_when_it_divides_by_zero(graph, run_rules):
    before(graph, np.random.default_rng(0), "Conv2D", "RealDiv", "one")
    graph.find("c").attr["value"].tensor.ClearField("tensor_content")
    graph.find("c").attr["value"].tensor.float_val[:] = [0.0]
    assert run_rules(graph, "fold_input_multiplications").refused == {"linear": "its factor, c, is not finite"}


def test_leaves_alone_when_zeros_are_padded_behind_the_sum(graph, run_rules):
    before(graph, np.random.default_rng(0), "Conv2D", "Add", padding=b"SAME")
    assert run_rules(graph, "fold_input_additions").refused == {
        "linear": "linear pads with zeros, which the summand is not added to"
    }


def test_leaves_alone_a_sum_before_a_transposed_convolution(graph, run_rules):
    before(graph, np.random.default_rng(0), "Conv2DBackpropInput", "Add")
    assert run_rules(graph, "fold_input_additions").refused == {
        "linear": "at its border linear reads fewer of the summands"
    }


def test_leaves_alone_when_the_bias_is_beyond_its_type(graph, run_rules):
    before(graph, np.random.default_rng(0), "MatMul", "Add", "one")
    tensor = graph.find("c").attr["value"].tensor
    tensor.ClearField("tensor_content")
    tensor.float_val[:] = [3e38]
    assert run_rules(graph, "fold_input_additions").refused == {
        "linear": "the bias that it would be is beyond its type"
    }


@pytest.mark.parametrize("rule", sorted(OPERATIONS))
def test_leaves_alone_when_it_is_read_elsewhere(graph, run_rules, rule):
    before(graph, np.random.default_rng(0), "MatMul", OPERATIONS[rule][0])
    graph.outputs.append(graph.node("z", "Tanh", "changed"))
    assert run_rules(graph, rule).refused == {"linear": "its part 'changed' is also used elsewhere"}
