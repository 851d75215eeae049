"""How an old operation is written with the one that came in its place.

    Add(x, y)              AddV2(x, y), of numbers
    BatchMatMul            BatchMatMulV2
    BiasAddV1              BiasAdd
    Concat(axis, x, ...)   ConcatV2(x, ..., axis)
    FusedBatchNorm, V2     FusedBatchNormV3
    Gather(x, i)           GatherV2(x, i, 0)
    Inv(x)                 Reciprocal(x)
    MatrixDiag, ...        MatrixDiagV3, ... of the main diagonal
    Select(c, x, y)        SelectV2(c, x, y), with a vector c as a column where x has more axes

Each new operation does what the old one did, and more.
"""

from dataclasses import dataclass
from typing import Callable, Dict

import numpy as np
from modelmill_worker import tensors

from modelmill_rewriter.rules.versions._about_builtin_forms import INT32, Build, Check, Use, Version, nothing
from modelmill_rewriter.rules_api import Builder, Dtype, Tensor

_FLOAT = Dtype(tensors.data_type_named("float32").number)


@dataclass(frozen=True)
class Raising:
    """A way to write what is old; `since` is the first version that knows it."""

    since: Version
    build: Build
    why_not: Check


RAISINGS: Dict[str, Raising] = {}


def raising(*operations: str, since: Version, why_not: Check = nothing) -> Callable[[Build], Build]:
    """Put the decorated function into the table, as how these operations are written from `since` on."""

    def register(build: Build) -> Build:
        for operation in operations:
            RAISINGS[operation] = Raising(since, build, why_not)
        return build

    return register


def _against_strings(use: Use) -> str:
    return "it joins strings, which AddV2 does not" if use.dtype == "string" else ""


@raising("Add", since=(1, 15), why_not=_against_strings)
def _add(use: Use, make: Builder) -> Tensor:
    return make.like(use.node, *use.inputs, operation="AddV2")


@raising("BatchMatMul", since=(1, 14))
def _batch_product(use: Use, make: Builder) -> Tensor:
    return make.like(use.node, *use.inputs, operation="BatchMatMulV2")


@raising("BiasAddV1", since=(1, 5))
def _bias(use: Use, make: Builder) -> Tensor:
    return make.like(use.node, *use.inputs, operation="BiasAdd")


@raising("Concat", since=(1, 5))
def _concat(use: Use, make: Builder) -> Tensor:
    axis, values = use.inputs[0], use.inputs[1:]
    return make.like(use.node, *values, axis, operation="ConcatV2", attributes={"Tidx": INT32})


@raising("FusedBatchNorm", "FusedBatchNormV2", since=(1, 14))
def _norm(use: Use, make: Builder) -> Tensor:
    return make.like(use.node, *use.inputs, operation="FusedBatchNormV3", attributes={"U": _FLOAT})


@raising("Gather", since=(1, 5))
def _gather(use: Use, make: Builder) -> Tensor:
    axis = make.constant("axis", np.zeros(()), "int32")
    attributes = {key: Dtype(use.node.attr[key].type) for key in ("Tparams", "Tindices")}
    return make.node("GatherV2", *use.inputs, axis, attributes={**attributes, "Taxis": INT32})


@raising("Inv", since=(1, 5))
def _reciprocal(use: Use, make: Builder) -> Tensor:
    return make.like(use.node, *use.inputs, operation="Reciprocal")


@raising("MatrixDiag", since=(2, 2))
def _diagonal(use: Use, make: Builder) -> Tensor:
    main, free = make.constant("main", np.zeros(()), "int32"), make.constant("free", np.full((), -1), "int32")
    zero = make.constant("zero", np.zeros(()))
    return make.like(use.node, *use.inputs, main, free, free, zero, operation="MatrixDiagV3")


@raising("MatrixDiagPart", since=(2, 2))
def _diagonal_part(use: Use, make: Builder) -> Tensor:
    main, zero = make.constant("main", np.zeros(()), "int32"), make.constant("zero", np.zeros(()))
    return make.like(use.node, *use.inputs, main, zero, operation="MatrixDiagPartV3")


@raising("MatrixSetDiag", since=(2, 2))
def _set_diagonal(use: Use, make: Builder) -> Tensor:
    main = make.constant("main", np.zeros(()), "int32")
    return make.like(use.node, *use.inputs, main, operation="MatrixSetDiagV3")


def _against_ranks(use: Use) -> str:
    ranks = [use.shape(0), use.shape(1)]
    if any(rank is None for rank in ranks):
        return "the ranks of its condition and values are not known, and a vector would choose rows"
    return ""


@raising("Select", since=(1, 14), why_not=_against_ranks)
def _selection(use: Use, make: Builder) -> Tensor:
    condition, first, second = use.inputs
    shapes = [use.shape(0), use.shape(1)]
    ranks = [len(shape) for shape in shapes if shape is not None]
    if ranks[0] == 1 and ranks[1] > 1:
        column = make.constant("column", np.asarray([-1] + [1] * (ranks[1] - 1)), "int32")
        kind = Dtype(tensors.data_type_named("bool").number)
        condition = make.node("Reshape", condition, column, attributes={"T": kind, "Tshape": INT32})
    return make.like(use.node, condition, first, second, operation="SelectV2")
