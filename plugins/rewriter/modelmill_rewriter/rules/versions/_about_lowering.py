"""How an operation, or a use of it, that came later is written with what was there before.

    AddV2(x, y)                      Add(x, y)
    BatchMatMulV3, BatchMatMulV2     BatchMatMulV2 of one type, BatchMatMul of equal batches
    BroadcastTo(x, shape)            x * ones(shape); x or false for booleans
    ClipByValue(x, l, h)             minimum(maximum(x, l), h)
    Conv2D(x, w), EXPLICIT           Conv2D(Pad(x), w), VALID; DepthwiseConv2dNative likewise
    DivNoNan(x, y)                   y = 0 ? 0 : x / y; MulNoNan, Xdivy and Xlogy likewise
    Einsum(x, y)                     MatMul or BatchMatMul between transposes and reshapes
    EnsureShape(x)                   x
    FusedBatchNormV3                 FusedBatchNorm of float32, FusedBatchNormV2 of float16
    LeakyRelu(x)                     maximum(x, alpha x) for alpha up to 1, minimum(x, alpha x) above
    MatrixDiagV3, MatrixDiagPartV3, MatrixSetDiagV3    MatrixDiag, ... of the main diagonal
    NonMaxSuppressionV5, V4, V3      V3 without soft scores and padding, V2 without a threshold for scores
    SelectV2(c, x, y)                Select(c, x, y) of equal shapes

A factor of one and a choice between what is there change no bit; the products of Einsum are those that TensorFlow
itself makes of it. `since` is the first version that knows the left side. Most of these are known by an operation's
history (modelmill_worker.op_versions); AddV2 is known to every version, but to no converter before 1.15.
"""

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from modelmill_worker import tensors

from modelmill_rewriter.rules.versions._about_builtin_forms import BOOL, Build, Check, Use, Version, nothing
from modelmill_rewriter.rules_api import Attribute, Builder, Dtype, Tensor

#: Whether a use of the operation is one that came later.
Applies = Callable[[Use], bool]


@dataclass(frozen=True)
class Lowering:
    """A way to write what came later. `build` is None where there is none, and `why_not` says why."""

    since: Version
    build: Optional[Build]
    applies: Applies
    why_not: Check


LOWERINGS: Dict[str, Lowering] = {}


def _always(use: Use) -> bool:
    del use
    return True


def lowering(
    *operations: str, since: Version, applies: Applies = _always, why_not: Check = nothing
) -> Callable[[Build], Build]:
    """Put the decorated function into the table, as how these operations are written before `since`."""

    def register(build: Build) -> Build:
        for operation in operations:
            LOWERINGS[operation] = Lowering(since, build, applies, why_not)
        return build

    return register


def _flag(use: Use, key: str) -> bool:
    return key in use.node.attr and bool(use.node.attr[key].b)


def _type(use: Use, key: str) -> str:
    """The name of a dtype attribute; empty where it is not there."""
    number = use.node.attr[key].type if key in use.node.attr else 0
    return tensors.data_type(number).name if number else ""


def _typed(use: Use, **others: Attribute) -> Dict[str, Attribute]:
    return {"T": Dtype(use.graph.dtype(use.inputs[0])), **others}


def _pick(use: Use, *keys: str) -> Dict[str, Attribute]:
    """Of the node's flags, those with these names."""
    return {key: bool(use.node.attr[key].b) for key in keys if key in use.node.attr}


@lowering("AddV2", since=(1, 15))
def _add(use: Use, make: Builder) -> Tensor:
    return make.node("Add", *use.inputs, attributes={"T": Dtype(use.node.attr["T"].type)})


def _against_batches(use: Use) -> str:
    first, second = use.shape(0), use.shape(1)
    if first is None or second is None:
        return "the rank of what it multiplies is not known, and BatchMatMul does not broadcast"
    if first[:-2] != second[:-2]:
        return "it broadcasts {} and {}, which BatchMatMul does not".format(list(first), list(second))
    return ""


@lowering("BatchMatMulV2", since=(1, 14), why_not=_against_batches)
def _batch_product(use: Use, make: Builder) -> Tensor:
    return make.node("BatchMatMul", *use.inputs, attributes=_typed(use, **_pick(use, "adj_x", "adj_y")))


def _against_types(use: Use) -> str:
    types = {_type(use, key) for key in ("Ta", "Tb", "Tout")}
    return "" if len(types) == 1 else "its operands and its result are of different types"


@lowering("BatchMatMulV3", since=(2, 6), why_not=_against_types)
def _batch_product_of_one_type(use: Use, make: Builder) -> Tensor:
    return make.node("BatchMatMulV2", *use.inputs, attributes=_typed(use, **_pick(use, "adj_x", "adj_y")))


