"""Operations whose output has the shape of an input, or of all inputs broadcast."""

import re
from typing import Any, Callable, Optional, Sequence

import numpy as np

from modelmill_worker import tensors
from modelmill_worker.shapes.known import Shape, Value, broadcast, combine, value_of
from modelmill_worker.shapes.operation import Operation, rule, value_rule

_LIKE_THE_FIRST = re.findall(
    r"\w+",
    """
    Abs Acos Acosh Asin Asinh Assign AssignAdd AssignSub Atan Atanh Ceil Cast CheckNumerics ClipByValue
    Conj Cos Cosh Cumsum Cumprod DataFormatDimMap Dequantize Elu EnsureShape Erf Erfc Exp Expm1
    FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel FFT FFT2D FFT3D Floor
    Identity IFFT IFFT2D IFFT3D Imag Inv Invert IsFinite IsInf IsNan LRN LeakyRelu Lgamma Log Log1p LogSoftmax
    LogicalNot Neg OnesLike PlaceholderWithDefault PreventGradient Prelu QuantizeAndDequantize
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 RandomShuffle Real Reciprocal RefIdentity Relu Relu6 Reverse
    ReverseSequence ReverseV2 Rint Roll Round Rsqrt Selu Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt
    Square StopGradient Tan Tanh ZerosLike BiasAdd BiasAddV1 InplaceUpdate InplaceAdd Digamma ComplexAbs Angle
    ReluGrad Relu6Grad TanhGrad SigmoidGrad RsqrtGrad SqrtGrad FFT2 Snapshot MatrixBandPart MatrixInverse Cholesky
    InvertPermutation StringLower StringUpper StringStrip AsString RegexReplace StaticRegexReplace DecodeBase64
    EncodeBase64 StringToHashBucketFast StringToHashBucket StringToNumber StringLength
    ScatterUpdate ScatterAdd TensorScatterUpdate TensorScatterAdd TensorScatterSub Betainc
    """,
)
_BROADCAST = re.findall(
    r"\w+",
    """
    Add AddV2 ApproximateEqual Atan2 BitwiseAnd BitwiseOr BitwiseXor Complex Div DivNoNan Equal FloorDiv FloorMod
    Greater GreaterEqual LeftShift Less LessEqual LogicalAnd LogicalOr Maximum Minimum Mod Mul MulNoNan NotEqual
    Pow RealDiv RightShift SquaredDifference Sub TruncateDiv TruncateMod Xdivy Xlogy NextAfter Zeta Igamma Igammac
    """,
)


@rule(*_LIKE_THE_FIRST)
def _like_the_first(operation: Operation) -> Sequence[Shape]:
    shape = operation.shape(0)
    if operation.node.op in ("EnsureShape", "PlaceholderWithDefault"):
        declared = operation.shape_attribute("shape")
        return [combine(shape, declared) if operation.node.op == "EnsureShape" else declared]
    return [shape]


@rule(*_BROADCAST)
def _broadcast(operation: Operation) -> Sequence[Shape]:
    return [broadcast(operation.shape(0), operation.shape(1))]


@rule("Bitcast")
def _bitcast(operation: Operation) -> Sequence[Shape]:
    """The same bytes: the shape stays where elements have the same size."""
    sizes = [tensors.data_type(operation.data_type(name)).storage for name in ("T", "type")]
    same = None not in sizes and np.dtype(sizes[0]).itemsize == np.dtype(sizes[1]).itemsize
    return [operation.shape(0) if same else None]


@rule("AddN", "AccumulateNV2")
def _sum_of_all(operation: Operation) -> Sequence[Shape]:
    result: Shape = None
    for known in operation.inputs:
        result = combine(result, known.shape)
    return [result]


@rule("Select")
def _select(operation: Operation) -> Sequence[Shape]:
    return [combine(operation.shape(1), operation.shape(2))]


@rule("SelectV2")
def _select_broadcast(operation: Operation) -> Sequence[Shape]:
    return [broadcast(operation.shape(0), broadcast(operation.shape(1), operation.shape(2)))]


@rule("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "_FusedBatchNormEx")
def _batch_norm(operation: Operation) -> Sequence[Shape]:
    scale = operation.shape(1)
    return [operation.shape(0), scale, scale, scale, scale, None]


@rule("BatchNormWithGlobalNormalization")
def _old_batch_norm(operation: Operation) -> Sequence[Shape]:
    return [operation.shape(0)]


@rule("SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits")
def _cross_entropy(operation: Operation) -> Sequence[Shape]:
    shape = operation.shape(0)
    return [None if shape is None else shape[:1], shape]


@rule("L2Loss", "LoopCond", "ReaderNumRecordsProduced", "IsVariableInitialized", "VarIsInitializedOp")
def _scalar(operation: Operation) -> Sequence[Shape]:
    del operation
    return [()]


@value_rule("Identity", "StopGradient", "PreventGradient", "Snapshot", "EnsureShape")
def _same_value(operation: Operation) -> Value:
    return operation.value(0)


@value_rule("Cast")
def _cast_value(operation: Operation) -> Value:
    """Whole numbers only: to a truth or from one nothing is told."""
    return operation.value(0) if operation.data_type("DstT") not in (0, 10) else None


def _with_unknown(function: Callable[[int, int], Any]) -> Callable[[Optional[int], Optional[int]], Optional[int]]:
    def apply(one: Optional[int], other: Optional[int]) -> Optional[int]:
        return None if one is None or other is None else int(function(one, other))

    return apply


_ARITHMETIC = {
    "Add": lambda one, other: one + other,
    "AddV2": lambda one, other: one + other,
    "Sub": lambda one, other: one - other,
    "Mul": lambda one, other: one * other,
    "FloorDiv": lambda one, other: one // other,
    "FloorMod": lambda one, other: one % other,
    "Div": lambda one, other: int(one / other),
    "TruncateDiv": lambda one, other: int(one / other),
    "Maximum": max,
    "Minimum": min,
}


@value_rule(*_ARITHMETIC)
def _arithmetic(operation: Operation) -> Value:
    first, second = operation.value(0), operation.value(1)
    if first is None or second is None:
        return None
    apply = np.frompyfunc(_with_unknown(_ARITHMETIC[operation.node.op]), 2, 1)
    try:
        return value_of(apply(first, second))
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
