"""Operations that lay elements out anew, or make arrays of a few numbers: shapes, slices, joins, repetitions."""

from typing import Any, Dict, List, Tuple

import numpy as np

from modelmill_rewriter._kernels._call import Call, Kernel, require

_INT64 = 9


def _index_type(number: int) -> Any:
    return np.int64 if number == _INT64 else np.int32


def _shape(call: Call) -> Any:
    dtype = _index_type(call.type_number("out_type", 3))
    return [np.array(x.shape, dtype) for x in call.inputs]


def _size(call: Call) -> Any:
    return [np.array(call.inputs[0].size, _index_type(call.type_number("out_type", 3)))]


def _rank(call: Call) -> Any:
    return [np.array(call.inputs[0].ndim, np.int32)]


def _reshape(call: Call) -> Any:
    x, shape = call.inputs[0], call.vector(1)
    require(shape.count(-1) <= 1 and all(size >= -1 for size in shape), "its shape is {}".format(shape))
    known = 1
    for size in shape:
        known *= size if size >= 0 else 1
    if -1 in shape:
        require(known and x.size % known == 0, "{} elements have no shape {}".format(x.size, shape))
        shape[shape.index(-1)] = x.size // known
    else:
        require(known == x.size, "{} elements have no shape {}".format(x.size, shape))
    return [x.reshape(shape)]


def _expand_dims(call: Call) -> Any:
    x = call.inputs[0]
    return [np.expand_dims(x, call.axis(call.scalar(1), x.ndim + 1))]


def _squeeze(call: Call) -> Any:
    x = call.inputs[0]
    axes = call.integers("squeeze_dims") or call.integers("axis")
    if not axes:
        return [np.squeeze(x)]
    chosen = tuple(call.axis(axis, x.ndim) for axis in axes)
    require(all(x.shape[axis] == 1 for axis in chosen), "it squeezes axes that are longer than 1")
    return [np.squeeze(x, chosen)]


def _transpose(call: Call) -> Any:
    x = call.inputs[0]
    order = [call.axis(axis, x.ndim) for axis in call.vector(1)]
    require(sorted(order) == list(range(x.ndim)), "its permutation is {}".format(order))
    return [np.transpose(x, order)]


def _joined(call: Call, parts: List[np.ndarray], axis: int) -> Any:
    first = parts[0]
    axis = call.axis(axis, first.ndim)
    for part in parts:
        same = part.ndim == first.ndim and part.dtype == first.dtype
        rest = part.shape[:axis] + part.shape[axis + 1 :]
        require(same and rest == first.shape[:axis] + first.shape[axis + 1 :], "it joins what does not fit together")
    length = sum(part.shape[axis] for part in parts)
    call.require_room(first.shape[:axis] + (length,) + first.shape[axis + 1 :], first.dtype)
    return [np.concatenate(parts, axis)]


def _concat_v2(call: Call) -> Any:
    return _joined(call, call.inputs[:-1], call.scalar(len(call.inputs) - 1))


def _concat(call: Call) -> Any:
    return _joined(call, call.inputs[1:], call.scalar(0))


def _concat_offset(call: Call) -> Any:
    axis, shapes = call.scalar(0), call.inputs[1:]
    offsets, sum_so_far = [], 0
    for shape in shapes:
        offset = np.zeros_like(shape)
        offset[call.axis(axis, len(shape))] = sum_so_far
        sum_so_far += int(shape[axis])
        offsets.append(offset)
    return offsets


def _pack(call: Call) -> Any:
    first = call.inputs[0]
    require(all(part.shape == first.shape for part in call.inputs), "it packs tensors of different shapes")
    axis = call.axis(call.integer("axis"), first.ndim + 1)
    call.require_room((len(call.inputs),) + first.shape, first.dtype)
    return [np.stack(call.inputs, axis)]


def _unpack(call: Call) -> Any:
    x = call.inputs[0]
    axis = call.axis(call.integer("axis"), x.ndim)
    require(x.ndim and x.shape[axis] == call.integer("num"), "it unpacks another number than there are")
    return [np.take(x, index, axis) for index in range(x.shape[axis])]


