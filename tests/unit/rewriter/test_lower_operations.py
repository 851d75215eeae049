"""Every way in which later operations are written with earlier ones: the same numbers, and the reasons against."""

from __future__ import annotations  # these tests run on Python 3.7 as well

import importlib.util

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_rewriter.rules.versions._about_lowering import LOWERINGS
from modelmill_rewriter.rules.versions._about_raising import RAISINGS
from modelmill_rewriter.rules_api import Dtype, ShapeOf, Target
from modelmill_worker import op_versions, tensors
from modelmill_worker.op_versions_table import table

OLD = Target("", (1, 5))
FLOAT = Dtype(tensors.data_type_named("float32").number)


def installed():
    """Major and minor of the TensorFlow that is importable here; None where there is none."""
    if importlib.util.find_spec("tensorflow") is None:
        return None
    from modelmill_worker import installed_tensorflow

    return tuple(int(part) for part in installed_tensorflow.v1().__version__.split(".")[:2])


#: MatrixDiagV3 and its like can only be computed where they are known.
KNOWS_V3_DIAGONALS = installed() is None or installed() >= (2, 2)


def lowered(graph, run_rules, version=(1, 5)):
    rewritten = run_rules(graph, "lower_operations", "remove_default_attributes", target=Target("", version))
    assert rewritten.refused == {}
    assert rewritten.fired
    name = "{}.{}".format(*version)
    assert op_versions.judge(rewritten.message)[name].readable
    return rewritten


def assert_same(graph, rewritten, feeds, compute, tolerance=0.0):
    before = compute(graph.message, feeds, graph.outputs)
    after = compute(rewritten.message, feeds, graph.outputs)
    for old, new in zip(before, after):
        assert old.dtype == new.dtype
        np.testing.assert_allclose(new, old, rtol=tolerance, atol=tolerance)


def numbers(shape, seed=0):
    shape = [max(size, 1) for size in shape or ()]
    value = np.asarray(np.random.default_rng(seed).normal(size=shape), np.float32)
    value.ravel()[::3] = 0
    return value


def unary(graph, operation, **attributes):
    graph.placeholder("x", (2, 3))
    graph.outputs.append(graph.node("y", operation, "x", **attributes))
    return {"x": numbers((2, 3))}


def binary(graph, operation, first=(2, 3), second=(3,), **attributes):
    graph.placeholder("x", first)
    graph.placeholder("z", second)
    graph.outputs.append(graph.node("y", operation, "x", "z", **attributes))
    return {"x": numbers(first), "z": numbers(second, 1)}


def test_the_table_says_since_when_operations_are_known():
    names = op_versions.versions()
    for operation, item in LOWERINGS.items():
        first = next(names[at] for at, known in enumerate(table().history(operation)) if known is not None)
        if operation != "AddV2" and first != "1.5":  # Of the others, some uses came later.
            assert first == "{}.{}".format(*item.since), operation
    for operation, item in RAISINGS.items():
        assert item.since >= (1, 5), operation


@pytest.mark.parametrize("operation", ["DivNoNan", "MulNoNan", "Xdivy", "Xlogy", "AddV2"])
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(shapes=st.sampled_from([((2, 3), (3,)), ((3,), (2, 3)), ((2, 1), (1, 4)), ((), (2,))]), seed=st.integers(0, 99))
def test_arithmetic(new_graph, run_rules, compute, operation, shapes, seed):
    graph = new_graph()
    binary(graph, operation, *shapes)
    feeds = {"x": np.abs(numbers(shapes[0], seed)), "z": np.abs(numbers(shapes[1], seed + 1))}
    # The same operations on the same numbers, but for how the logarithm is vectorised.
    assert_same(graph, lowered(graph, run_rules), feeds, compute, 1e-6)


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.2, 1.0, 1.5])
def test_leaky_relus(graph, run_rules, compute, alpha):
    feeds = unary(graph, "LeakyRelu", alpha=alpha)
    assert_same(graph, lowered(graph, run_rules), feeds, compute)


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_broadcasts(graph, run_rules, compute, dtype):
    graph.placeholder("x", (3, 1), dtype)
    graph.constant("shape", [2, 3, 4], "int32")
    graph.outputs.append(graph.node("y", "BroadcastTo", "x", "shape", dtype=dtype, Tidx="int32"))
    feeds = {"x": np.array([[0], [1], [-5]]).astype(dtype)}
    assert_same(graph, lowered(graph, run_rules), feeds, compute)


