"""Operations computed with NumPy: by hand-made expectations, and against TensorFlow's own kernels where it is there."""

import numpy as np
import pytest
from modelmill_rewriter._kernels import OPERATIONS, ComputationError, TooLargeError, compute, result_type
from modelmill_rewriter.rules_api import Dtype, set_attribute
from modelmill_worker import graph_def, installed_tensorflow, tensors

LARGEST = 10 * 2**20
FLOATS, INTEGERS = ("float32", "float64", "float16"), ("int32", "int64")
NUMBERS = FLOATS + INTEGERS
REAL = ("float32", "float64")
#: Those that round more than once here or there, and how far apart they may be, in units of the dtype's precision.
ROUNDED = {
    "Rsqrt": 4,
    "Reciprocal": 2,
    "Inv": 2,
    "Sqrt": 2,
    "Exp": 4,
    "Expm1": 8,
    "Log": 4,
    "Log1p": 8,
    "Sin": 4,
    "Cos": 4,
    "Tan": 8,
    "Asin": 8,
    "Acos": 8,
    "Atan": 8,
    "Sinh": 8,
    "Cosh": 8,
    "Tanh": 16,
    "Sigmoid": 16,
    "Softplus": 16,
    "Elu": 8,
    "Erf": 16,
    "Softmax": 8,
    "LogSoftmax": 16,
    "Pow": 8,
    "Atan2": 8,
    "Sum": 32,
    "Mean": 32,
    "Prod": 32,
    "MatMul": 32,
    "BatchMatMul": 32,
    "BatchMatMulV2": 32,
    "Cumsum": 32,
    "AddN": 2,
    "LinSpace": 4,
    "Range": 8,
    "FloorMod": 4,
    "Mod": 4,
    "TruncateMod": 4,
}


def make_node(operation, operands, attributes):
    node = graph_def.new_node("y", operation, tuple(f"c{number}" for number in range(len(operands))))
    for key, value in attributes.items():
        is_type = isinstance(value, str)
        set_attribute(node, key, Dtype(tensors.data_type_named(value).number) if is_type else value)
    return node


def computed(operation, *operands, **attributes):
    return compute(make_node(operation, operands, attributes), [np.asarray(item) for item in operands], LARGEST)


def i32(*items):
    return np.array(items[0] if len(items) == 1 else items, np.int32)


# Each entry: dtypes, and a function of a generator of numbers that gives operands, attributes, and outputs to compare.
def elementwise(count, low=-4, high=4, dtypes=NUMBERS, shapes=None, **attributes):
    def case(numbers, dtype):
        given = shapes or [(2, 3), (3,), (2, 1)]
        operands = [numbers(given[position % len(given)], dtype, low, high) for position in range(count)]
        return operands, {"T": dtype, **attributes}

    return dtypes, case


def fixed(dtypes, function):
    return dtypes, function


def with_axes(dtypes, axes, keeps=False):
    return dtypes, lambda numbers, dtype: (
        [numbers((2, 3, 4), dtype), i32(axes)],
        {"T": dtype, "Tidx": "int32", "keep_dims": keeps},
    )