def _against_broadcast(use: Use) -> str:
    if use.constant(1) is None:
        return "its shape is computed, and would have to be constant"
    return "" if use.dtype not in ("", "string") else "it broadcasts strings"


@lowering("BroadcastTo", since=(1, 9), why_not=_against_broadcast)
def _broadcast(use: Use, make: Builder) -> Tensor:
    shape = use.numbers(1)
    if use.dtype == "bool":
        return make.node("LogicalOr", use.inputs[0], make.constant("false", np.zeros(shape, bool)), attributes={})
    return make.node("Mul", use.inputs[0], make.constant("ones", np.ones(shape)), attributes=_typed(use))


@lowering("ClipByValue", since=(1, 8))
def _clip(use: Use, make: Builder) -> Tensor:
    x, low, high = use.inputs
    return make.node("Minimum", make.node("Maximum", x, low), high)


@lowering("EnsureShape", since=(1, 11))
def _ensured(use: Use, make: Builder) -> Tensor:
    del make
    return use.inputs[0]


def _is_padded_explicitly(use: Use) -> bool:
    return use.text_attribute("padding") == "EXPLICIT"


@lowering("Conv2D", since=(1, 14), applies=_is_padded_explicitly)
@lowering("DepthwiseConv2dNative", since=(2, 3), applies=_is_padded_explicitly)
def _convolution_of_padded(use: Use, make: Builder) -> Tensor:
    sizes = np.reshape(use.list_attribute("explicit_paddings"), (-1, 2))
    padded = make.node("Pad", use.inputs[0], make.constant("paddings", sizes, "int32"))
    attributes: Dict[str, Attribute] = {"padding": b"VALID", "explicit_paddings": ()}
    return make.like(use.node, padded, use.inputs[1], attributes=attributes, label="valid")


def _zero_where(zero: Tensor, result: Tensor, use: Use, make: Builder) -> Tensor:
    """0 where the one tensor is 0, else the other, whose shape may be larger."""
    zeros = make.node("ZerosLike", result)
    stretched = make.node("Add", zero, zeros)
    is_zero = make.node("Equal", stretched, make.constant("zero", np.zeros(())), attributes=_typed(use))
    return make.node("Select", is_zero, zeros, result)


@lowering("DivNoNan", since=(1, 11))
def _divided_or_zero(use: Use, make: Builder) -> Tensor:
    return _zero_where(use.inputs[1], make.node("RealDiv", *use.inputs), use, make)


@lowering("MulNoNan", since=(1, 14))
def _multiplied_or_zero(use: Use, make: Builder) -> Tensor:
    return _zero_where(use.inputs[1], make.node("Mul", *use.inputs), use, make)


@lowering("Xdivy", since=(1, 12))
def _zero_or_divided(use: Use, make: Builder) -> Tensor:
    return _zero_where(use.inputs[0], make.node("RealDiv", *use.inputs), use, make)


@lowering("Xlogy", since=(1, 12))
def _zero_or_times_logarithm(use: Use, make: Builder) -> Tensor:
    x, y = use.inputs
    return _zero_where(x, make.node("Mul", x, make.node("Log", y)), use, make)


def _against_norm(use: Use) -> str:
    if use.dtype not in ("float32", "float16"):
        return "it computes {}, and before there were float32 and float16 only".format(use.dtype or "no type")
    if use.text_attribute("data_format") in ("NDHWC", "NCDHW"):
        return "it normalises volumes, and before there were images only"
    return ""


@lowering("FusedBatchNormV3", since=(1, 14), why_not=_against_norm)
def _norm(use: Use, make: Builder) -> Tensor:
    attributes = _typed(use, **_pick(use, "is_training"))
    if "epsilon" in use.node.attr:
        attributes["epsilon"] = use.float_attribute("epsilon", 0)
    if "data_format" in use.node.attr:
        attributes["data_format"] = bytes(use.node.attr["data_format"].s)
    if use.dtype == "float32":
        return make.node("FusedBatchNorm", *use.inputs, attributes=attributes)
    attributes["U"] = Dtype(use.node.attr["U"].type)
    return make.node("FusedBatchNormV2", *use.inputs, attributes=attributes)


@lowering("LeakyRelu", since=(1, 13))
def _leaky(use: Use, make: Builder) -> Tensor:
    x, alpha = use.inputs[0], use.float_attribute("alpha", 0.2)
    if alpha == 0:
        return make.node("Relu", x)
    scaled = make.node("Mul", x, make.constant("alpha", np.asarray(alpha)))
    return make.node("Maximum" if alpha <= 1 else "Minimum", x, scaled)


def _against_diagonals(use: Use) -> str:
    offset = use.constant(2 if use.node.op == "MatrixSetDiagV3" else 1)
    if offset is None or np.any(offset != 0):
        return "it is about other diagonals than the main one"
    if use.node.op == "MatrixDiagV3":
        sizes = [use.constant(position) for position in (2, 3)]
        if any(size is None or np.any(size != -1) for size in sizes):
            return "it makes matrices that are not square"
        padding = use.constant(4)
        if padding is None or np.any(padding != 0):
            return "it fills matrices with something other than 0"
    return ""


