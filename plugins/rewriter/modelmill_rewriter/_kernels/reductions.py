"""Operations that make one element of many: sums, means, extremes, positions, matrix products.

Floats narrower than double precision are summed in double precision and rounded once, so that the order, in which
TensorFlow differs between machines, does not count.
"""

from typing import Any, Callable, Dict, Tuple

import numpy as np

from modelmill_rewriter._kernels._call import Call, Kernel, broadcast_shape, require


def _reduction(function: Callable[..., Any]) -> Kernel:
    """function: of an array, `axis` and `keepdims`."""

    def kernel(call: Call) -> Any:
        x = call.inputs[0]
        axes = _axes(call, x.ndim)
        keeps = call.flag("keep_dims")
        return [np.asarray(function(_widened(x), axis=axes, keepdims=keeps)).astype(x.dtype)]

    return kernel


def _axes(call: Call, rank: int) -> Tuple[int, ...]:
    axes = [call.axis(axis, rank) for axis in call.vector(1)] if rank else []
    require(len(set(axes)) == len(axes), "it reduces one axis twice")
    return tuple(axes)


def _widened(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) if x.dtype.kind == "f" else x


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    def extreme(x: np.ndarray, **options: Any) -> Any:
        require(x.size, "it looks for an extreme among no elements")
        return function(x, **options)

    return extreme


def _sum(x: np.ndarray, **options: Any) -> Any:
    return np.sum(x, dtype=x.dtype, **options)


def _product(x: np.ndarray, **options: Any) -> Any:
    return np.prod(x, dtype=x.dtype, **options)


def _mean(x: np.ndarray, axis: Tuple[int, ...], keepdims: bool) -> Any:
    """Of integers, the quotient cut off towards zero."""
    count = 1
    for position in axis:
        count *= x.shape[position]
    total = np.sum(x, dtype=x.dtype, axis=axis, keepdims=keepdims)
    if x.dtype.kind in "fc":
        return np.divide(total, count)
    require(count, "it takes the mean of no elements")
    return np.sign(total) * (np.abs(total) // count)


def _position(function: Callable[..., Any]) -> Kernel:
    """The index of the first extreme along an axis."""

    def kernel(call: Call) -> Any:
        x = call.inputs[0]
        require(x.size, "it looks for an extreme among no elements")
        dtype = np.int32 if call.type_number("output_type", 9) == 3 else np.int64
        return [np.asarray(function(x, axis=call.axis(call.scalar(1), x.ndim))).astype(dtype)]

    return kernel


def _running_sum(call: Call) -> Any:
    x = call.inputs[0]
    axis = call.axis(call.scalar(1), x.ndim)
    turned = np.flip(x, axis) if call.flag("reverse") else x
    sums = np.cumsum(_widened(turned), axis=axis, dtype=_widened(turned).dtype)
    if call.flag("exclusive"):
        sums = sums - turned
    return [(np.flip(sums, axis) if call.flag("reverse") else sums).astype(x.dtype)]


def _matrix_product(call: Call) -> Any:
    x, y = call.inputs
    require(x.ndim == 2 and y.ndim == 2, "it multiplies what are no matrices")
    x = x.T if call.flag("transpose_a") else x
    y = y.T if call.flag("transpose_b") else y
    return [_product_of(call, x, y)]


def _product_of_batches(call: Call) -> Any:
    x, y = call.inputs
    require(x.ndim >= 2 and y.ndim >= 2, "it multiplies what are no matrices")
    require(x.dtype.kind != "c", "it multiplies complex numbers")  # Its adj_x is then more than a transposition.
    x = np.swapaxes(x, -1, -2) if call.flag("adj_x") else x
    y = np.swapaxes(y, -1, -2) if call.flag("adj_y") else y
    if call.node.op == "BatchMatMul":
        require(x.shape[:-2] == y.shape[:-2], "its batches have different shapes")
    return [_product_of(call, x, y)]


def _product_of(call: Call, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    require(x.dtype == y.dtype, "it reads {} and {}".format(x.dtype, y.dtype))
    require(x.shape[-1] == y.shape[-2], "matrices of {} and {} do not fit".format(list(x.shape), list(y.shape)))
    batch = broadcast_shape([x[..., 0, 0], y[..., 0, 0]]) if x.size and y.size else x.shape[:-2]
    call.require_room(batch + (x.shape[-2], y.shape[-1]), x.dtype)
    return np.asarray(np.matmul(_widened(x), _widened(y))).astype(x.dtype)


KERNELS: Dict[str, Kernel] = {
    "All": _reduction(np.all),
    "Any": _reduction(np.any),
    "ArgMax": _position(np.argmax),
    "ArgMin": _position(np.argmin),
    "BatchMatMul": _product_of_batches,
    "BatchMatMulV2": _product_of_batches,
    "Cumsum": _running_sum,
    "MatMul": _matrix_product,
    "Max": _reduction(_extreme(np.max)),
    "Mean": _reduction(_mean),
    "Min": _reduction(_extreme(np.min)),
    "Prod": _reduction(_product),
    "Sum": _reduction(_sum),
}