def _split(call: Call) -> Any:
    axis, x, count = call.scalar(0), call.inputs[1], call.integer("num_split")
    axis = call.axis(axis, x.ndim)
    require(x.ndim and count > 0 and x.shape[axis] % count == 0, "its parts are not of one size")
    return np.split(x, count, axis)


def _split_v2(call: Call) -> Any:
    x, sizes, axis = call.inputs[0], call.vector(1), call.scalar(2)
    axis = call.axis(axis, x.ndim)
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = x.shape[axis] - sum(size for size in sizes if size >= 0)
    require(all(size >= 0 for size in sizes) and sum(sizes) == x.shape[axis], "its sizes are {}".format(sizes))
    return np.split(x, [int(end) for end in np.cumsum(sizes)[:-1]], axis)


def _slice(call: Call) -> Any:
    x, begins, sizes = call.inputs[0], call.vector(1), call.vector(2)
    require(len(begins) == len(sizes) == x.ndim, "it slices another number of axes than there are")
    chosen = []
    for length, begin, size in zip(x.shape, begins, sizes):
        end = length if size == -1 else begin + size
        require(0 <= begin <= end <= length, "it slices {}:{} of an axis of {}".format(begin, end, length))
        chosen.append(slice(begin, end))
    return [x[tuple(chosen)]]