CASES = {
    **{name: elementwise(1) for name in ("Abs", "Neg", "Sign", "Square", "ZerosLike", "OnesLike", "Identity")},
    **{name: elementwise(1, dtypes=FLOATS) for name in ("Floor", "Ceil", "Rint", "Sin", "Cos", "Tanh", "Sigmoid")},
    **{name: elementwise(1, dtypes=REAL) for name in ("Tan", "Atan", "Sinh", "Cosh", "Expm1", "Exp", "Erf")},
    **{name: elementwise(1, -0.9, 0.9, dtypes=REAL) for name in ("Asin", "Acos", "Log1p")},
    **{name: elementwise(1, 0.1, 9, dtypes=FLOATS) for name in ("Sqrt", "Rsqrt", "Reciprocal", "Inv", "Log")},
    **{name: elementwise(1, dtypes=("float32", "float64", "int32")) for name in ("Relu", "Relu6", "Round")},
    **{name: elementwise(1, dtypes=REAL) for name in ("Elu", "Softplus", "Softmax", "LogSoftmax")},
    "LeakyRelu": elementwise(1, dtypes=("float32",), alpha=0.3),
    **{name: elementwise(1, dtypes=FLOATS) for name in ("IsNan", "IsInf", "IsFinite")},
    **{name: elementwise(2) for name in ("Add", "AddV2", "Sub", "Mul", "Maximum", "Minimum", "SquaredDifference")},
    **{name: elementwise(2) for name in ("Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual")},
    "RealDiv": elementwise(2, dtypes=FLOATS),
    **{
        name: elementwise(2, dtypes=("float32", "float64", "int32", "int64"))
        for name in ("Div", "FloorDiv", "FloorMod")
    },
    "TruncateDiv": elementwise(2, dtypes=INTEGERS),
    "TruncateMod": elementwise(2, dtypes=("int32", "float32")),
    "Mod": elementwise(2, dtypes=("int32", "float32")),
    "DivNoNan": fixed(
        REAL, lambda numbers, dtype: ([numbers((4,), dtype), np.array([1, 0, 2, 0], dtype)], {"T": dtype})
    ),
    "Pow": elementwise(2, 0.5, 3, dtypes=NUMBERS),
    "Atan2": elementwise(2, dtypes=REAL),
    **{name: elementwise(2, 0, 30, dtypes=INTEGERS) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "LeftShift")},
    "RightShift": elementwise(2, 0, 30, dtypes=INTEGERS),
    "Invert": elementwise(1, dtypes=INTEGERS),
    **{
        name: fixed(("bool",), lambda numbers, dtype: ([numbers((2, 3), dtype), numbers((3,), dtype)], {}))
        for name in ("LogicalAnd", "LogicalOr")
    },
    "LogicalNot": fixed(("bool",), lambda numbers, dtype: ([numbers((2, 3), dtype)], {})),
    "AddN": elementwise(3, shapes=[(2, 3)], N=3),
    "BiasAdd": fixed(REAL, lambda numbers, dtype: ([numbers((2, 3, 4), dtype), numbers((4,), dtype)], {"T": dtype})),
    "ClipByValue": fixed(
        REAL, lambda numbers, dtype: ([numbers((5,), dtype), np.array(-1, dtype), np.array(2, dtype)], {"T": dtype})
    ),
    "Cast": fixed(
        ("uint8", "int64", "float16", "float64", "bool", "bfloat16"),
        lambda numbers, dtype: ([numbers((7,), "float32", 0, 100)], {"SrcT": "float32", "DstT": dtype}),
    ),
    "Select": fixed(
        NUMBERS,
        lambda numbers, dtype: ([numbers((2,), "bool"), numbers((2, 3), dtype), numbers((2, 3), dtype)], {"T": dtype}),
    ),
    "SelectV2": fixed(
        NUMBERS,
        lambda numbers, dtype: ([numbers((3,), "bool"), numbers((2, 1), dtype), numbers((1, 3), dtype)], {"T": dtype}),
    ),
    "Shape": fixed(
        ("int32", "int64"), lambda numbers, dtype: ([numbers((2, 3), "float32")], {"T": "float32", "out_type": dtype})
    ),
    "ShapeN": fixed(
        ("int32", "int64"),
        lambda numbers, dtype: (
            [numbers((2, 3), "float32"), numbers((4,), "float32")],
            {"T": "float32", "N": 2, "out_type": dtype},
        ),
    ),
    "Size": fixed(
        ("int32", "int64"), lambda numbers, dtype: ([numbers((2, 3), "float32")], {"T": "float32", "out_type": dtype})
    ),
    "Rank": fixed(("float32",), lambda numbers, dtype: ([numbers((2, 3), dtype)], {"T": dtype})),
    "Reshape": fixed(
        NUMBERS, lambda numbers, dtype: ([numbers((2, 3, 4), dtype), i32(4, -1)], {"T": dtype, "Tshape": "int32"})
    ),
    "ExpandDims": fixed(
        NUMBERS, lambda numbers, dtype: ([numbers((2, 3), dtype), i32(-2)], {"T": dtype, "Tdim": "int32"})
    ),
    "Squeeze": fixed(
        NUMBERS, lambda numbers, dtype: ([numbers((1, 2, 1, 3), dtype)], {"T": dtype, "squeeze_dims": (-2,)})
    ),
    "Transpose": fixed(
        NUMBERS, lambda numbers, dtype: ([numbers((2, 3, 4), dtype), i32(2, 0, 1)], {"T": dtype, "Tperm": "int32"})
    ),
    "ConcatV2": fixed(
        NUMBERS,
        lambda numbers, dtype: (
            [numbers((2, 3), dtype), numbers((2, 1), dtype), i32(-1)],
            {"T": dtype, "N": 2, "Tidx": "int32"},
        ),
    ),
    "Concat": fixed(
        NUMBERS, lambda numbers, dtype: ([i32(0), numbers((2, 3), dtype), numbers((1, 3), dtype)], {"T": dtype, "N": 2})
    ),
    "ConcatOffset": fixed(("int32",), lambda numbers, dtype: ([i32(1), i32(2, 3), i32(2, 5), i32(2, 4)], {"N": 3})),
    "Pack": fixed(
        NUMBERS,
        lambda numbers, dtype: ([numbers((2, 3), dtype), numbers((2, 3), dtype)], {"T": dtype, "N": 2, "axis": -1}),
    ),
    "Unpack": fixed(NUMBERS, lambda numbers, dtype: ([numbers((2, 3), dtype)], {"T": dtype, "num": 3, "axis": 1})),
    "Split": fixed(NUMBERS, lambda numbers, dtype: ([i32(1), numbers((2, 6), dtype)], {"T": dtype, "num_split": 3})),
    "SplitV": fixed(
        NUMBERS,
        lambda numbers, dtype: (
            [numbers((2, 6), dtype), i32(1, -1, 2), i32(1)],
            {"T": dtype, "Tlen": "int32", "num_split": 3},
        ),
    ),
    "Slice": fixed(
        NUMBERS,
        lambda numbers, dtype: ([numbers((4, 5), dtype), i32(1, 2), i32(2, -1)], {"T": dtype, "Index": "int32"}),
    ),
    "Pad": fixed(
        NUMBERS,
        lambda numbers, dtype: ([numbers((2, 3), dtype), i32([[1, 0], [2, 1]])], {"T": dtype, "Tpaddings": "int32"}),
    ),
    "PadV2": fixed(
        NUMBERS,
        lambda numbers, dtype: (
            [numbers((2, 3), dtype), i32([[1, 0], [2, 1]]), np.array(7, dtype)],
            {"T": dtype, "Tpaddings": "int32"},
        ),
    ),
    "MirrorPad": fixed(
        REAL,
        lambda numbers, dtype: (
            [numbers((3, 4), dtype), i32([[1, 2], [3, 1]])],
            {"T": dtype, "Tpaddings": "int32", "mode": b"REFLECT"},
        ),
    ),
    "Tile": fixed(
        NUMBERS, lambda numbers, dtype: ([numbers((2, 3), dtype), i32(2, 3)], {"T": dtype, "Tmultiples": "int32"})
    ),
    "Fill": fixed(
        NUMBERS, lambda numbers, dtype: ([i32(2, 3), np.array(7, dtype)], {"T": dtype, "index_type": "int32"})
    ),
    "BroadcastTo": fixed(
        NUMBERS, lambda numbers, dtype: ([numbers((2, 1), dtype), i32(3, 2, 4)], {"T": dtype, "Tidx": "int32"})
    ),
    "BroadcastArgs": fixed(("int32",), lambda numbers, dtype: ([i32(3, 1), i32(2, 1, 5)], {"T": dtype})),
    "Range": fixed(
        ("int32", "int64", "float32", "float64"),
        lambda numbers, dtype: ([np.array(item, dtype) for item in (9, -4, -3)], {"Tidx": dtype}),
    ),
    "LinSpace": fixed(
        REAL, lambda numbers, dtype: ([np.array(1, dtype), np.array(2.5, dtype), i32(7)], {"T": dtype, "Tidx": "int32"})
    ),
    "Gather": fixed(
        NUMBERS,
        lambda numbers, dtype: (
            [numbers((4, 3), dtype), i32([[3, 0], [1, 1]])],
            {"Tparams": dtype, "Tindices": "int32"},
        ),
    ),
    "GatherV2": fixed(
        NUMBERS,
        lambda numbers, dtype: (
            [numbers((2, 4, 3), dtype), i32(3, 0), i32(1)],
            {"Tparams": dtype, "Tindices": "int32", "Taxis": "int32"},
        ),
    ),
    "GatherNd": fixed(
        NUMBERS,
        lambda numbers, dtype: (
            [numbers((2, 4, 3), dtype), i32([[1, 3], [0, 2]])],
            {"Tparams": dtype, "Tindices": "int32"},
        ),
    ),
    "ScatterNd": fixed(
        REAL + INTEGERS,
        lambda numbers, dtype: (
            [i32([[3], [0]]), numbers((2, 3), dtype), i32(5, 3)],
            {"T": dtype, "Tindices": "int32"},
        ),
    ),
    "OneHot": fixed(
        NUMBERS,
        lambda numbers, dtype: (
            [i32([[0, 2], [3, -1]]), i32(3), np.array(5, dtype), np.array(2, dtype)],
            {"T": dtype, "TI": "int32", "axis": 1},
        ),
    ),
    "ReverseV2": fixed(
        NUMBERS, lambda numbers, dtype: ([numbers((2, 3, 4), dtype), i32(0, -1)], {"T": dtype, "Tidx": "int32"})
    ),
    "InvertPermutation": fixed(("int32",), lambda numbers, dtype: ([i32(2, 0, 3, 1)], {"T": dtype})),
    "Where": fixed(("bool",), lambda numbers, dtype: ([numbers((3, 4), dtype)], {})),
    "Diag": fixed(REAL, lambda numbers, dtype: ([numbers((4,), dtype)], {"T": dtype})),
    **{name: with_axes(NUMBERS, [1]) for name in ("Sum", "Mean", "Max", "Min")},
    "Prod": with_axes(REAL + INTEGERS, [0, -1], keeps=True),
    **{
        name: fixed(("bool",), lambda numbers, dtype: ([numbers((2, 3), dtype), i32(1)], {"Tidx": "int32"}))
        for name in ("All", "Any")
    },
    **{
        name: fixed(
            REAL + INTEGERS,
            lambda numbers, dtype: (
                [numbers((5, 6), dtype), i32(1)],
                {"T": dtype, "Tidx": "int32", "output_type": "int64"},
            ),
        )
        for name in ("ArgMax", "ArgMin")
    },
    "Cumsum": fixed(
        REAL,
        lambda numbers, dtype: (
            [numbers((3, 5), dtype), i32(1)],
            {"T": dtype, "Tidx": "int32", "exclusive": True, "reverse": True},
        ),
    ),
    "MatMul": fixed(
        ("float32", "float64", "int32"),
        lambda numbers, dtype: (
            [numbers((5, 3), dtype), numbers((4, 5), dtype)],
            {"T": dtype, "transpose_a": True, "transpose_b": True},
        ),
    ),
    "BatchMatMul": fixed(
        REAL,
        lambda numbers, dtype: ([numbers((2, 3, 5), dtype), numbers((2, 4, 5), dtype)], {"T": dtype, "adj_y": True}),
    ),
    "BatchMatMulV2": fixed(
        REAL, lambda numbers, dtype: ([numbers((2, 1, 3, 5), dtype), numbers((3, 5, 4), dtype)], {"T": dtype})
    ),
}
#: Known to some versions for other dtypes only.
NOT_EVERYWHERE = {("Rint", "float16")}
#: Tried by hand below, or doing nothing.
ELSEWHERE = {
    "StridedSlice",
    "PreventGradient",
    "Snapshot",
    "StopGradient",
    "PlaceholderWithDefault",
    "IdentityN",
    "MulNoNan",
}
PAIRS = [(operation, dtype) for operation, (dtypes, _) in sorted(CASES.items()) for dtype in dtypes]