def test_clips(graph, run_rules, compute):
    graph.placeholder("x", (2, 3))
    graph.constant("low", -0.25)
    graph.constant("high", 0.5)
    graph.outputs.append(graph.node("y", "ClipByValue", "x", "low", "high"))
    assert_same(graph, lowered(graph, run_rules), {"x": numbers((2, 3))}, compute)


def test_ensured_shapes(graph, run_rules, compute):
    feeds = unary(graph, "EnsureShape", shape=ShapeOf((2, 3)))
    rewritten = lowered(graph, run_rules)
    assert rewritten.find("y").op == "Identity"
    assert_same(graph, rewritten, feeds, compute)


@pytest.mark.parametrize(
    ("condition", "first", "second"),
    [((2, 3), (2, 3), (2, 3)), ((3,), (2, 3), (2, 3)), ((2, 1), (1, 3), ()), ((), (2, 3), (3,)), ((2,), (2,), (2,))],
)
@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_selections(graph, run_rules, compute, condition, first, second, dtype):
    graph.placeholder("c", condition, "bool")
    graph.placeholder("x", first, dtype)
    graph.placeholder("z", second, dtype)
    graph.outputs.append(graph.node("y", "SelectV2", "c", "x", "z", dtype=dtype))
    rewritten = lowered(graph, run_rules)
    assert (len(rewritten.operations) == 4) is (condition == first == second)
    feeds = {"c": numbers(condition) > 0, "x": (9 * numbers(first)).astype(dtype), "z": numbers(second).astype(dtype)}
    assert_same(graph, rewritten, feeds, compute)


def test_batch_products(graph, run_rules, compute):
    feeds = binary(graph, "BatchMatMulV2", (2, 3, 4), (2, 5, 4), adj_x=False, adj_y=True)
    rewritten = lowered(graph, run_rules)
    assert rewritten.operations[-1] == "BatchMatMul"
    assert_same(graph, rewritten, feeds, compute, 1e-6)


