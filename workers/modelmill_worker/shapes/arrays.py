"""Operations that cut, join, repeat and rearrange tensors."""

from typing import List, Optional, Sequence, Tuple

import numpy as np

from modelmill_worker.shapes.known import (
    Shape,
    Value,
    axis_of,
    broadcast,
    combine,
    dimensions,
    numbers,
    product,
    value_of,
)
from modelmill_worker.shapes.operation import Operation, rule, value_rule


@rule("Reshape")
def _reshape(operation: Operation) -> Sequence[Shape]:
    wanted, shape = operation.value(1), operation.shape(0)
    if wanted is None or wanted.ndim != 1:
        rank = operation.shape(1)
        return [(-1,) * rank[0] if rank and 0 <= rank[0] < 256 else None]
    # Here -1 is a number that was asked for, and None one that is not known.
    sizes = [None if item is None else int(item) for item in wanted]
    count = -1 if shape is None else product(shape)
    open_at = [axis for axis, size in enumerate(sizes) if size is None or size < 0]
    known = product([size for size in sizes if size is not None and size >= 0])
    result = [-1 if size is None else size for size in sizes]
    if len(open_at) == 1 and count >= 0 and known > 0 and count % known == 0:
        result[open_at[0]] = count // known
    return [tuple(result)]


@rule("Squeeze")
def _squeeze(operation: Operation) -> Sequence[Shape]:
    shape = operation.shape(0)
    axes = operation.integers("squeeze_dims") or operation.integers("axis")
    if shape is None:
        return [None]
    if axes:
        gone = {axis_of(axis, len(shape)) for axis in axes}
        return [tuple(size for axis, size in enumerate(shape) if axis not in gone)]
    if any(size < 0 for size in shape):
        return [None]  # an unknown dimension may be 1
    return [tuple(size for size in shape if size != 1)]


@rule("ExpandDims")
def _expand(operation: Operation) -> Sequence[Shape]:
    shape, axis = operation.shape(0), operation.number(1)
    if shape is None:
        return [None]
    place = None if axis is None else axis_of(axis, len(shape) + 1)
    return [(-1,) * (len(shape) + 1) if place is None else shape[:place] + (1,) + shape[place:]]


@rule("Transpose", "ConjugateTranspose")
def _transpose(operation: Operation) -> Sequence[Shape]:
    shape, order = operation.shape(0), numbers(operation.value(1))
    if shape is None:
        return [(-1,) * len(order) if order is not None else None]
    if order is None or sorted(order) != list(range(len(shape))):
        return [(-1,) * len(shape)]
    return [tuple(shape[axis] for axis in order)]


@rule("ConcatV2", "Concat")
def _concat(operation: Operation) -> Sequence[Shape]:
    first = operation.node.op == "Concat"
    parts = operation.inputs[1:] if first else operation.inputs[:-1]
    axis = operation.number(0 if first else -1)
    shapes = [known.shape for known in parts]
    ranks = {len(shape) for shape in shapes if shape is not None}
    if len(ranks) != 1:
        return [None]
    (rank,) = ranks
    place = None if axis is None else axis_of(axis, rank)
    if place is None:
        return [(-1,) * rank]
    result: Shape = (-1,) * rank
    for shape in shapes:
        if shape is not None:
            result = combine(result, shape)
    assert result is not None
    sizes = [-1 if shape is None else shape[place] for shape in shapes]
    return [result[:place] + (-1 if min(sizes) < 0 else sum(sizes),) + result[place + 1 :]]


@rule("Pack")
def _pack(operation: Operation) -> Sequence[Shape]:
    shape: Shape = None
    for known in operation.inputs:
        shape = combine(shape, known.shape)
    if shape is None:
        return [None]
    place = axis_of(operation.integer("axis"), len(shape) + 1)
    return [None if place is None else shape[:place] + (len(operation.inputs),) + shape[place:]]


