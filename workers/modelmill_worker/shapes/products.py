"""Matrix products, contractions and reductions."""

from typing import Dict, Optional, Sequence

from modelmill_worker.shapes.known import Shape, Value, axis_of, broadcast, dimensions, numbers, product, value_of
from modelmill_worker.shapes.operation import Operation, rule, value_rule

_REDUCTIONS = ["All", "Any", "EuclideanNorm", "Max", "Mean", "Min", "Prod", "Sum"]


@rule("MatMul", "_FusedMatMul", "SparseMatMul", "QuantizedMatMul")
def _matrix_product(operation: Operation) -> Sequence[Shape]:
    first, second = operation.shape(0) or (-1, -1), operation.shape(1) or (-1, -1)
    if len(first) != 2 or len(second) != 2:
        return [None]
    rows = first[1] if operation.flag("transpose_a") else first[0]
    columns = second[0] if operation.flag("transpose_b") else second[1]
    return [(rows, columns)]


@rule("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
def _batched_product(operation: Operation) -> Sequence[Shape]:
    first, second = operation.shape(0), operation.shape(1)
    if first is None or second is None or len(first) < 2 or len(second) < 2:
        return [None]
    batch = broadcast(first[:-2], second[:-2])
    rows = first[-1] if operation.flag("adj_x") else first[-2]
    columns = second[-2] if operation.flag("adj_y") else second[-1]
    return [None if batch is None else batch + (rows, columns)]


@rule("Einsum")
def _einsum(operation: Operation) -> Sequence[Shape]:
    inputs, arrow, output = operation.text("equation").replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow or "..." in inputs or len(terms) != len(operation.inputs):
        return [None]
    sizes: Dict[str, int] = {}
    for term, known in zip(terms, operation.inputs):
        if known.shape is None or len(known.shape) != len(term):
            return [None]
        for label, size in zip(term, known.shape):
            sizes[label] = max(size, sizes.get(label, -1))
    if any(label not in sizes for label in output):
        return [None]
    return [tuple(sizes[label] for label in output)]


@rule(*_REDUCTIONS)
def _reduction(operation: Operation) -> Sequence[Shape]:
    shape, axes = operation.shape(0), numbers(operation.value(1))
    keep = operation.flag("keep_dims") or operation.flag("keepdims")
    if shape is None:
        return [None]
    if axes is None:
        return [_reduced_somewhere(len(shape), operation.shape(1), keep)]
    gone = {axis_of(axis, len(shape)) for axis in axes}
    if keep:
        return [tuple(1 if axis in gone else size for axis, size in enumerate(shape))]
    return [tuple(size for axis, size in enumerate(shape) if axis not in gone)]


def _reduced_somewhere(rank: int, axes: Shape, keep: bool) -> Shape:
    if keep:
        return (-1,) * rank
    count: Optional[int] = product(axes) if axes is not None else None
    return None if count is None or not 0 <= count <= rank else (-1,) * (rank - count)


@rule("ArgMax", "ArgMin")
def _position(operation: Operation) -> Sequence[Shape]:
    shape, axis = operation.shape(0), operation.number(1)
    if shape is None:
        return [None]
    if axis is None:
        return [(-1,) * (len(shape) - 1)]
    gone = axis_of(axis, len(shape))
    return [tuple(size for number, size in enumerate(shape) if number != gone)]


@rule("TopKV2", "TopK")
def _largest(operation: Operation) -> Sequence[Shape]:
    shape = operation.shape(0)
    count = operation.integer("k") if operation.node.op == "TopK" else operation.number(1)
    if not shape:
        return [None, None]
    result = shape[:-1] + (-1 if count is None else count,)
    return [result, result]


@rule("InTopK", "InTopKV2")
def _among_largest(operation: Operation) -> Sequence[Shape]:
    return [operation.shape(1)]


@rule("SegmentSum", "SegmentMean", "SegmentMax", "UnsortedSegmentSum", "UnsortedSegmentMax")
def _segments(operation: Operation) -> Sequence[Shape]:
    shape, segments = operation.shape(0), operation.shape(1)
    if shape is None or segments is None:
        return [None]
    count = operation.number(2) if operation.node.op.startswith("Unsorted") else None
    return [(-1 if count is None else count,) + shape[len(segments) :]]


@value_rule("Prod")
def _product_value(operation: Operation) -> Value:
    given = dimensions(operation.value(0))
    if given is None or numbers(operation.value(0)) is None:
        return None
    result = 1
    for item in given:
        result *= item
    keep = operation.flag("keep_dims") or operation.flag("keepdims")
    return value_of([result] if keep else result)