@lowering("MatrixDiagV3", "MatrixDiagPartV3", since=(2, 2), why_not=_against_diagonals)
def _diagonal(use: Use, make: Builder) -> Tensor:
    return make.node(use.node.op[:-2], use.inputs[0], attributes=_typed(use))


@lowering("MatrixSetDiagV3", since=(2, 2), why_not=_against_diagonals)
def _set_diagonal(use: Use, make: Builder) -> Tensor:
    return make.node("MatrixSetDiag", *use.inputs[:2], attributes=_typed(use))


def _against_suppression(use: Use) -> str:
    if _flag(use, "pad_to_max_output_size"):
        return "it pads what it selects"
    if use.dtype != "float32":
        return "it compares {}, and before there was float32 only".format(use.dtype or "no type")
    if use.node.op == "NonMaxSuppressionV5":
        sigma = use.constant(5)
        if sigma is None or np.any(sigma != 0):
            return "it lowers the scores of what overlaps rather than leave it out"
    return ""


@lowering("NonMaxSuppressionV5", since=(1, 15), why_not=_against_suppression)
@lowering("NonMaxSuppressionV4", since=(1, 11), why_not=_against_suppression)
def _suppressed(use: Use, make: Builder) -> Tensor:
    return make.node("NonMaxSuppressionV3", *use.inputs[:5], attributes={})


def _against_threshold(use: Use) -> str:
    threshold = use.constant(4)
    if threshold is None or np.any(threshold > np.finfo(np.float32).min):
        return "it leaves out what scores less than {}".format(use.inputs[4])
    return ""


@lowering("NonMaxSuppressionV3", since=(1, 9), why_not=_against_threshold)
def _suppressed_without_threshold(use: Use, make: Builder) -> Tensor:
    return make.node("NonMaxSuppressionV2", *use.inputs[:4], attributes={})


def _against_selection(use: Use) -> str:
    return "" if use.graph.dtype(use.inputs[1]) else "the type that it selects from is not known"


@lowering("SelectV2", since=(1, 14), why_not=_against_selection)
def _selection(use: Use, make: Builder) -> Tensor:
    condition, first, second = use.inputs
    attributes: Dict[str, Attribute] = {"T": Dtype(use.graph.dtype(first))}
    shapes = [use.shape(position) for position in range(3)]
    if None in shapes or len(set(shapes)) > 1:
        condition, first, second = _stretched(use, make, attributes)
    return make.node("Select", condition, first, second, attributes=attributes)


def _stretched(use: Use, make: Builder, attributes: Dict[str, Attribute]) -> Tuple[Tensor, Tensor, Tensor]:
    """The three with the shape to which they broadcast, which need not be known: no value changes."""
    condition, first, second = use.inputs
    nowhere = make.node("LogicalAnd", condition, make.constant("false", np.zeros((), bool), "bool"), attributes={})
    kind = tensors.data_type(use.graph.dtype(first)).name
    if kind == "bool":
        falses = [
            make.node("LogicalAnd", value, make.constant("false", np.zeros((), bool), "bool"), attributes={})
            for value in (first, second)
        ]
        none = make.node("LogicalOr", make.node("LogicalOr", *falses, attributes={}), nowhere, attributes={})
        chosen = [make.node("LogicalOr", value, none, attributes={}) for value in (condition, first, second)]
        return chosen[0], chosen[1], chosen[2]
    zeros = make.node("Cast", nowhere, attributes={"SrcT": BOOL, "DstT": attributes["T"]})
    likes = [make.node("ZerosLike", value, attributes=attributes) for value in (first, second)]
    none = make.node("Add", make.node("Add", *likes, attributes=attributes), zeros, attributes=attributes)
    ones = make.node("Add", none, make.constant("one", np.ones(()), kind), attributes=attributes)
    never = make.node("NotEqual", none, none, attributes=attributes)
    return (
        make.node("LogicalOr", condition, never, attributes={}),
        make.node("Mul", first, ones, attributes=attributes),
        make.node("Mul", second, ones, attributes=attributes),
    )


class _Equation:
    """Which of an Einsum's letters stand for what: batches, rows, columns, and what is summed over."""

    def __init__(self, use: Use) -> None:
        equation = use.text_attribute("equation").replace(" ", "")
        left, _, self.out = equation.partition("->")
        self.inputs: List[str] = left.split(",")
        self.is_plain = (
            "->" in equation
            and "." not in equation
            and all(len(set(part)) == len(part) for part in [*self.inputs, self.out])
        )
        self.is_product = self.is_plain and len(self.inputs) == 2
        if self.is_product:
            first, second = self.inputs
            self.batch = [letter for letter in first if letter in second and letter in self.out]
            self.summed = [letter for letter in first if letter in second and letter not in self.out]
            self.rows = [letter for letter in first if letter not in second]
            self.columns = [letter for letter in second if letter not in first]