def _strided_slice(call: Call) -> Any:
    """As Python's indexing; the masks say which of begin and end are open, and what an entry means otherwise."""
    x, begins, ends, steps = call.inputs[0], call.vector(1), call.vector(2), call.vector(3)
    require(len(begins) == len(ends) == len(steps) and 0 not in steps, "its begins, ends and steps do not go together")
    masks = {name: call.integer(name + "_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    chosen: List[Any] = []
    taken = sum(
        1 for index in range(len(begins)) if not masks["ellipsis"] >> index & 1 and not masks["new_axis"] >> index & 1
    )
    require(taken <= x.ndim, "it slices {} axes of {}".format(taken, x.ndim))
    axis = 0
    for index, (begin, end, step) in enumerate(zip(begins, ends, steps)):
        if masks["ellipsis"] >> index & 1:
            require(Ellipsis not in chosen, "it has two ellipses")
            chosen.append(Ellipsis)
            axis += x.ndim - taken
        elif masks["new_axis"] >> index & 1:
            chosen.append(None)
        elif masks["shrink_axis"] >> index & 1:
            at = 0 if masks["begin"] >> index & 1 else begin
            require(step == 1 and -x.shape[axis] <= at < x.shape[axis], "it takes element {} of an axis".format(at))
            chosen.append(at)
            axis += 1
        else:
            opens = masks["begin"] >> index & 1, masks["end"] >> index & 1
            chosen.append(slice(None if opens[0] else begin, None if opens[1] else end, step))
            axis += 1
    return [x[tuple(chosen)]]


def _paddings(call: Call, rank: int) -> List[Tuple[int, int]]:
    flat = call.vector(1)
    require(len(flat) == 2 * rank and all(size >= 0 for size in flat), "its paddings are {}".format(flat))
    return list(zip(flat[::2], flat[1::2]))


def _padded(call: Call, fill: Any) -> Any:
    x = call.inputs[0]
    paddings = _paddings(call, x.ndim)
    shape = [before + length + after for (before, after), length in zip(paddings, x.shape)]
    call.require_room(shape, x.dtype)
    result = np.full(shape, fill, x.dtype)
    result[tuple(slice(before, before + length) for (before, _), length in zip(paddings, x.shape))] = x
    return [result]


def _pad(call: Call) -> Any:
    return _padded(call, 0)


def _pad_v2(call: Call) -> Any:
    require(call.inputs[2].ndim == 0, "it pads with more than one value")
    return _padded(call, call.inputs[2])


def _mirror_pad(call: Call) -> Any:
    x = call.inputs[0]
    paddings = _paddings(call, x.ndim)
    mode = call.text("mode", "REFLECT")
    most = [length - (mode == "REFLECT") for length in x.shape]
    require(all(max(pair) <= limit for pair, limit in zip(paddings, most)), "it mirrors more than there is")
    call.require_room([sum(pair) + length for pair, length in zip(paddings, x.shape)], x.dtype)
    return [np.pad(x, paddings, "reflect" if mode == "REFLECT" else "symmetric")]


def _tile(call: Call) -> Any:
    x, counts = call.inputs[0], call.vector(1)
    require(len(counts) == x.ndim, "it repeats along {} axes of {}".format(len(counts), x.ndim))
    call.require_room([count * length for count, length in zip(counts, x.shape)], x.dtype)
    return [np.tile(x, counts)]


def _fill(call: Call) -> Any:
    shape, value = call.vector(0), call.inputs[1]
    require(value.ndim == 0, "it fills with more than one value")
    call.require_room(shape, value.dtype)
    return [np.full(shape, value, value.dtype)]


def _broadcast_to(call: Call) -> Any:
    x, shape = call.inputs[0], call.vector(1)
    call.require_room(shape, x.dtype)
    ends = zip(x.shape[::-1], shape[::-1])
    require(x.ndim <= len(shape) and all(a in (1, b) for a, b in ends), "it does not broadcast to {}".format(shape))
    return [np.array(np.broadcast_to(x, shape))]


def _broadcast_args(call: Call) -> Any:
    first, second = call.vector(0), call.vector(1)
    rank = max(len(first), len(second))
    pairs = list(zip([1] * (rank - len(first)) + first, [1] * (rank - len(second)) + second))
    require(all(1 in pair or pair[0] == pair[1] for pair in pairs), "{} and {} do not fit".format(first, second))
    return [np.array([b if a == 1 else a for a, b in pairs], call.inputs[0].dtype)]


def _range(call: Call) -> Any:
    """start, start + delta, ... before limit; floats are added up as TensorFlow's kernel does."""
    start, limit, delta = call.inputs
    require(start.size == limit.size == delta.size == 1, "its ends are no single numbers")
    require(float(delta) != 0, "its step is 0")
    if start.dtype.kind in "iu":
        first, last, step = int(start), int(limit), int(delta)
        count = len(range(first, last, step))
        call.require_room([count], start.dtype)
        return [np.arange(first, first + count * step, step, dtype=start.dtype)]
    count = max(0, int(np.ceil(np.abs((float(limit) - float(start)) / float(delta)))))
    if (float(limit) - float(start)) * float(delta) < 0:
        count = 0
    call.require_room([count], start.dtype)
    steps = np.full(count, delta.reshape(()), start.dtype)
    steps[:1] = start.reshape(())
    return [np.cumsum(steps, dtype=start.dtype)]


def _lin_space(call: Call) -> Any:
    start, stop = call.inputs[0], call.inputs[1]
    count = call.scalar(2)
    require(start.ndim == stop.ndim == 0 and count > 0, "it makes {} numbers".format(count))
    call.require_room([count], start.dtype)
    return [np.linspace(float(start), float(stop), count).astype(start.dtype)]


def _gather(call: Call) -> Any:
    return _gathered(call, 0, 0)


def _gather_v2(call: Call) -> Any:
    return _gathered(call, call.scalar(2), call.integer("batch_dims"))


def _gathered(call: Call, axis: int, batch: int) -> Any:
    x, indices = call.inputs[0], call.inputs[1]
    require(batch == 0, "it gathers by batches")
    axis = call.axis(axis, x.ndim)
    require(x.ndim > 0, "it gathers from a scalar")
    require(np.all((indices >= 0) & (indices < x.shape[axis])), "it gathers what is not there")
    call.require_room(x.shape[:axis] + indices.shape + x.shape[axis + 1 :], x.dtype)
    return [np.take(x, indices, axis)]


def _gather_nd(call: Call) -> Any:
    x, indices = call.inputs
    depth = indices.shape[-1] if indices.ndim else 0
    require(0 < depth <= x.ndim, "its indices have {} parts".format(depth))
    limits = np.array(x.shape[:depth])
    require(np.all((indices >= 0) & (indices < limits)), "it gathers what is not there")
    call.require_room(indices.shape[:-1] + x.shape[depth:], x.dtype)
    return [x[tuple(np.moveaxis(indices, -1, 0))]]


def _scatter_nd(call: Call) -> Any:
    """Zeros to which updates are added; where an index comes twice, in no certain order."""
    indices, updates, shape = call.inputs[0], call.inputs[1], call.vector(2)
    depth = indices.shape[-1] if indices.ndim else 0
    require(0 < depth <= len(shape), "its indices have {} parts".format(depth))
    require(np.all((indices >= 0) & (indices < np.array(shape[:depth]))), "it scatters beyond its shape")
    require(updates.shape == indices.shape[:-1] + tuple(shape[depth:]), "its updates do not fit")
    require(updates.dtype.kind != "b", "it adds bools")
    call.require_room(shape, updates.dtype)
    result = np.zeros(shape, updates.dtype)
    np.add.at(result, tuple(np.moveaxis(indices, -1, 0)), updates)
    return [result]


def _one_hot(call: Call) -> Any:
    indices, depth, on, off = call.inputs[0], call.scalar(1), call.inputs[2], call.inputs[3]
    require(on.ndim == off.ndim == 0 and on.dtype == off.dtype and depth >= 0, "its values are no single numbers")
    axis = call.integer("axis", -1)
    axis = indices.ndim if axis == -1 else call.axis(axis, indices.ndim + 1)
    call.require_room(indices.shape[:axis] + (depth,) + indices.shape[axis:], on.dtype)
    places = np.arange(depth).reshape((depth,) + (1,) * (indices.ndim - axis))
    return [np.where(np.expand_dims(indices, axis) == places, on, off)]


def _reverse(call: Call) -> Any:
    x = call.inputs[0]
    chosen = [slice(None)] * x.ndim
    for axis in call.vector(1):
        chosen[call.axis(axis, x.ndim)] = slice(None, None, -1)
    return [x[tuple(chosen)]]


def _inverse(call: Call) -> Any:
    order = call.inputs[0]
    require(order.ndim == 1 and sorted(order.tolist()) == list(range(order.size)), "it inverts no permutation")
    return [np.argsort(order).astype(order.dtype)]


def _where(call: Call) -> Any:
    """The places, one on each line, at which something is not zero."""
    x = call.inputs[0]
    call.require_room([int(np.count_nonzero(x)), x.ndim], np.dtype(np.int64))
    return [np.argwhere(x).astype(np.int64).reshape(-1, x.ndim)]


def _diagonal(call: Call) -> Any:
    x = call.inputs[0]
    require(x.ndim == 1, "it makes a diagonal of {} axes".format(x.ndim))
    call.require_room([x.size, x.size], x.dtype)
    return [np.diag(x)]


KERNELS: Dict[str, Kernel] = {
    "BroadcastArgs": _broadcast_args,
    "BroadcastTo": _broadcast_to,
    "Concat": _concat,
    "ConcatOffset": _concat_offset,
    "ConcatV2": _concat_v2,
    "Diag": _diagonal,
    "ExpandDims": _expand_dims,
    "Fill": _fill,
    "Gather": _gather,
    "GatherNd": _gather_nd,
    "GatherV2": _gather_v2,
    "InvertPermutation": _inverse,
    "LinSpace": _lin_space,
    "MirrorPad": _mirror_pad,
    "OneHot": _one_hot,
    "Pack": _pack,
    "Pad": _pad,
    "PadV2": _pad_v2,
    "Range": _range,
    "Rank": _rank,
    "Reshape": _reshape,
    "ReverseV2": _reverse,
    "ScatterNd": _scatter_nd,
    "Shape": _shape,
    "ShapeN": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "SplitV": _split_v2,
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unpack": _unpack,
    "Where": _where,
}