def generator(seed):
    random = np.random.default_rng(seed) if hasattr(np.random, "default_rng") else np.random.RandomState(seed)

    def numbers(shape, dtype, low=-4, high=4):
        drawn = random.uniform(low, high, shape)
        if np.dtype(dtype).kind in "iu":
            drawn = np.where(np.rint(drawn) == 0, 1, np.rint(drawn))  # a divisor is not zero
        return (drawn > 0) if dtype == "bool" else drawn.astype(dtype)

    return numbers


def by_tensorflow(operation, operands, attributes, outputs):
    """What TensorFlow's own kernel gives; skips where this version knows no such operation, or not for the dtype."""
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    tf = installed_tensorflow.v1()
    graph = graph_def.new_graph()
    for number, operand in enumerate(operands):
        node = graph.node.add()
        node.name, node.op = f"c{number}", "Placeholder"
        node.attr["dtype"].type = tensors.data_type_of(operand.dtype).number
    graph.node.append(make_node(operation, operands, attributes))
    with tf.Graph().as_default():
        try:
            tf.import_graph_def(graph_def.copy(graph), name="")
        except ValueError as error:
            return str(error)
        with tf.Session() as session:
            feeds = {f"c{number}:0": operand for number, operand in enumerate(operands)}
            try:
                return session.run([f"y:{output}" for output in range(outputs)], feeds)
            except (tf.errors.UnimplementedError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
                return str(error)


def test_every_operation_is_compared():
    assert set(CASES) | ELSEWHERE == OPERATIONS


@pytest.mark.parametrize(("operation", "dtype"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_computes_what_tensorflow_computes(operation, dtype):
    _, case = CASES[operation]
    for seed in range(3):
        operands, attributes = case(generator(seed), dtype)
        node = make_node(operation, operands, attributes)
        ours = compute(node, operands, LARGEST)
        theirs = by_tensorflow(operation, operands, attributes, len(ours))
        if isinstance(theirs, str):
            assert (operation, dtype) in NOT_EVERYWHERE, theirs
            return
        assert len(theirs) == len(ours)
        for output, (own, other) in enumerate(zip(ours, theirs)):
            expected = np.asarray(other)
            assert result_type(node, output, own).name == expected.dtype.name
            assert own.shape == expected.shape
            if operation in ROUNDED and expected.dtype.kind == "f":
                precision = ROUNDED[operation] * np.finfo(expected.dtype).eps
                np.testing.assert_allclose(own, expected, rtol=precision, atol=precision)
            else:
                np.testing.assert_array_equal(own, expected.astype(own.dtype))


SLICES = [
    (
        (slice(1, 3), slice(None, None, -1)),
        {"begin": [1, 0], "end": [3, 0], "strides": [1, -1], "begin_mask": 2, "end_mask": 2},
    ),
    ((2, slice(None, 3)), {"begin": [2, 0], "end": [3, 3], "strides": [1, 1], "shrink_axis_mask": 1, "begin_mask": 2}),
    ((Ellipsis, -1), {"begin": [0, -1], "end": [0, 0], "strides": [1, 1], "ellipsis_mask": 1, "shrink_axis_mask": 2}),
    ((None, slice(0, 2)), {"begin": [0, 0], "end": [0, 2], "strides": [1, 1], "new_axis_mask": 1}),
    (
        (slice(-3, None), Ellipsis, slice(0, 9, 2)),
        {"begin": [-3, 0, 0], "end": [0, 0, 9], "strides": [1, 1, 2], "ellipsis_mask": 2, "end_mask": 1},
    ),
]


@pytest.mark.parametrize(("index", "given"), SLICES)
def test_slices_as_python_does(index, given):
    x = np.arange(60).reshape(5, 4, 3)
    masks = {key: value for key, value in given.items() if key.endswith("mask")}
    operands = [x, i32(given["begin"]), i32(given["end"]), i32(given["strides"])]
    (ours,) = computed("StridedSlice", *operands, T="int64", Index="int32", **masks)
    np.testing.assert_array_equal(ours, x[index])


@pytest.mark.parametrize(("index", "given"), SLICES)
def test_slices_as_tensorflow_does(index, given):
    x = np.arange(60).reshape(5, 4, 3)
    masks = {key: value for key, value in given.items() if key.endswith("mask")}
    operands = [x, i32(given["begin"]), i32(given["end"]), i32(given["strides"])]
    (theirs,) = by_tensorflow("StridedSlice", operands, {"T": "int64", "Index": "int32", **masks}, 1)
    np.testing.assert_array_equal(computed("StridedSlice", *operands, T="int64", Index="int32", **masks)[0], theirs)


@pytest.mark.parametrize(
    ("operation", "operands", "attributes", "expected"),
    [
        ("Div", (i32(-7, 7, -6), i32(2, -2, 3)), {}, [-3, -3, -2]),
        ("FloorDiv", (i32(-7, 7), i32(2, -2)), {}, [-4, -4]),
        ("FloorMod", (np.float32([-7, 7, 6]), np.float32([4, -4, 3])), {}, [1, -1, 0]),
        ("TruncateMod", (i32(-7, 7), i32(4, -4)), {}, [-3, 3]),
        ("Add", (i32(2**31 - 1), i32(1)), {}, -(2**31)),
        ("Mean", (i32(-3, -4), i32(0)), {}, -3),
        ("Sum", (np.float32([[1, 2], [3, 4]]), np.zeros(0, np.int32)), {}, [[1, 2], [3, 4]]),
        ("Round", (np.float32([0.5, 1.5, -2.5]),), {}, [0, 2, -2]),
        ("Cast", (np.float32([-1.7, 1.7]),), {"DstT": "int32"}, [-1, 1]),
        ("MulNoNan", (np.float32([np.inf, 2]), np.float32([0, 3])), {}, [0, 6]),
        ("Range", (np.float32(0), np.float32(1), np.float32(0.25)), {}, [0, 0.25, 0.5, 0.75]),
        ("Range", (i32(3), i32(3), i32(1)), {}, []),
        ("IdentityN", (np.float32([1]),), {}, [1]),
    ],
)
def test_computes_as_expected(operation, operands, attributes, expected):
    (ours, *_) = computed(operation, *operands, **attributes)
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    ("operation", "operands", "attributes", "reason"),
    [
        ("Div", (i32(1), i32(0)), {}, "it divides integers by zero"),
        ("Pow", (i32(2), i32(-1)), {}, "it raises integers to negative powers"),
        ("LeftShift", (i32(2), i32(32)), {}, "it shifts by more than there are bits"),
        ("Cast", (np.float32(3e9),), {"DstT": "int32"}, "it casts a number to int32 which that cannot hold"),
        ("Cast", (np.float32(np.nan),), {"DstT": "int32"}, "it casts a number to int32 which that cannot hold"),
        ("Add", (np.zeros(2), np.zeros(3)), {}, "the shapes [2] and [3] do not go together"),
        ("Reshape", (np.zeros(6), i32(4, -1)), {}, "6 elements have no shape [4, -1]"),
        ("Slice", (np.zeros(4), i32(2), i32(3)), {}, "it slices 2:5 of an axis of 4"),
        ("Squeeze", (np.zeros((2, 1)),), {"squeeze_dims": (0,)}, "it squeezes axes that are longer than 1"),
        ("GatherV2", (np.zeros(4), i32(4), i32(0)), {}, "it gathers what is not there"),
        ("MatMul", (np.zeros((2, 3)), np.zeros((2, 3))), {}, "matrices of [2, 3] and [2, 3] do not fit"),
        ("Max", (np.zeros((0, 2)), i32(0)), {}, "it looks for an extreme among no elements"),
        ("Conv2D", (np.zeros(1), np.zeros(1)), {}, "nothing here computes Conv2D"),
    ],
)
def test_refuses_what_tensorflow_refuses_or_leaves_open(operation, operands, attributes, reason):
    with pytest.raises(ComputationError) as caught:
        computed(operation, *operands, **attributes)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("operation", "operands"),
    [
        ("Fill", (i32(2**15, 2**15), np.float32(0))),
        ("Tile", (np.zeros(2**10), i32(2**15))),
        ("Range", (np.array(0), np.array(2**40), np.array(1))),
        ("BroadcastTo", (np.zeros(1), i32(2**28))),
        ("OneHot", (np.zeros(2**12, np.int32), i32(2**20), np.float32(1), np.float32(0))),
        ("Mul", (np.zeros((2**14, 1)), np.zeros((1, 2**14)))),
        ("MatMul", (np.zeros((2**14, 1)), np.zeros((1, 2**14)))),
    ],
)
def test_does_not_begin_what_would_be_too_large(operation, operands):
    with pytest.raises(TooLargeError):
        computed(operation, *operands)


def test_rounds_bfloat16_at_each_operation():
    (ours,) = computed("Mul", np.float32([1.0078125]), np.float32([1.0078125]), T="bfloat16")
    assert ours.tolist() == [1.015625]