def _against_einsum(use: Use) -> str:
    equation = _Equation(use)
    text = use.text_attribute("equation")
    if not equation.is_product:
        return "{!r} is no product of two tensors with a letter for each axis".format(text)
    if any(letter not in equation.out for letter in equation.rows + equation.columns):
        return "{!r} sums over an axis that only one of its tensors has".format(text)
    sizes = _sizes(use, equation)
    if sizes is None:
        return "the rank of what it multiplies is not known"
    if sum(size < 0 for size in (sizes[letter] for letter in equation.out)) > 1:
        return "more than one size of its result is not known"
    if any(sizes[letter] < 0 for letter in equation.summed + equation.batch[1:]):
        return "the sizes that it sums over are not known"
    return ""


def _sizes(use: Use, equation: _Equation) -> Optional[Dict[str, int]]:
    """The size of each letter's axis, -1 where it is not known."""
    sizes: Dict[str, int] = {}
    for position, letters in enumerate(equation.inputs):
        shape = use.shape(position)
        if shape is None or len(shape) != len(letters):
            return None
        for letter, size in zip(letters, shape):
            sizes[letter] = max(size, sizes.get(letter, -1))
    return sizes


@lowering("Einsum", since=(1, 15), why_not=_against_einsum)
def _einsum(use: Use, make: Builder) -> Tensor:
    equation = _Equation(use)
    sizes = _sizes(use, equation)
    assert sizes is not None
    batch, summed, rows, columns = equation.batch, equation.summed, equation.rows, equation.columns
    first = _grouped(use, make, 0, (batch, rows, summed), sizes)
    second = _grouped(use, make, 1, (batch, summed, columns), sizes)
    product = make.node("BatchMatMul" if batch else "MatMul", first, second)
    letters = batch + rows + columns
    if len(rows) != 1 or len(columns) != 1:
        whole = make.constant("sizes", np.asarray([sizes[letter] for letter in letters], int), "int32")
        product = make.node("Reshape", product, whole)
    return _turned(product, make, letters, list(equation.out))


def _turned(x: Tensor, make: Builder, letters: List[str], wanted: List[str]) -> Tensor:
    """Its axes in the wanted order."""
    if letters == wanted:
        return x
    order = make.constant("order", np.asarray([letters.index(letter) for letter in wanted], int), "int32")
    return make.node("Transpose", x, order)


def _grouped(use: Use, make: Builder, position: int, groups: Sequence[List[str]], sizes: Dict[str, int]) -> Tensor:
    """An operand as a matrix, or as one for each batch: its axes in the order of the groups, each but the batch one."""
    letters = list(_Equation(use).inputs[position])
    turned = _turned(use.inputs[position], make, letters, _letters(groups))
    if all(len(group) == 1 for group in groups[1:]):
        return turned
    shape = [sizes[letter] for letter in groups[0]] + [_product(sizes, group) for group in groups[1:]]
    return make.node("Reshape", turned, make.constant("matrices", np.asarray(shape, int), "int32"))


def _letters(groups: Sequence[List[str]]) -> List[str]:
    """The letters of all groups in order."""
    return [letter for group in groups for letter in group]


def _product(sizes: Dict[str, int], letters: Sequence[str]) -> int:
    """How many elements; -1 where one of the sizes is not known."""
    known = [sizes[letter] for letter in letters]
    return -1 if min(known, default=1) < 0 else int(np.prod(known, dtype=np.int64))


def _because(reason: str) -> Check:
    def check(use: Use) -> str:
        del use
        return reason

    return check


def _refusal(operation: str, since: Version, applies: Applies, reason: str) -> None:
    LOWERINGS[operation] = Lowering(since, None, applies, _because(reason))


for _name in ("ResizeBilinear", "ResizeNearestNeighbor"):
    _refusal(
        _name,
        (1, 14),
        lambda use: _flag(use, "half_pixel_centers"),
        "it samples at the pixels' centres (half_pixel_centers), and before there were their corners only",
    )
for _name in ("Gather", "GatherV2"):
    _refusal(
        _name,
        (1, 14),
        lambda use: "batch_dims" in use.node.attr and use.node.attr["batch_dims"].i != 0,
        "it gathers for each element of a batch (batch_dims), and before that could not be said",
    )
for _name in ("Equal", "NotEqual"):
    _refusal(
        _name,
        (1, 15),
        lambda use: "incompatible_shape_error" in use.node.attr and not use.node.attr["incompatible_shape_error"].b,
        "it compares shapes that do not fit (incompatible_shape_error), which was an error before",
    )