@rule("Unpack")
def _unpack(operation: Operation) -> Sequence[Shape]:
    shape, count = operation.shape(0), operation.integer("num")
    place = None if shape is None else axis_of(operation.integer("axis"), len(shape))
    if shape is None or place is None:
        return [None] * min(count, 1 << 16)
    return [shape[:place] + shape[place + 1 :]] * min(count, 1 << 16)


@rule("TensorListStack")
def _tensor_list_stack(operation: Operation) -> Sequence[Shape]:
    element = dimensions(operation.value(1))
    return [None if element is None else (operation.integer("num_elements", -1), *element)]


@rule("TensorArrayGatherV3")
def _tensor_array_gather(operation: Operation) -> Sequence[Shape]:
    element, indices = operation.shape_attribute("element_shape"), operation.shape(1)
    return [None if element is None or not indices else (indices[0], *element)]


@rule("Split", "SplitV")
def _split(operation: Operation) -> Sequence[Shape]:
    by_sizes = operation.node.op == "SplitV"
    count = min(operation.integer("num_split"), 1 << 16)
    shape, axis = operation.shape(0 if by_sizes else 1), operation.number(2 if by_sizes else 0)
    place = None if shape is None or axis is None else axis_of(axis, len(shape))
    if shape is None or place is None:
        return [None if shape is None else (-1,) * len(shape)] * count
    sizes = _split_sizes(operation, shape[place], count) if by_sizes else [_equal_part(shape[place], count)] * count
    return [shape[:place] + (size,) + shape[place + 1 :] for size in sizes]


def _equal_part(size: int, count: int) -> int:
    return size // count if size >= 0 and count else -1


def _split_sizes(operation: Operation, size: int, count: int) -> List[int]:
    told = dimensions(operation.value(1))
    if told is None or len(told) != count:
        return [-1] * count
    rest = size - sum(item for item in told if item >= 0) if size >= 0 and sum(item < 0 for item in told) == 1 else -1
    return [item if item >= 0 else rest for item in told]


@rule("Slice")
def _slice(operation: Operation) -> Sequence[Shape]:
    shape, begins, sizes = operation.shape(0), dimensions(operation.value(1)), operation.value(2)
    if sizes is None or sizes.ndim != 1:
        return [None if shape is None else (-1,) * len(shape)]
    result = []
    for axis, size in enumerate(sizes):
        if size is not None and size >= 0:
            result.append(int(size))
        elif size == -1 and shape is not None and begins is not None and begins[axis] >= 0 and shape[axis] >= 0:
            result.append(shape[axis] - begins[axis])
        else:
            result.append(-1)
    return [tuple(result)]


@value_rule("Slice")
def _slice_value(operation: Operation) -> Value:
    value, begins, sizes = operation.value(0), numbers(operation.value(1)), numbers(operation.value(2))
    if value is None or begins is None or sizes is None or not value.ndim == len(begins) == len(sizes):
        return None
    return value[tuple(slice(start, None if size < 0 else start + size) for start, size in zip(begins, sizes))]


@rule("StridedSlice")
def _strided_slice(operation: Operation) -> Sequence[Shape]:
    shape = operation.shape(0)
    if shape is None:
        return [None]
    parts = _strided_parts(operation, len(shape))
    if parts is None:
        return [None]
    result: List[int] = []
    axis = 0
    for part in parts:
        if part is np.newaxis:
            result.append(1)
            continue
        if isinstance(part, slice):
            result.append(_slice_length(part, shape[axis]))
        axis += 1
    return [tuple(result)]


@value_rule("StridedSlice")
def _strided_slice_value(operation: Operation) -> Value:
    value = operation.value(0)
    if numbers(operation.value(1)) is None:
        return None
    parts = None if value is None else _strided_parts(operation, value.ndim)
    if value is None or parts is None or any(isinstance(part, slice) and part == _UNKNOWN for part in parts):
        return None
    try:
        return value_of(value[tuple(parts)])
    except IndexError:
        return None


#: A part of which begin or end is not known: no slice that is written has a step of 0.
_UNKNOWN = slice(None, None, 0)


