"""replace_select_operations: every form computes the same, converts without Select TF ops, and says when it cannot."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_rewriter.rules.versions.replace_select_operations import FORMS
from modelmill_rewriter.rules_api import ShapeOf, Target
from modelmill_worker import graph_def, installed_tensorflow

#: A converter that lacks most of what there are forms for, and has most that they are written with.
OLD = Target("tflite", (2, 0))
IMAGE = (2, 6, 6, 3)


@dataclass(frozen=True)
class Case:
    """A use of an operation.

    build: adds it as "y" to a graph with the inputs.
    inputs: shape and type of each, by name.
    known_since: the TensorFlow from which on the operation is here.
    converter: of the form, where it is not `OLD`.
    low, high: between which the inputs lie.
    extreme: whether infinite elements and no numbers are among them. (What TFLite computes is never infinite.)
    """

    build: Callable[[Any], Any]
    inputs: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=lambda: {"x": ((3, 4), "float32")})
    known_since: tuple[int, int] = (1, 15)
    converter: tuple[int, int] = (2, 0)
    low: float = -4
    high: float = 4
    extreme: bool = False

    def graph(self, new_graph, known=True):
        graph = new_graph()
        for name, (shape, dtype) in self.inputs.items():
            graph.placeholder(name, shape if known else None, dtype)
        self.build(graph)
        graph.outputs.append("y")
        return graph

    def feeds(self, seed):
        random = np.random.default_rng(seed)
        found = {}
        for name, (shape, dtype) in self.inputs.items():
            found[name] = random.uniform(self.low, self.high, shape).astype(dtype)
            if self.extreme:
                found[name].flat[:3] = random.permutation([np.inf, -np.inf, np.nan])
        return found


def plain(operation, *constants, inputs=("x",), **attributes):
    """A node over the inputs and constants, which are given as (value, type)."""

    def build(graph):
        named = [graph.constant(f"c{number}", value, dtype) for number, (value, dtype) in enumerate(constants)]
        graph.node("y", operation, *inputs, *named, **attributes)

    return build


def two(shape=(3, 4), other=(3, 4), dtype="float32"):
    return {"x": (shape, dtype), "z": (other, dtype)}


def one(shape, dtype="float32"):
    return {"x": (shape, dtype)}


def of_whole(operation, *names, magnitude=False):
    """A node over inputs without fractions, so that zeros occur; of the magnitude of the second one, if need be."""

    def build(graph):
        read = [graph.node("whole_" + name, "Floor", name) for name in names]
        if magnitude:
            read[1] = graph.node("magnitude", "Abs", read[1])
        graph.node("y", operation, *read)

    return build


BOTH: dict[str, Any] = {"inputs": ("x", "z")}
INT32: dict[str, Any] = {"dtype": "int32"}
SHIFTS: dict[str, Any] = {"Tshift": "int32", "Taxis": "int32"}
POOL: dict[str, Any] = {"ksize": (1, 2, 2, 1), "strides": (1, 2, 2, 1), "padding": b"SAME"}
PATCHES: dict[str, Any] = {"ksizes": (1, 3, 2, 1), "strides": (1, 2, 1, 1), "rates": (1, 1, 1, 1), "padding": b"SAME"}
DILATED = {**PATCHES, "ksizes": (1, 2, 2, 1), "strides": (1, 1, 1, 1), "rates": (1, 2, 2, 1), "padding": b"VALID"}
NORMALISED: dict[str, Any] = {"U": "float32", "epsilon": 0.001, "is_training": False}
SCATTERED = (([[1], [0], [1]], "int32"), ([1.0, 2.0, 3.0], "float32"))
MAIN = ((0, "int32"), (0.0, "float32"))

CASES = {
    "Abs int32": Case(plain("Abs", **INT32), one((3, 4), "int32"), converter=(2, 4)),
    "AccumulateNV2": Case(plain("AccumulateNV2", **BOTH, N=2, shape=ShapeOf((3, 4))), two()),
    "AddN": Case(plain("AddN", **BOTH, N=2), two(), converter=(1, 13)),
    "AdjustContrastv2": Case(plain("AdjustContrastv2", (1.7, "float32")), one(IMAGE)),
    "ApproximateEqual": Case(plain("ApproximateEqual", **BOTH, tolerance=1.0), two()),
    "BatchToSpace": Case(
        plain("BatchToSpace", ([[0, 1], [1, 0]], "int32"), block_size=2, Tidx="int32"), one((8, 3, 3, 2))
    ),
    "BiasAddV1": Case(plain("BiasAddV1", ([1.0, -1.0, 0.5], "float32")), one(IMAGE)),
    "BroadcastTo": Case(plain("BroadcastTo", ([2, 3, 4], "int32"), Tidx="int32"), one((3, 1))),
    "BroadcastTo int32": Case(plain("BroadcastTo", ([2, 3, 4], "int32"), **INT32), one((3, 1), "int32")),
    "ClipByValue": Case(plain("ClipByValue", (-1.0, "float32"), (2.5, "float32"))),
    "Cosh": Case(plain("Cosh")),
    "Cross": Case(plain("Cross", **BOTH), two((2, 5, 3), (2, 5, 3))),
    "Diag": Case(plain("Diag"), one((4,)), converter=(2, 2)),
    "DiagPart": Case(plain("DiagPart"), one((4, 4))),
    "DivNoNan": Case(of_whole("DivNoNan", "x", "z"), two(), converter=(2, 2)),
    "Expm1": Case(plain("Expm1")),
    "ExtractImagePatches": Case(plain("ExtractImagePatches", **PATCHES), one(IMAGE)),
    "ExtractImagePatches dilated": Case(plain("ExtractImagePatches", **DILATED), one(IMAGE)),
    "FusedBatchNormV2": Case(
        plain("FusedBatchNormV2", *(([0.5, 1.0, 2.0], "float32") for _ in range(4)), **NORMALISED), one(IMAGE)
    ),
    "GuaranteeConst": Case(lambda graph: graph.node("y", "Neg", graph.node("held", "GuaranteeConst", "x"))),
    "Inv": Case(plain("Inv"), low=0.5),
    "IsFinite": Case(plain("IsFinite"), extreme=True),
    "IsInf": Case(plain("IsInf"), extreme=True),
    "IsNan": Case(plain("IsNan"), extreme=True),
    "L2Loss": Case(plain("L2Loss")),
    "Log1p": Case(plain("Log1p"), low=-0.9),
    "MatrixBandPart": Case(
        plain("MatrixBandPart", (1, "int64"), (-1, "int64"), Tindex="int64"), one((2, 4, 5)), converter=(2, 2)
    ),
    "MatrixDiagPart": Case(plain("MatrixDiagPart"), one((2, 3, 4, 5))),
    "MatrixDiagPart int32": Case(plain("MatrixDiagPart", **INT32), one((5, 3), "int32")),
    "MatrixDiagPartV2": Case(plain("MatrixDiagPartV2", *MAIN), one((2, 4, 4))),
    "MatrixDiagPartV3": Case(plain("MatrixDiagPartV3", *MAIN, align=b"RIGHT_LEFT"), one((2, 4, 4)), (2, 2)),
    "MaxPoolV2": Case(
        plain("MaxPoolV2", ([1, 2, 2, 1], "int32"), ([1, 2, 2, 1], "int32"), padding=b"VALID"), one(IMAGE)
    ),
    "MaxPoolWithArgmax": Case(plain("MaxPoolWithArgmax", Targmax="int64", **POOL), one(IMAGE)),
    "MulNoNan": Case(of_whole("MulNoNan", "x", "z"), two(), converter=(2, 2)),
    "OnesLike": Case(plain("OnesLike")),
    "OnesLike int32": Case(plain("OnesLike", **INT32), one((3, 4), "int32")),
    "ParallelConcat": Case(plain("ParallelConcat", **BOTH, N=2, shape=ShapeOf((2, 4))), two((1, 4), (1, 4))),
    "Reciprocal": Case(plain("Reciprocal"), low=0.5),
    "Reverse": Case(plain("Reverse", ([True, False, True], "bool")), one((2, 3, 4))),
    "Rint": Case(plain("Rint")),
    "Roll": Case(plain("Roll", ([1, -2], "int32"), ([0, 1], "int32"), **SHIFTS), one((3, 5))),
    "Roll int32": Case(plain("Roll", (4, "int32"), (-1, "int32"), **SHIFTS, **INT32), one((3, 3), "int32")),
    "ScatterNdNonAliasingAdd": Case(
        plain("ScatterNdNonAliasingAdd", *SCATTERED, Tindices="int32"), one((4,)), converter=(2, 15)
    ),
    "Selu": Case(plain("Selu")),
    "Sign": Case(of_whole("Sign", "x")),
    "Size": Case(plain("Size", out_type="int32")),
    "Softplus": Case(plain("Softplus"), low=-30, high=30),
    "Softsign": Case(plain("Softsign")),
    "SpaceToBatch": Case(
        plain("SpaceToBatch", ([[0, 0], [1, 1]], "int32"), block_size=2, Tpaddings="int32"), one((1, 4, 4, 3))
    ),
    "Tan": Case(plain("Tan"), low=-1.4, high=1.4),
    "TensorScatterSub": Case(plain("TensorScatterSub", *SCATTERED, Tindices="int32"), one((4,)), converter=(2, 15)),
    "Where": Case(of_whole("Where", "x"), converter=(2, 4)),
    "Xdivy": Case(of_whole("Xdivy", "x", "z"), two(), converter=(2, 2)),
    "Xlogy": Case(of_whole("Xlogy", "x", "z", magnitude=True), two(), converter=(2, 2)),
}


def installed():
    """The TensorFlow here; none is as good as the newest."""
    if not installed_tensorflow.is_installed():
        return (9, 9)
    return tuple(int(part) for part in installed_tensorflow.v1().VERSION.split(".")[:2])


KNOWN = [name for name, case in CASES.items() if case.known_since <= installed()]


def test_every_form_has_a_case():
    assert {name.split()[0] for name in CASES} == set(FORMS)


@pytest.mark.parametrize("name", KNOWN)
@given(seed=strategies.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_computes_the_same(name, seed, new_graph, run_rules, compute):
    case = CASES[name]
    graph = case.graph(new_graph)
    rewritten = run_rules(graph, "replace_select_operations", target=Target("tflite", case.converter))
    assert rewritten.fired
    assert name.split()[0] not in rewritten.operations or name == "Where"
    feeds = case.feeds(seed)
    before, after = (compute(message, feeds, ["y"])[0] for message in (graph.message, rewritten.message))
    assert (after.shape, after.dtype) == (before.shape, before.dtype)
    # Two or three roundings of float32, of terms as large as the largest element or 1.
    np.testing.assert_allclose(after, before, rtol=2e-6, atol=5e-7)


@pytest.fixture
def tensorflow(monkeypatch):
    """TensorFlow, with its converter in this process: before 2.2 it would be started anew for each model."""
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    if installed() < (2, 2):
        convert = importlib.import_module("tensorflow.lite.python.convert")
        monkeypatch.setattr(convert, "_toco_from_proto_bin", "")
    return tf


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.usefixtures("tensorflow")
def test_converts_without_select_operations(name, new_graph, run_rules, compute):
    """With the converter of the TensorFlow that is here; an operation that it has itself is left alone."""
    case = CASES[name]
    graph = case.graph(new_graph)
    rewritten = run_rules(graph, "replace_select_operations", target=Target("tflite", installed()))
    if not rewritten.fired:
        assert rewritten.refused == {} or "is the first that converts" in rewritten.refused["y"]
        return
    feeds = case.feeds(0)
    before = compute(graph.message, feeds, ["y"])[0]
    after = run_tflite(convert(rewritten.message, list(feeds)), feeds)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)  # Its exp and log are its own.


def convert(message, inputs):
    tf = installed_tensorflow.v1()
    with tf.Graph().as_default():
        tf.import_graph_def(graph_def.copy(message), name="")
        with tf.Session() as session:
            named = [session.graph.get_tensor_by_name(name + ":0") for name in (*inputs, "y")]
            return tf.lite.TFLiteConverter.from_session(session, named[:-1], named[-1:]).convert()


def run_tflite(model, feeds):
    interpreter = installed_tensorflow.v1().lite.Interpreter(model_content=model)
    interpreter.allocate_tensors()
    for entry in interpreter.get_input_details():
        interpreter.set_tensor(entry["index"], feeds[entry["name"].split(":")[0]])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def refusal(case, new_graph, run_rules, known=True, target=OLD):
    return run_rules(case.graph(new_graph, known), "replace_select_operations", target=target).refused.get("y")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("AdjustContrastv2", "its rank is not known"),
        ("BroadcastTo", "the shape of what it broadcasts is not known"),
        ("Cross", "the rank of what it multiplies is not known"),
        ("Diag", "what it puts on a diagonal is not known to have rank 1"),
        ("ExtractImagePatches", "the number of channels is not known"),
        ("MatrixBandPart", "the shape of its matrices is not known"),
        ("MatrixDiagPart", "the shape of its matrices is not known"),
        ("Roll", "the rank of what it rolls is not known"),
    ],
)
def test_leaves_alone_when_a_shape_is_not_known(name, reason, new_graph, run_rules):
    case = CASES[name]
    assert refusal(case, new_graph, run_rules, known=False, target=Target("tflite", case.converter)) == reason


REFUSALS = {
    "a computed band": (
        Case(plain("MatrixBandPart", (1, "int64"), inputs=("x", "z")), two((2, 3, 3), ()), converter=(2, 2)),
        "its input z is computed, and would have to be constant",
    ),
    "a computed shape": (
        Case(plain("BroadcastTo", **BOTH), {"x": ((3,), "float32"), "z": ((2,), "int32")}),
        "the shape that it broadcasts to is computed",
    ),
    "a size that is open": (
        Case(plain("Roll", (1, "int32"), (0, "int32")), one((-1, 3))),
        "the size of what it rolls, [-1, 3], is not known",
    ),
    "another diagonal": (
        Case(plain("MatrixDiagPartV2", (1, "int32"), (0.0, "float32")), one((2, 4, 4))),
        "it takes other diagonals than the main one",
    ),
    "a diagonal of a cube": (
        Case(plain("DiagPart"), one((2, 3, 2, 3))),
        "it takes the diagonal of a tensor of rank 4",
    ),
    "large patches": (
        Case(plain("ExtractImagePatches", **{**PATCHES, "ksizes": (1, 20, 20, 1)}), one(IMAGE)),
        "its patches have 1200 elements, and the filters that pick them would be too large",
    ),
    "training": (
        Case(plain("FusedBatchNormV2", *(([1.0], "float32") for _ in range(4)), U="float32"), one((1, 1, 1, 1))),
        "it normalises over the batch, as in training",
    ),
    "pooling with channels first": (
        Case(plain("MaxPoolV2", ([1], "int32"), ([1], "int32"), data_format=b"NCHW"), one(IMAGE)),
        "its data format is NCHW",
    ),
    "a count in int64": (
        Case(plain("Size", out_type="int64")),
        "it counts in int64, which TFLite does not multiply",
    ),
    "doubles": (
        Case(plain("Softsign", dtype="float64"), one((2,), "float64")),
        "it computes float64, and the form is for float32",
    ),
    "a converter that lacks the form": (
        Case(plain("TensorScatterSub", *SCATTERED, Tindices="int32"), one((4,))),
        "TensorFlow 2.7 is the first that converts what it would be written with",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_leaves_alone_when_there_is_no_form_for_the_use(name, new_graph, run_rules):
    case, reason = REFUSALS[name]
    assert refusal(case, new_graph, run_rules, target=Target("tflite", case.converter)) == reason


def test_leaves_alone_when_indices_are_not_int32(new_graph, run_rules):
    case = Case(plain("TensorScatterSub", ([[1]], "int64"), ([1.0], "float32"), Tindices="int64"), one((4,)))
    reason = "its indices are not known to be int32, which TFLite's must be"
    assert refusal(case, new_graph, run_rules, target=Target("tflite", (2, 15))) == reason


def test_leaves_alone_when_the_positions_of_a_pooling_are_used(new_graph, run_rules):
    graph = CASES["MaxPoolWithArgmax"].graph(new_graph)
    graph.outputs.append(graph.node("positions", "Neg", "y:1", dtype="int64"))
    refused = run_rules(graph, "replace_select_operations").refused
    assert refused == {"y": "its output 1 is also used"}


@pytest.mark.parametrize("name", [name for name in CASES if FORMS[name.split()[0]].builtin_since])
def test_says_nothing_where_the_converter_has_the_operation(name, new_graph, run_rules):
    since = FORMS[name.split()[0]].builtin_since
    rewritten = run_rules(CASES[name].graph(new_graph), "replace_select_operations", target=Target("tflite", since))
    assert (rewritten.fired, rewritten.refused) == (0, {})
