"""Operations that move, copy and pick elements, written with those that TFLite has.

BroadcastTo(x, shape)    Tile(Reshape(x), times)          ParallelConcat(...)      ConcatV2(..., 0)
Cross(a, b)              a' b'' - a'' b', with ' and ''   Reverse(x, dims)         ReverseV2, axis by axis
the elements in turn             Roll(x, shift, axis)     ConcatV2(tail, head)
Diag(x)                  MatrixDiag(x), of rank 1         ScatterNdNonAliasingAdd  TensorScatterAdd
DiagPart, MatrixDiagPart Gather of every (N + 1)th        Size(x)                  Prod(Shape(x))
L2Loss(x)                Sum(x x) / 2                     TensorScatterSub(t,i,u)  TensorScatterAdd(t, i, -u)
MatrixBandPart(x, l, u)  mask ? x : 0                     Where(x)                 Where(x != 0)
"""

from typing import Dict, List

import numpy as np

from modelmill_rewriter.rules.versions._about_builtin_forms import BOOL, FLOAT, INT32, Form, Use, form, is_constant
from modelmill_rewriter.rules_api import Attribute, Builder, Tensor

FORMS: Dict[str, Form] = {}

_NUMBERS = ("float32", "int32")


def _whole(make: Builder, label: str, values: object) -> Tensor:
    return make.constant(label, np.array(values, np.int32), "int32")


def _like(use: Use, **others: Attribute) -> Dict[str, Attribute]:
    """The attributes of an operation on the first input's type."""
    return {"T": FLOAT if use.dtype == "float32" else INT32, **others}


def _reshaped(use: Use, make: Builder, x: Tensor, shape: List[int], label: str) -> Tensor:
    return make.node(
        "Reshape", x, _whole(make, label, shape), attributes=_like(use, Tshape=INT32), label=label + "/Reshape"
    )


def _gathered(use: Use, make: Builder, x: Tensor, indices: Tensor, axis: Tensor, label: str) -> Tensor:
    kind = _like(use)["T"]
    attributes: Dict[str, Attribute] = {"Tparams": kind, "Tindices": INT32, "Taxis": INT32}
    return make.node("GatherV2", x, indices, axis, attributes=attributes, label=label)


# -- copies ----------------------------------------------------------------------------------------------------------


def _against_broadcast(use: Use) -> str:
    shape = use.shape()
    if use.constant(1) is None:
        return "the shape that it broadcasts to is computed"
    if shape is None or -1 in shape:
        return "the shape of what it broadcasts is not known"
    return ""


@form(FORMS, "BroadcastTo", builtin_since=(2, 3), needs=(1, 10), dtypes=_NUMBERS, why_not=_against_broadcast)
def _broadcast(use: Use, make: Builder) -> Tensor:
    shape, wanted = list(use.shape() or ()), use.numbers(1)
    shape = [1] * (len(wanted) - len(shape)) + shape
    x = _reshaped(use, make, use.inputs[0], shape, "shape")
    times = [size if held == 1 else 1 for held, size in zip(shape, wanted)]
    return make.node("Tile", x, _whole(make, "times", times), attributes=_like(use, Tmultiples=INT32))


@form(FORMS, "ParallelConcat", needs=(1, 5), dtypes=_NUMBERS)
def _joined(use: Use, make: Builder) -> Tensor:
    attributes = _like(use, N=len(use.inputs), Tidx=INT32)
    return make.node("ConcatV2", *use.inputs, _whole(make, "axis", 0), attributes=attributes)


# -- other orders ----------------------------------------------------------------------------------------------------


@form(FORMS, "Reverse", needs=(1, 14), dtypes=_NUMBERS, why_not=is_constant(1))
def _reversed(use: Use, make: Builder) -> Tensor:
    x = use.inputs[0]
    axes = [axis for axis, turned in enumerate(use.numbers(1)) if turned]
    for axis in axes:  # TFLite's operator takes one axis only.
        x = make.node("ReverseV2", x, _whole(make, "axis", [axis]), attributes=_like(use, Tidx=INT32))
    return x


def _against_roll(use: Use) -> str:
    shape = use.shape()
    reason = is_constant(1, 2)(use)
    if reason or shape is None:
        return reason or "the rank of what it rolls is not known"
    if any(shape[axis] == -1 for axis in use.numbers(2)):
        return "the size of what it rolls, {}, is not known".format(list(shape))
    return ""


@form(FORMS, "Roll", builtin_since=(2, 6), needs=(1, 9), dtypes=_NUMBERS, why_not=_against_roll)
def _rolled(use: Use, make: Builder) -> Tensor:
    x, shape = use.inputs[0], use.shape() or ()
    for shift, given in zip(use.numbers(1), use.numbers(2)):
        axis = given % len(shape)
        head = (shape[axis] - shift) % max(shape[axis], 1)
        if head == 0:
            continue
        parts = []
        for label, start, size in (("tail", head, shape[axis] - head), ("head", 0, head)):
            begin, sizes = [0] * len(shape), [-1] * len(shape)
            begin[axis], sizes[axis] = start, size
            inputs = (x, _whole(make, label + "/begin", begin), _whole(make, label + "/size", sizes))
            parts.append(make.node("Slice", *inputs, attributes=_like(use, Index=INT32), label=label))
        x = make.node("ConcatV2", *parts, _whole(make, "axis", axis), attributes=_like(use, N=2, Tidx=INT32))
    return x


def _against_cross(use: Use) -> str:
    return "" if use.shape() is not None else "the rank of what it multiplies is not known"