EQUATIONS = [
    ("bsd,dhk->bshk", (2, 3, 4), (4, 5, 6)),
    ("bqhd,bkhd->bhqk", (2, 3, 4, 5), (2, 6, 4, 5)),
    ("bhqk,bkhd->bqhd", (2, 3, 4, 5), (2, 5, 3, 6)),
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk->ki", (2, 3), (3, 4)),
    ("i,j->ij", (2,), (3,)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("bij,bij->b", (2, 3, 4), (2, 3, 4)),
    ("bi,bj->bij", (2, 3), (2, 4)),
]


@pytest.mark.parametrize(("equation", "first", "second"), EQUATIONS)
@pytest.mark.parametrize("is_open", [False, True])
def test_einsums(graph, run_rules, compute, equation, first, second, is_open):
    kept = is_open and equation.startswith("b")
    binary(graph, "Einsum", ((-1,) if kept else first[:1]) + first[1:], second, equation=equation.encode(), N=2)
    feeds = {"x": numbers(first), "z": numbers(second, 1)}
    # Sums of up to six products, in whatever order.
    assert_same(graph, lowered(graph, run_rules), feeds, compute, 2e-6)


@pytest.mark.parametrize(("dtype", "made"), [("float32", "FusedBatchNorm"), ("float16", "FusedBatchNormV2")])
def test_norms(graph, run_rules, compute, dtype, made):
    graph.placeholder("x", (2, 3, 3, 4), dtype)
    for number, name in enumerate(("scale", "offset", "mean", "variance")):
        graph.constant(name, np.abs(numbers((4,), number)) + 0.5)
    inputs = ("x", "scale", "offset", "mean", "variance")
    attributes = {"epsilon": 0.001, "is_training": False, "data_format": b"NHWC"}
    graph.outputs.append(graph.node("y", "FusedBatchNormV3", *inputs, dtype=dtype, U=FLOAT, **attributes))
    rewritten = lowered(graph, run_rules)
    assert rewritten.find("y").op == made
    assert_same(graph, rewritten, {"x": numbers((2, 3, 3, 4)).astype(dtype)}, compute, 1e-6)


@pytest.mark.parametrize("operation", ["Conv2D", "DepthwiseConv2dNative"])
def test_convolutions_with_paddings_of_their_own(graph, run_rules, compute, operation):
    if operation == "DepthwiseConv2dNative" and not KNOWS_V3_DIAGONALS:
        operation = "Conv2D"  # There is no such depthwise convolution yet.
    graph.placeholder("x", (1, 6, 5, 2))
    graph.constant("w", numbers((3, 2, 2, 3)))
    attributes = {"padding": b"EXPLICIT", "explicit_paddings": (0, 0, 2, 1, 0, 3, 0, 0), "strides": (1, 2, 2, 1)}
    graph.outputs.append(
        graph.node("y", operation, "x", "w", data_format=b"NHWC", dilations=(1, 1, 1, 1), **attributes)
    )
    # Sums of twelve products.
    assert_same(graph, lowered(graph, run_rules), {"x": numbers((1, 6, 5, 2))}, compute, 1e-5)


@pytest.mark.parametrize("operation", ["NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5"])
def test_suppressions(graph, run_rules, compute, operation):
    graph.placeholder("boxes", (5, 4))
    graph.placeholder("scores", (5,))
    graph.constant("most", 3, "int32")
    graph.constant("overlap", 0.5)
    graph.constant("least", -np.inf)
    graph.constant("sigma", 0.0)
    inputs = ["boxes", "scores", "most", "overlap", "least", "sigma"][: 6 if operation[-1] == "5" else 5]
    node = graph.node("selected", operation, *inputs)
    if operation[-1] == "4":
        graph.find(node).attr["pad_to_max_output_size"].b = False
    graph.outputs.append(node)
    corners = np.array([[0, 0, 1, 1], [0, 0.1, 1, 1], [2, 2, 3, 3], [2, 2, 3, 2.9], [5, 5, 6, 6]], np.float32)
    feeds = {"boxes": corners, "scores": np.array([0.9, 0.8, -0.3, 0.6, 0.1], np.float32)}
    rewritten = lowered(graph, run_rules)
    assert rewritten.find("selected").op == "NonMaxSuppressionV2"
    assert_same(graph, rewritten, feeds, compute)


@pytest.mark.parametrize("operation", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (5,), (1, 2, 2, 3)])
def test_normalised_rows(graph, run_rules, compute, operation, shape):
    graph.placeholder("x", shape)
    graph.outputs.append(graph.node("y", operation, "x"))
    # Exponentials, vectorised over other rows.
    assert_same(graph, lowered(graph, run_rules), {"x": numbers(shape)}, compute, 1e-6)


def test_leaves_alone_when_rows_of_unknown_size_are_normalised(graph, run_rules):
    graph.placeholder("x", (2, 3, -1))
    graph.outputs.append(graph.node("y", "Softmax", "x"))
    assert refusal(graph, run_rules) == (
        "the size of the axis that it normalises is not known, and before there were matrices only"
    )


def test_leaves_alone_a_matrix_of_which_each_row_is_normalised(graph, run_rules):
    unary(graph, "Softmax")
    rewritten = run_rules(graph, "lower_operations", target=OLD)
    assert (rewritten.fired, rewritten.refused) == (0, {})