def _strided_parts(operation: Operation, rank: int) -> Optional[List[object]]:
    """The index as numpy would write it, with a part for each axis of the input, and np.newaxis for new ones."""
    begins, ends, strides = operation.value(1), operation.value(2), numbers(operation.value(3))
    count = next(
        (len(value) for value in (begins, ends) if value is not None), None if strides is None else len(strides)
    )
    if count is None:
        return None
    masks = {
        name: operation.integer(name + "_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }

    def is_set(mask: str, index: int) -> bool:
        return bool(masks[mask] >> index & 1)

    written = sum(not is_set("new_axis", index) and not is_set("ellipsis", index) for index in range(count))
    parts: List[object] = []
    for index in range(count):
        begin = 0 if is_set("begin", index) else None if begins is None else begins[index]
        end = 0 if is_set("end", index) else None if ends is None else ends[index]
        if is_set("ellipsis", index):
            parts.extend([slice(None)] * (rank - written))
        elif is_set("new_axis", index):
            parts.append(np.newaxis)
        elif is_set("shrink_axis", index):
            parts.append(0 if begin is None else int(begin))
        elif strides is None or not strides[index] or begin is None or end is None:
            parts.append(_UNKNOWN)
        else:
            start = None if is_set("begin", index) else int(begin)
            parts.append(slice(start, None if is_set("end", index) else int(end), strides[index]))
    taken = sum(part is not np.newaxis for part in parts)
    return None if taken > rank else parts + [slice(None)] * (rank - taken)


def _slice_length(part: slice, size: int) -> int:
    return -1 if part == _UNKNOWN or size < 0 else len(range(*part.indices(size)))


def _gathered_from(operation: Operation) -> Shape:
    return operation.inputs[0].held if operation.node.op.startswith("Resource") else operation.shape(0)


@rule("Gather", "GatherV2", "ResourceGather")
def _gather(operation: Operation) -> Sequence[Shape]:
    shape, indices = _gathered_from(operation), operation.shape(1)
    axis = operation.number(2) if operation.node.op == "GatherV2" else 0
    batch = operation.integer("batch_dims")
    if shape is None or indices is None or axis is None:
        return [None]
    place = axis_of(axis, len(shape))
    if place is None or batch < 0:
        return [None]
    return [shape[:place] + indices[batch:] + shape[place + 1 :]]


@value_rule("Gather", "GatherV2")
def _gather_value(operation: Operation) -> Value:
    value, indices = operation.value(0), operation.value(1)
    axis = operation.number(2) if operation.node.op == "GatherV2" else 0
    if value is None or indices is None or numbers(indices) is None or axis != 0:
        return None
    try:
        return value_of(value[indices.astype(int)])
    except IndexError:
        return None


@rule("GatherNd", "ResourceGatherNd")
def _gather_nd(operation: Operation) -> Sequence[Shape]:
    shape, indices = _gathered_from(operation), operation.shape(1)
    if shape is None or not indices or indices[-1] < 0 or indices[-1] > len(shape):
        return [None]
    return [indices[:-1] + shape[indices[-1] :]]


@rule("Tile")
def _tile(operation: Operation) -> Sequence[Shape]:
    shape, times = operation.shape(0), dimensions(operation.value(1))
    if shape is None or times is None or len(times) != len(shape):
        return [None if shape is None else (-1,) * len(shape)]
    return [tuple(-1 if size < 0 or count < 0 else size * count for size, count in zip(shape, times))]


@rule("Pad", "PadV2", "MirrorPad")
def _pad(operation: Operation) -> Sequence[Shape]:
    shape, pads = operation.shape(0), operation.value(1)
    if pads is None or pads.ndim != 2 or pads.shape[1] != 2:
        return [None if shape is None else (-1,) * len(shape)]
    if shape is None or len(shape) != len(pads):
        return [None]
    return [
        tuple(
            -1 if size < 0 or before is None or after is None else size + int(before) + int(after)
            for size, (before, after) in zip(shape, pads)
        )
    ]


@rule("Fill", "BroadcastTo", "RandomUniform", "RandomStandardNormal", "TruncatedNormal", "RandomUniformInt", "Empty")
def _by_value(operation: Operation) -> Sequence[Shape]:
    index = 1 if operation.node.op == "BroadcastTo" else 0
    told = dimensions(operation.value(index))
    if told is not None:
        return [told]
    rank = operation.shape(index)
    return [(-1,) * rank[0] if rank and 0 <= rank[0] < 256 else None]


@value_rule("Fill")
def _fill_value(operation: Operation) -> Value:
    told, item = dimensions(operation.value(0)), operation.number(1)
    if told is None or item is None or min(told, default=0) < 0 or product(told) > 256:
        return None
    return value_of(np.full(told, item))


@rule("Range")
def _range(operation: Operation) -> Sequence[Shape]:
    value = _range_value(operation)
    return [(-1,) if value is None else value.shape]


@value_rule("Range")
def _range_value(operation: Operation) -> Value:
    start, limit, delta = (operation.number(index) for index in range(3))
    if start is None or limit is None or not delta or abs((limit - start) // delta) > 1 << 16:
        return None
    return value_of(list(range(start, limit, delta)))


@rule("OneHot")
def _one_hot(operation: Operation) -> Sequence[Shape]:
    shape, depth, axis = operation.shape(0), operation.number(1), operation.integer("axis", -1)
    place = None if shape is None else (len(shape) if axis == -1 else axis_of(axis, len(shape) + 1))
    if shape is None or place is None:
        return [None]
    return [shape[:place] + (-1 if depth is None else depth,) + shape[place:]]


@rule("Shape")
def _shape(operation: Operation) -> Sequence[Shape]:
    rank = operation.rank(0)
    return [(-1,) if rank is None else (rank,)]


@rule("ShapeN")
def _shapes(operation: Operation) -> Sequence[Shape]:
    return [(-1,) if known.shape is None else (len(known.shape),) for known in operation.inputs]


@rule("Size", "Rank")
def _count(operation: Operation) -> Sequence[Shape]:
    del operation
    return [()]


@value_rule("Shape")
def _shape_value(operation: Operation) -> Value:
    shape = operation.shape(0)
    return None if shape is None else _sizes(shape)


@value_rule("Size")
def _size_value(operation: Operation) -> Value:
    shape = operation.shape(0)
    count = -1 if shape is None else product(shape)
    return value_of(count) if count >= 0 else None


@value_rule("Rank")
def _rank_value(operation: Operation) -> Value:
    rank = operation.rank(0)
    return None if rank is None else value_of(rank)


def _sizes(shape: Tuple[int, ...]) -> Value:
    result = np.empty(len(shape), dtype=object)
    result[:] = [None if size < 0 else size for size in shape]
    return result


@value_rule("Pack")
def _pack_value(operation: Operation) -> Value:
    """Scalars that become a vector; what is not known is open."""
    if any(known.shape != () for known in operation.inputs) or operation.integer("axis"):
        return None
    result = np.empty(len(operation.inputs), dtype=object)
    result[:] = [None if known.value is None else known.value.item() for known in operation.inputs]
    return result if len(result) <= 256 else None


@value_rule("ConcatV2", "Concat")
def _concat_value(operation: Operation) -> Value:
    parts = operation.inputs[1:] if operation.node.op == "Concat" else operation.inputs[:-1]
    pieces = []
    for known in parts:
        if known.shape is None or len(known.shape) != 1 or known.shape[0] < 0 or known.shape[0] > 256:
            return None
        pieces.append(np.full(known.shape, None, dtype=object) if known.value is None else known.value)
    return value_of(np.concatenate(pieces)) if pieces else None


@value_rule("ExpandDims")
def _expand_value(operation: Operation) -> Value:
    value, axis = operation.value(0), operation.number(1)
    place = None if value is None or axis is None else axis_of(axis, value.ndim + 1)
    return None if value is None or place is None else np.expand_dims(value, place)


@value_rule("Reshape")
def _reshape_value(operation: Operation) -> Value:
    value, sizes = operation.value(0), numbers(operation.value(1))
    if value is None or sizes is None:
        return None
    try:
        return value.reshape(sizes)
    except ValueError:
        return None


@value_rule("Squeeze")
def _squeeze_value(operation: Operation) -> Value:
    value, shapes = operation.value(0), _squeeze(operation)
    return None if value is None or shapes[0] is None else value.reshape(shapes[0])


@rule("SpaceToDepth", "DepthToSpace")
def _blocks(operation: Operation) -> Sequence[Shape]:
    shape, block = operation.shape(0), operation.integer("block_size")
    if shape is None or len(shape) != 4 or operation.text("data_format", "NHWC") != "NHWC" or block < 1:
        return [None]
    batch, height, width, channels = shape
    if operation.node.op == "SpaceToDepth":
        return [(batch, _part(height, block), _part(width, block), _times(channels, block * block))]
    return [(batch, _times(height, block), _times(width, block), _part(channels, block * block))]


def _times(size: int, factor: int) -> int:
    return -1 if size < 0 else size * factor


def _part(size: int, factor: int) -> int:
    return -1 if size < 0 else size // factor


@rule("SpaceToBatchND", "BatchToSpaceND")
def _batches(operation: Operation) -> Sequence[Shape]:
    shape, blocks, edges = operation.shape(0), numbers(operation.value(1)), operation.value(2)
    if shape is None:
        return [None]
    if blocks is None or not blocks or edges is None or edges.shape != (len(blocks), 2) or min(blocks) < 1:
        return [(-1,) * len(shape)]
    if len(blocks) >= len(shape):
        return [None]
    to_batch = operation.node.op == "SpaceToBatchND"
    total = int(np.prod(blocks))
    result = [_times(shape[0], total) if to_batch else _part(shape[0], total)]
    for size, block, (before, after) in zip(shape[1:], blocks, edges):
        if size < 0 or before is None or after is None:
            result.append(-1)
        elif to_batch:
            result.append((size + int(before) + int(after)) // block)
        else:
            result.append(size * block - int(before) - int(after))
    return [tuple(result) + shape[1 + len(blocks) :]]


@rule("SpaceToBatch", "BatchToSpace")
def _old_batches(operation: Operation) -> Sequence[Shape]:
    shape = operation.shape(0)
    return [None if shape is None else (-1,) * (len(shape) - 1) + shape[-1:]]


@rule("Where")
def _where(operation: Operation) -> Sequence[Shape]:
    rank = operation.rank(0)
    return [(-1, -1 if rank is None else rank)]


@rule("Unique", "UniqueV2")
def _unique(operation: Operation) -> Sequence[Shape]:
    return [(-1,), operation.shape(0)]


@rule("BroadcastArgs")
def _broadcast_arguments(operation: Operation) -> Sequence[Shape]:
    first, second = operation.shape(0), operation.shape(1)
    if not first or not second or min(first[0], second[0]) < 0:
        return [(-1,)]
    return [(max(first[0], second[0]),)]


@value_rule("BroadcastArgs")
def _broadcast_value(operation: Operation) -> Value:
    result = broadcast(dimensions(operation.value(0)), dimensions(operation.value(1)))
    return None if result is None else _sizes(result)


@rule("ScatterNd")
def _scatter(operation: Operation) -> Sequence[Shape]:
    return [dimensions(operation.value(2))]


@rule("MatrixDiag", "MatrixDiagPart", "Diag")
def _diagonal(operation: Operation) -> Sequence[Shape]:
    shape = operation.shape(0)
    if not shape:
        return [None]
    if operation.node.op == "Diag":
        return [shape + shape]
    if operation.node.op == "MatrixDiag":
        return [shape + shape[-1:]]
    return [shape[:-2] + (min(shape[-2:]) if min(shape[-2:]) >= 0 else -1,) if len(shape) > 1 else None]