@form(FORMS, "Cross", needs=(1, 8), why_not=_against_cross)
def _cross(use: Use, make: Builder) -> Tensor:
    a, b = use.inputs
    axis = _whole(make, "axis", len(use.shape() or ()) - 1)
    once, twice = _whole(make, "once", [1, 2, 0]), _whole(make, "twice", [2, 0, 1])
    products = [
        make.node(
            "Mul",
            _gathered(use, make, a, first, axis, "of_a"),
            _gathered(use, make, b, second, axis, "of_b"),
            attributes=_like(use),
        )
        for first, second in ((once, twice), (twice, once))
    ]
    return make.node("Sub", *products, attributes=_like(use))


# -- matrices --------------------------------------------------------------------------------------------------------


def _against_diagonal(use: Use) -> str:
    return "" if len(use.shape() or ()) == 1 else "what it puts on a diagonal is not known to have rank 1"


@form(FORMS, "Diag", needs=(2, 2), dtypes=_NUMBERS, why_not=_against_diagonal)
def _diagonal(use: Use, make: Builder) -> Tensor:
    return make.node("MatrixDiag", use.inputs[0], attributes=_like(use))


def _against_diagonal_part(use: Use) -> str:
    shape = use.shape()
    if shape is None or len(shape) < 2 or -1 in shape[-2:] or shape[:-2].count(-1) > 1:
        return "the shape of its matrices is not known"
    if use.node.op == "DiagPart" and len(shape) != 2:
        return "it takes the diagonal of a tensor of rank {}".format(len(shape))
    if len(use.inputs) > 1:
        diagonals = use.constant(1)
        if diagonals is None or diagonals.size != 1 or diagonals.reshape(-1)[0] != 0:
            return "it takes other diagonals than the main one"
    return ""


@form(
    FORMS,
    *("DiagPart", "MatrixDiagPart", "MatrixDiagPartV2", "MatrixDiagPartV3"),
    needs=(1, 8),
    dtypes=_NUMBERS,
    why_not=_against_diagonal_part,
)
def _diagonal_part(use: Use, make: Builder) -> Tensor:
    shape = list(use.shape() or ())
    rows, columns = shape[-2:]
    count = min(rows, columns)
    flat = _reshaped(use, make, use.inputs[0], [-1, rows * columns], "rows")
    every = _whole(make, "every", np.arange(count) * (columns + 1))
    found = _gathered(use, make, flat, every, _whole(make, "axis", 1), "diagonal")
    return _reshaped(use, make, found, [*shape[:-2], count], "matrices")


def _against_band(use: Use) -> str:
    shape = use.shape()
    if shape is None or -1 in shape[-2:]:
        return "the shape of its matrices is not known"
    return is_constant(1, 2)(use)


@form(FORMS, "MatrixBandPart", builtin_since=(2, 11), needs=(2, 2), why_not=_against_band)
def _band(use: Use, make: Builder) -> Tensor:
    rows, columns = (use.shape() or ())[-2:]
    (lower,), (upper,) = use.numbers(1), use.numbers(2)
    below = np.arange(rows)[:, None] - np.arange(columns)[None, :]
    mask = ((lower < 0) | (below <= lower)) & ((upper < 0) | (-below <= upper))
    inputs = (make.constant("mask", mask, "bool"), use.inputs[0], make.constant("zero", np.float32(0)))
    return make.node("SelectV2", *inputs)


# -- counting and adding ---------------------------------------------------------------------------------------------


@form(FORMS, "L2Loss", builtin_since=(2, 5), needs=(1, 10))
def _half_of_squares(use: Use, make: Builder) -> Tensor:
    flat = _reshaped(use, make, use.inputs[0], [-1], "flat")
    attributes = _like(use, Tidx=INT32, keep_dims=False)
    total = make.node("Sum", make.node("Mul", flat, flat), _whole(make, "axis", 0), attributes=attributes)
    return make.node("Mul", total, make.constant("half", np.float32(0.5)))


def _against_size(use: Use) -> str:
    if "out_type" in use.node.attr and use.node.attr["out_type"].type != INT32:
        return "it counts in int64, which TFLite does not multiply"
    return ""


@form(FORMS, "Size", builtin_since=(2, 4), needs=(1, 14), dtypes=_NUMBERS, why_not=_against_size)
def _size(use: Use, make: Builder) -> Tensor:
    shape = make.node("Shape", use.inputs[0], attributes=_like(use, out_type=INT32))
    attributes: Dict[str, Attribute] = {"T": INT32, "Tidx": INT32, "keep_dims": False}
    return make.node("Prod", shape, _whole(make, "axis", 0), attributes=attributes)


@form(FORMS, "Where", builtin_since=(2, 8), needs=(1, 15))
def _where(use: Use, make: Builder) -> Tensor:
    zero = make.constant("zero", np.float32(0), "float32")
    return make.node("Where", make.node("NotEqual", use.inputs[0], zero, attributes=_like(use)), attributes={"T": BOOL})


def _against_indices(use: Use) -> str:
    number = use.graph.dtype(use.inputs[1])
    return "" if number == INT32 else "its indices are not known to be int32, which TFLite's must be"


@form(FORMS, "TensorScatterSub", "ScatterNdNonAliasingAdd", needs=(2, 7), why_not=_against_indices)
def _scattered(use: Use, make: Builder) -> Tensor:
    held, indices, updates = use.inputs
    if use.node.op == "TensorScatterSub":
        updates = make.node("Neg", updates, attributes=_like(use))
    return make.node("TensorScatterAdd", held, indices, updates, attributes=_like(use, Tindices=INT32))