def diagonals(graph, operation):
    graph.constant("k", 0, "int32")
    graph.constant("free", -1, "int32")
    graph.constant("zero", 0.0)
    if operation == "MatrixDiagV3":
        graph.placeholder("x", (2, 3))
        inputs = ("x", "k", "free", "free", "zero")
    elif operation == "MatrixDiagPartV3":
        graph.placeholder("x", (2, 3, 3))
        inputs = ("x", "k", "zero")
    else:
        graph.placeholder("x", (2, 3, 3))
        graph.constant("row", numbers((2, 3)))
        inputs = ("x", "row", "k")
    graph.outputs.append(graph.node("y", operation, *inputs, align=b"RIGHT_LEFT"))
    return {"x": numbers((2, 3) if operation == "MatrixDiagV3" else (2, 3, 3))}


@pytest.mark.parametrize("operation", ["MatrixDiagV3", "MatrixDiagPartV3", "MatrixSetDiagV3"])
def test_diagonals(graph, run_rules, compute, operation):
    feeds = diagonals(graph, operation)
    rewritten = lowered(graph, run_rules)
    if KNOWS_V3_DIAGONALS:
        assert_same(graph, rewritten, feeds, compute)
    assert rewritten.find("y").op == operation[:-2]


def refusal(graph, run_rules, version=(1, 5)):
    rewritten = run_rules(graph, "lower_operations", target=Target("", version))
    assert rewritten.fired == 0
    return rewritten.refused["y"]


@pytest.mark.parametrize("version", [None, (1, 14), (2, 15)])
def test_leaves_alone_what_the_version_knows(graph, run_rules, version):
    binary(graph, "DivNoNan")
    rewritten = run_rules(graph, "lower_operations", target=Target("", version))
    assert (rewritten.fired, rewritten.refused) == (0, {})


def test_leaves_alone_when_a_product_broadcasts(graph, run_rules):
    binary(graph, "BatchMatMulV2", (2, 3, 4), (4, 5))
    assert refusal(graph, run_rules) == "it broadcasts [2, 3, 4] and [4, 5], which BatchMatMul does not"


def test_leaves_alone_when_the_rank_of_a_product_is_not_known(graph, run_rules):
    binary(graph, "BatchMatMulV2", None, (2, 4, 5))
    assert refusal(graph, run_rules) == (
        "the rank of what it multiplies is not known, and BatchMatMul does not broadcast"
    )


def test_leaves_alone_when_a_product_is_of_several_types(graph, run_rules):
    binary(graph, "BatchMatMulV3", (2, 3, 4), (2, 4, 5), T=None, Ta="int8", Tb="int8", Tout="int32")
    assert refusal(graph, run_rules) == "its operands and its result are of different types"


def test_leaves_alone_when_the_shape_to_broadcast_to_is_computed(graph, run_rules):
    graph.placeholder("x", (2, 3))
    graph.placeholder("shape", (3,), "int32")
    graph.outputs.append(graph.node("y", "BroadcastTo", "x", "shape"))
    assert refusal(graph, run_rules) == "its shape is computed, and would have to be constant"


def test_leaves_alone_when_doubles_are_normalised(graph, run_rules):
    graph.placeholder("x", (2, 3, 3, 4), "float64")
    graph.outputs.append(graph.node("y", "FusedBatchNormV3", "x", "x", "x", "x", "x", dtype="float64"))
    assert refusal(graph, run_rules) == "it computes float64, and before there were float32 and float16 only"


def test_leaves_alone_when_volumes_are_normalised(graph, run_rules):
    graph.placeholder("x", (2, 3, 3, 3, 4))
    graph.outputs.append(graph.node("y", "FusedBatchNormV3", "x", "x", "x", "x", "x", data_format=b"NDHWC"))
    assert refusal(graph, run_rules) == "it normalises volumes, and before there were images only"


@pytest.mark.parametrize(
    ("equation", "reason"),
    [
        (b"ij,kj->i", "'ij,kj->i' sums over an axis that only one of its tensors has"),
        (b"...j,jk->...k", "'...j,jk->...k' is no product of two tensors with a letter for each axis"),
        (b"ii,ij->ij", "'ii,ij->ij' is no product of two tensors with a letter for each axis"),
    ],
)
def test_leaves_alone_when_an_einsum_is_no_product(graph, run_rules, equation, reason):
    binary(graph, "Einsum", (2, 2), (2, 2), equation=equation, N=2)
    assert refusal(graph, run_rules) == reason


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (None, (2, 2), "the rank of what it multiplies is not known"),
        ((-1, 2), (2, -1), "more than one size of its result is not known"),
        ((2, -1), (-1, 2), "the sizes that it sums over are not known"),
    ],
)
def test_leaves_alone_when_the_sizes_of_an_einsum_are_open(graph, run_rules, first, second, reason):
    binary(graph, "Einsum", first, second, equation=b"ij,jk->ik", N=2)
    assert refusal(graph, run_rules) == reason


