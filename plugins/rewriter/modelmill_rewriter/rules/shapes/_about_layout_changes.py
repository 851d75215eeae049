"""What each operation is over NHWC images, where it was written for NCHW images.

`change_of` answers for one node: its operands and attributes for images with the channels last, or None where the node
needs its operands as they are. Only what is known before anything is changed is asked for, so all changes of a graph
can be planned first and made afterwards.
"""

import enum
import re
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules.shapes import _about_layouts as layouts
from modelmill_rewriter.rules_api import Attribute, GraphIndex, ShapeOf, Tensor

Shape = Optional[Tuple[int, ...]]


class Form(enum.Enum):
    """How a changed node reads an operand."""

    LAST = "with its channels last"
    AS_IS = "as it was"


@dataclass(frozen=True)
class Picked:
    """An operand that has a number for each axis and is computed: its items in another order."""

    order: Tuple[int, ...]


#: An array is a constant that takes the operand's place, of its dtype.
Operand = Union[Form, Picked, np.ndarray]


@dataclass(frozen=True)
class Change:
    """A node over NHWC images.

    turned: which of its outputs are NHWC images now; the others are what they were.
    operation: what it is now, where that is something else.
    picked: the first output must be put in this order, as it has an item for each axis of an NHWC image.
    """

    operands: Tuple[Operand, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    turned: Tuple[int, ...] = (0,)
    operation: str = ""
    picked: Tuple[int, ...] = ()


class Node:
    """One node as the changes see it, with what is planned for those before it."""

    def __init__(self, graph: GraphIndex, name: str, is_last: Callable[[Tensor], bool]) -> None:
        self._graph = graph
        self.name = name
        self.definition: NodeDef = graph.node(name)
        self.inputs = graph.data_inputs(name)
        self._is_last = is_last

    def is_last(self, index: int) -> bool:
        """Whether an operand can be had with its channels last for nothing."""
        return self._is_last(self.inputs[index])

    def shape(self, index: int) -> Shape:
        """Of an operand, as it was written."""
        return self._graph.shape(self.inputs[index])

    def rank(self, index: int) -> Optional[int]:
        """Of an operand; None where it is not known."""
        shape = self.shape(index)
        return 4 if self.is_last(index) else None if shape is None else len(shape)

    def value(self, index: int) -> Optional[np.ndarray]:
        """Of an operand that is constant; None of any other."""
        return self._graph.constant(self.inputs[index])

    def numbers(self, index: int) -> Optional[Tuple[int, ...]]:
        """Of an operand that is a constant list of whole numbers, or one of them."""
        value = self.value(index)
        return None if value is None else tuple(int(item) for item in value.ravel())

    def integers(self, name: str) -> Tuple[int, ...]:
        """An attribute that is a list of whole numbers."""
        return tuple(self.definition.attr[name].list.i) if name in self.definition.attr else ()

    def integer(self, name: str) -> int:
        """An attribute that is a whole number; 0 where it is not there."""
        return int(self.definition.attr[name].i) if name in self.definition.attr else 0

    def flag(self, *names: str) -> bool:
        """Whether an attribute, under any of its names, is there and true."""
        return any(name in self.definition.attr and self.definition.attr[name].b for name in names)

    def output_shape(self) -> Shape:
        """Of the first output, as it was written."""
        return self._graph.shape(Tensor(self.name))


Planner = Callable[[Node], Optional[Change]]

#: Operations that are written for one layout or the other, by their attribute `data_format`.
WRITTEN_FOR_A_LAYOUT: Dict[str, Planner] = {}
#: Operations that work on images in any order, once their numbers are in that order.
FOLLOWING: Dict[str, Planner] = {}
#: Of those: what is the same whatever the order, so that it can as well come behind a transposition as before it.
POINTWISE = frozenset(
    re.findall(
        r"\w+",
        """
        Abs Cast Ceil CheckNumerics ClipByValue Cos Elu Erf Exp Expm1 FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars
        Floor Identity IsFinite IsInf IsNan LeakyRelu Log Log1p LogicalNot Neg PreventGradient Reciprocal Relu Relu6
        Round Rsqrt Selu Sigmoid Sign Sin Snapshot Softplus Softsign Sqrt Square StopGradient Tanh ZerosLike OnesLike
        """,
    )
)
BROADCASTING = frozenset(
    re.findall(
        r"\w+",
        """
        Add AddV2 Div Equal FloorDiv FloorMod Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr Maximum Minimum
        Mul NotEqual Pow RealDiv SelectV2 SquaredDifference Sub
        """,
    )
)
_FIRST = b"NCHW"


def is_channels_first(node: NodeDef) -> bool:
    """Whether the node says that its images have the channels first."""
    return node.op in WRITTEN_FOR_A_LAYOUT and "data_format" in node.attr and node.attr["data_format"].s == _FIRST


def image_operand(node: NodeDef) -> int:
    """Which operand of a node that says NCHW is the image."""
    return 2 if node.op.endswith("BackpropInput") else 0


def change_of(node: Node) -> Optional[Change]:
    """What the node becomes, or None where it stays. One that does not say NCHW must read what has been turned."""
    name = node.definition.op
    if is_channels_first(node.definition):
        return WRITTEN_FOR_A_LAYOUT[name](node)
    if name in WRITTEN_FOR_A_LAYOUT:
        return None
    planner = _pointwise if name in POINTWISE else _broadcasting if name in BROADCASTING else FOLLOWING.get(name)
    return planner(node) if planner is not None else None


def _written_for_a_layout(*names: str) -> Callable[[Planner], Planner]:
    def register(planner: Planner) -> Planner:
        WRITTEN_FOR_A_LAYOUT.update((name, planner) for name in names)
        return planner

    return register


def _following(*names: str) -> Callable[[Planner], Planner]:
    def register(planner: Planner) -> Planner:
        FOLLOWING.update((name, planner) for name in names)
        return planner

    return register


def _in_order(node: Node, *names: str) -> Dict[str, Attribute]:
    """These attributes, which have a number for each axis, and the paddings, which have two, for NHWC."""
    found: Dict[str, Attribute] = {"data_format": b"NHWC"}
    for name in names:
        if len(node.integers(name)) == 4:
            found[name] = layouts.last_order(node.integers(name))
    if len(node.integers("explicit_paddings")) == 8:
        found["explicit_paddings"] = layouts.last_order_of_pairs(node.integers("explicit_paddings"))
    return found


def _only_the_first(node: Node) -> Tuple[Operand, ...]:
    return (Form.LAST,) + (Form.AS_IS,) * (len(node.inputs) - 1)


# -- written for a layout ----------------------------------------------------------------------------------------------


@_written_for_a_layout("Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool")
def _windowed(node: Node) -> Optional[Change]:
    return Change(_only_the_first(node), _in_order(node, "strides", "dilations", "ksize"))


@_written_for_a_layout("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "DepthToSpace", "SpaceToDepth")
def _by_data_format_alone(node: Node) -> Optional[Change]:
    return Change(_only_the_first(node), _in_order(node))


@_written_for_a_layout("BiasAdd")
def _bias(node: Node) -> Optional[Change]:
    return Change(_only_the_first(node), _in_order(node)) if node.rank(0) == 4 else None


@_written_for_a_layout("Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput")
def _transposed_convolution(node: Node) -> Optional[Change]:
    """(size of the result, filter, image)"""
    size = node.shape(0)
    sizes = Form.AS_IS if size == (2,) else _sizes(node, 0)  # height and width alone are the same in both
    return Change((sizes, Form.AS_IS, Form.LAST), _in_order(node, "strides", "dilations"))


def _sizes(node: Node, index: int) -> Operand:
    """An operand with a number for each axis, or a row for each."""
    value = node.value(index)
    return Picked(layouts.TO_LAST) if value is None else value[list(layouts.TO_LAST)]


# -- what follows ------------------------------------------------------------------------------------------------------


def _pointwise(node: Node) -> Optional[Change]:
    """What is read beside the image (limits, ranges) are numbers."""
    numbers = all(node.rank(index) == 0 for index in range(1, len(node.inputs)))
    return Change(_only_the_first(node)) if node.rank(0) == 4 and numbers else None


def _broadcasting(node: Node) -> Optional[Change]:
    """Rank 4, a number, or a constant: a computed operand of another rank would have to be given its missing axes."""
    operands = [_broadcast(node, index) for index in range(len(node.inputs))]
    if Form.LAST not in [operand for operand in operands if isinstance(operand, Form)]:
        return None
    return None if None in [item if item is None else 0 for item in operands] else Change(_all_there(operands))


def _broadcast(node: Node, index: int) -> Optional[Operand]:
    value, rank = node.value(index), node.rank(index)
    if value is not None and value.ndim <= 4:
        return layouts.last_operand(value) if value.size > 1 else Form.AS_IS
    return {4: Form.LAST, 0: Form.AS_IS}.get(rank) if rank is not None else None


def _all_there(operands: Sequence[Optional[Operand]]) -> Tuple[Operand, ...]:
    return tuple(operand for operand in operands if operand is not None)


@_following("AddN")
def _sum_of_all(node: Node) -> Optional[Change]:
    ranks = [node.rank(index) for index in range(len(node.inputs))]
    return Change((Form.LAST,) * len(ranks)) if all(rank == 4 for rank in ranks) else None


@_following("Select")
def _select(node: Node) -> Optional[Change]:
    """The condition may also be a number, or a truth for each image."""
    if node.rank(1) != 4 or node.rank(2) != 4 or node.rank(0) not in (0, 1, 4):
        return None
    return Change((Form.LAST if node.rank(0) == 4 else Form.AS_IS, Form.LAST, Form.LAST))


@_following("Pad", "PadV2", "MirrorPad", "Tile")
def _row_for_each_axis(node: Node) -> Optional[Change]:
    if node.rank(0) != 4:
        return None
    return Change((Form.LAST, _sizes(node, 1)) + (Form.AS_IS,) * (len(node.inputs) - 2))


@_following("Slice")
def _slice(node: Node) -> Optional[Change]:
    return Change((Form.LAST, _sizes(node, 1), _sizes(node, 2))) if node.rank(0) == 4 else None


@_following("StridedSlice")
def _strided_slice(node: Node) -> Optional[Change]:
    """Where it names its axes one by one; an axis that goes must not leave the others in another order."""
    limits = [node.value(index) for index in (1, 2, 3)]
    if node.rank(0) != 4 or node.integer("ellipsis_mask") or node.integer("new_axis_mask"):
        return None
    if any(limit is None or not 0 < limit.size <= 4 for limit in limits):
        return None
    named = limits[0].size  # type: ignore[union-attr]
    rest = sum(1 << axis for axis in range(named, 4))
    masks = {"begin_mask": node.integer("begin_mask") | rest, "end_mask": node.integer("end_mask") | rest}
    gone = [axis for axis in range(named) if node.integer("shrink_axis_mask") >> axis & 1]
    if gone and not layouts.keeps_order(gone):
        return None
    masks["shrink_axis_mask"] = node.integer("shrink_axis_mask")
    operands: List[Operand] = [Form.LAST]
    for limit, filler in zip(limits, (0, 0, 1)):
        full = np.concatenate([limit, np.full(4 - named, filler, limit.dtype)])  # type: ignore[union-attr]
        operands.append(full[list(layouts.TO_LAST)])
    attributes = {key: layouts.last_bits(mask) for key, mask in masks.items()}
    return Change(tuple(operands), attributes, () if gone else (0,))


@_following("ConcatV2", "Concat")
def _concatenation(node: Node) -> Optional[Change]:
    at = 0 if node.definition.op == "Concat" else len(node.inputs) - 1
    parts = [index for index in range(len(node.inputs)) if index != at]
    return _along(node, at, parts, (0,))


@_following("Split", "SplitV")
def _split(node: Node) -> Optional[Change]:
    at, image = (0, 1) if node.definition.op == "Split" else (2, 0)
    return _along(node, at, [image], tuple(range(node.integer("num_split"))))


def _along(node: Node, at: int, images: Sequence[int], turned: Tuple[int, ...]) -> Optional[Change]:
    """The operand `at` is the axis along which images are joined or parted."""
    axis = node.value(at)
    if axis is None or any(node.rank(index) != 4 for index in images):
        return None
    operands: List[Operand] = [Form.LAST if index in images else Form.AS_IS for index in range(len(node.inputs))]
    operands[at] = _axes(axis)
    return Change(tuple(operands), turned=turned)


def _axes(value: np.ndarray) -> np.ndarray:
    return np.array([layouts.last_axis(int(axis)) for axis in value.ravel()], value.dtype).reshape(value.shape)


@_following("Mean", "Sum", "Max", "Min", "Prod", "All", "Any")
def _reduction(node: Node) -> Optional[Change]:
    axes = node.value(1)
    if axes is None or node.rank(0) != 4:
        return None
    if node.flag("keep_dims", "keepdims"):
        return Change((Form.LAST, _axes(axes)))
    return Change((Form.LAST, _axes(axes)), turned=()) if layouts.keeps_order(map(int, axes.ravel())) else None


@_following("ArgMax", "ArgMin")
def _place_of_the_largest(node: Node) -> Optional[Change]:
    axis = node.value(1)
    if axis is None or node.rank(0) != 4 or not layouts.keeps_order([int(axis)]):
        return None
    return Change((Form.LAST, _axes(axis)), turned=())


@_following("Squeeze")
def _squeeze(node: Node) -> Optional[Change]:
    gone = node.integers("squeeze_dims") or node.integers("axis")
    shape = node.shape(0)
    if not gone and shape is not None and -1 not in shape:
        gone = tuple(axis for axis, size in enumerate(shape) if size == 1)
    if not gone or node.rank(0) != 4 or not layouts.keeps_order(gone):
        return None
    axes = tuple(sorted(layouts.last_axis(axis) for axis in gone))
    return Change((Form.LAST,), {"squeeze_dims": axes}, turned=())


@_following("Reshape")
def _reshape(node: Node) -> Optional[Change]:
    """Where one order is as good as the other; a flattened image is looked at by `flattened_image`."""
    if layouts.flattens_alike(node.shape(0)):
        return Change((Form.LAST, Form.AS_IS), turned=())
    return None


@_following("Shape")
def _shape(node: Node) -> Optional[Change]:
    return Change((Form.LAST,), turned=(), picked=layouts.TO_FIRST) if node.rank(0) == 4 else None


@_following("Size", "Rank")
def _size(node: Node) -> Optional[Change]:
    return Change((Form.LAST,), turned=()) if node.is_last(0) else None


@_following("Transpose")
def _transpose(node: Node) -> Optional[Change]:
    """One transposition does for two: the axis i of the result is the NCHW image's axis order[i]."""
    order = node.numbers(1)
    if order is None or len(order) != 4 or not node.is_last(0):
        return None
    composed = tuple(layouts.last_axis(axis) for axis in order)
    if composed == tuple(range(4)):
        return Change((Form.LAST,), turned=(), operation="Identity")
    return Change((Form.LAST, np.array(composed, np.int32)), turned=())


# -- in front of a matrix product --------------------------------------------------------------------------------------


def flattened_image(node: Node) -> Optional[Tuple[int, int, int]]:
    """Channels, height and width of the image that a Reshape makes a row of, where it does."""
    shape, result = node.shape(0), node.output_shape()
    if node.definition.op != "Reshape" or shape is None or len(shape) != 4 or min(shape[1:]) < 1:
        return None
    if result is None or len(result) != 2 or result[1] != int(np.prod(shape[1:])):
        return None
    return shape[1], shape[2], shape[3]


def product_with_a_row(node: Node, image: Tuple[int, int, int]) -> Optional[Change]:
    """A MatMul of a flattened NCHW image, for the flattened NHWC image; None where its weights do not allow it."""
    weights = node.value(1) if len(node.inputs) == 2 else None
    if node.definition.op != "MatMul" or weights is None or weights.ndim != 2 or node.flag("transpose_a"):
        return None
    if node.flag("transpose_b"):
        weights = weights.T
    if weights.shape[0] != int(np.prod(image)):
        return None
    turned = layouts.rows_for_last(weights, image)
    return Change((Form.AS_IS, turned.T if node.flag("transpose_b") else turned), turned=())


def turned_placeholder(shape: Tuple[int, ...]) -> Mapping[str, Attribute]:
    """The attributes of a Placeholder for NHWC images, where it was one for NCHW images of this shape."""
    return {"shape": ShapeOf(layouts.last_order(shape))}