@pytest.mark.parametrize(
    ("operation", "attributes", "reason"),
    [
        (
            "ResizeBilinear",
            {"half_pixel_centers": True},
            "it samples at the pixels' centres (half_pixel_centers), and before there were their corners only",
        ),
        (
            "GatherV2",
            {"batch_dims": 1},
            "it gathers for each element of a batch (batch_dims), and before that could not be said",
        ),
        (
            "Equal",
            {"incompatible_shape_error": False},
            "it compares shapes that do not fit (incompatible_shape_error), which was an error before",
        ),
    ],
)
def test_leaves_alone_when_there_was_no_such_use(graph, run_rules, operation, attributes, reason):
    binary(graph, operation, **attributes)
    if operation == "GatherV2":
        graph.constant("axis", 1, "int32")
        graph.find("y").input.append("axis")
    assert refusal(graph, run_rules) == reason


@pytest.mark.parametrize(
    ("operation", "changes", "reason"),
    [
        ("MatrixDiagV3", {"k": 1}, "it is about other diagonals than the main one"),
        ("MatrixDiagV3", {"free": 4}, "it makes matrices that are not square"),
        ("MatrixDiagV3", {"zero": 2.0}, "it fills matrices with something other than 0"),
        ("MatrixSetDiagV3", {"k": 1}, "it is about other diagonals than the main one"),
    ],
)
def test_leaves_alone_when_diagonals_are_others(graph, run_rules, operation, changes, reason):
    diagonals(graph, operation)
    for name, value in changes.items():
        graph.message.node.remove(graph.find(name))
        graph.constant(name, value, "float32" if name == "zero" else "int32")
    assert refusal(graph, run_rules) == reason


@pytest.mark.parametrize(
    ("operation", "least", "sigma", "pads", "dtype", "reason"),
    [
        ("NonMaxSuppressionV3", 0.5, 0.0, None, "float32", "it leaves out what scores less than least"),
        ("NonMaxSuppressionV4", 0.5, 0.0, True, "float32", "it pads what it selects"),
        ("NonMaxSuppressionV4", 0.5, 0.0, False, "float16", "it compares float16, and before there was float32 only"),
        (
            "NonMaxSuppressionV5",
            0.5,
            0.5,
            False,
            "float32",
            "it lowers the scores of what overlaps rather than leave it out",
        ),
    ],
)
def test_leaves_alone_when_a_suppression_does_more(graph, run_rules, operation, least, sigma, pads, dtype, reason):
    graph.placeholder("boxes", (5, 4), dtype)
    graph.placeholder("scores", (5,), dtype)
    graph.constant("most", 3, "int32")
    graph.constant("overlap", 0.5)
    graph.constant("least", least)
    graph.constant("sigma", sigma)
    inputs = ["boxes", "scores", "most", "overlap", "least", "sigma"][: 6 if operation[-1] == "5" else 5]
    graph.outputs.append(graph.node("y", operation, *inputs, dtype=dtype, pad_to_max_output_size=pads))
    assert refusal(graph, run_rules) == reason


def test_leaves_alone_when_another_output_is_used(graph, run_rules):
    graph.placeholder("x", (2, 3, 3, 4))
    graph.node("norm", "FusedBatchNormV3", "x", "x", "x", "x", "x", U=FLOAT)
    graph.outputs.append(graph.node("y", "Neg", "norm:1"))
    rewritten = run_rules(graph, "lower_operations", target=OLD)
    assert rewritten.fired == 0
    assert "norm" in rewritten.refused
