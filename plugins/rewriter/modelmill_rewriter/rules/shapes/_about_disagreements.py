"""Where shapes contradict what a node asks of its operands, which TensorFlow says when a graph is imported or run.

`disagreement` looks at one node. What is not known contradicts nothing.
"""

import re
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from modelmill_worker import tensors
from modelmill_worker.graph_def import NodeDef, attribute
from modelmill_worker.shapes.known import axis_of, broadcast, product

from modelmill_rewriter.rules_api import GraphIndex, Tensor

Shape = Optional[Tuple[int, ...]]
Check = Callable[["_Asked"], Optional[str]]

_CHECKS: Dict[str, Check] = {}
_BROADCASTING = """
    Add AddV2 Div Equal FloorDiv FloorMod Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr Maximum Minimum Mul
    NotEqual Pow RealDiv SquaredDifference Sub
"""
_IMAGE_OPERATIONS = "Conv2D DepthwiseConv2dNative MaxPool AvgPool"


def disagreement(graph: GraphIndex, name: str) -> Optional[str]:
    """Why the node cannot work with the shapes that it reads; None where nothing speaks against it."""
    check = _CHECKS.get(graph.node(name).op)
    return None if check is None else check(_Asked(graph, name))


def written(shape: Shape) -> str:
    """A shape as people write it: "[1, ?, 3]"."""
    if shape is None:
        return "of unknown rank"
    return "[{}]".format(", ".join("?" if size < 0 else str(size) for size in shape))


class _Asked:
    """A node with the shapes of what it reads and gives out."""

    def __init__(self, graph: GraphIndex, name: str) -> None:
        self._graph = graph
        self.node: NodeDef = graph.node(name)
        self._inputs = graph.data_inputs(name)
        self.shapes: List[Shape] = [graph.shape(tensor) for tensor in self._inputs]
        self.result: Shape = graph.shape(Tensor(name))

    def shape(self, index: int) -> Shape:
        return self.shapes[index] if -len(self.shapes) <= index < len(self.shapes) else None

    def numbers(self, index: int) -> Optional[Tuple[int, ...]]:
        """An operand that is a list of whole numbers, or one of them."""
        found = self._graph.integers(self._inputs[index])
        return None if found is None else tuple(int(item) for item in found.ravel())

    def number(self, index: int) -> Optional[int]:
        found = self.numbers(index)
        return found[0] if found is not None and len(found) == 1 else None

    def flag(self, name: str) -> bool:
        return name in self.node.attr and self.node.attr[name].b

    def integer(self, name: str) -> int:
        return int(self.node.attr[name].i) if name in self.node.attr else 0

    @property
    def channel_axis(self) -> int:
        """Of an image, as `data_format` says."""
        return 1 if attribute(self.node, "data_format").s.startswith(b"NC") else -1


def _check(names: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        _CHECKS.update((name, function) for name in re.findall(r"\w+", names))
        return function

    return register


def _differ(one: int, other: int) -> bool:
    return one >= 0 and other >= 0 and one != other


def _contradict(one: Shape, other: Shape) -> bool:
    if one is None or other is None:
        return False
    return len(one) != len(other) or any(_differ(first, second) for first, second in zip(one, other))


@_check("Reshape")
def _reshape(asked: _Asked) -> Optional[str]:
    shape, wanted = asked.shape(0), asked.numbers(1)
    if shape is None or wanted is None or product(shape) < 0:
        return None
    count, known = product(shape), product([size for size in wanted if size >= 0])
    fits = count == known if -1 not in wanted else known > 0 and count % known == 0
    return None if fits else "the {} elements of {} do not fill {}".format(count, written(shape), written(wanted))


@_check(_BROADCASTING)
def _elementwise(asked: _Asked) -> Optional[str]:
    first, second = asked.shape(0), asked.shape(1)
    if first is None or second is None or broadcast(first, second) is not None:
        return None
    return "it computes {} with {} element by element".format(written(first), written(second))


@_check("AddN Pack")
def _all_alike(asked: _Asked) -> Optional[str]:
    return _unlike(asked.shapes)


@_check("Select")
def _both_alike(asked: _Asked) -> Optional[str]:
    return _unlike(asked.shapes[1:])


def _unlike(shapes: Sequence[Shape]) -> Optional[str]:
    for shape in shapes[1:]:
        if _contradict(shapes[0], shape):
            return "its operands {} and {} must be alike".format(written(shapes[0]), written(shape))
    return None


@_check("ConcatV2 Concat")
def _joined(asked: _Asked) -> Optional[str]:
    at = 0 if asked.node.op == "Concat" else len(asked.shapes) - 1
    axis = asked.number(at)
    parts = [shape for index, shape in enumerate(asked.shapes) if index != at]
    if axis is None:
        return None
    others = [None if shape is None else _without(shape, axis) for shape in parts]
    for part, other in zip(parts, others):
        if _contradict(others[0], other):
            return "it joins {} and {} along axis {}".format(written(parts[0]), written(part), axis)
    return None


def _without(shape: Tuple[int, ...], axis: int) -> Tuple[int, ...]:
    place = axis_of(axis, len(shape))
    return shape if place is None else shape[:place] + shape[place + 1 :]


@_check("MatMul")
def _product(asked: _Asked) -> Optional[str]:
    return _multiplied(asked, "transpose_a", "transpose_b", 2)


@_check("BatchMatMul BatchMatMulV2 BatchMatMulV3")
def _batched_product(asked: _Asked) -> Optional[str]:
    return _multiplied(asked, "adj_x", "adj_y", 0)


def _multiplied(asked: _Asked, first_turned: str, second_turned: str, rank: int) -> Optional[str]:
    first, second = asked.shape(0), asked.shape(1)
    if first is None or second is None or min(len(first), len(second)) < 2:
        return None
    columns = first[-2] if asked.flag(first_turned) else first[-1]
    rows = second[-1] if asked.flag(second_turned) else second[-2]
    wrong_rank = rank and (len(first), len(second)) != (rank, rank)
    if not wrong_rank and not _differ(columns, rows):
        return None
    return "it multiplies the matrices {} and {}".format(written(first), written(second))


@_check(_IMAGE_OPERATIONS)
def _over_windows(asked: _Asked) -> Optional[str]:
    """Channels that fit the filter, and room for a window at least."""
    shape = asked.shape(0)
    if shape is None:
        return None
    if len(shape) != 4:
        return "it is for images of rank 4 and reads {}".format(written(shape))
    filters = asked.shape(1) if "Conv" in asked.node.op else None
    if filters is not None and len(filters) == 4 and _misfits(asked, shape[asked.channel_axis], filters[2]):
        return "its filter {} does not fit {}".format(written(filters), written(shape))
    if asked.result is not None and 0 in asked.result and 0 not in shape:
        return "{} has no room for a window".format(written(shape))
    return None


def _misfits(asked: _Asked, channels: int, depth: int) -> bool:
    grouped = asked.node.op == "Conv2D" and channels > 0 and depth > 0 and channels % depth == 0
    return not grouped and _differ(channels, depth)


@_check("BiasAdd FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3")
def _for_each_channel(asked: _Asked) -> Optional[str]:
    shape, vector = asked.shape(0), asked.shape(1)
    if not shape or len(shape) < 2 or vector is None or len(vector) != 1:
        return None
    if not _differ(shape[asked.channel_axis], vector[0]):
        return None
    return "it has {} numbers for the channels of {}".format(vector[0], written(shape))


@_check("Squeeze")
def _squeezed(asked: _Asked) -> Optional[str]:
    shape = asked.shape(0)
    if shape is None or "squeeze_dims" not in asked.node.attr:
        return None
    axes = attribute(asked.node, "squeeze_dims").list.i
    places = [axis_of(axis, len(shape)) for axis in axes]
    if all(place is not None and not _differ(shape[place], 1) for place in places):
        return None
    return "it drops the axes {} of {}, which must be of size 1".format(list(axes), written(shape))


@_check("Slice")
def _cut(asked: _Asked) -> Optional[str]:
    shape, begins, sizes = asked.shape(0), asked.numbers(1), asked.numbers(2)
    if shape is None or begins is None or sizes is None or not len(shape) == len(begins) == len(sizes):
        return None
    ends = [begin + max(size, 0) for begin, size in zip(begins, sizes)]
    if all(size < 0 or end <= size for size, end in zip(shape, ends)):
        return None
    return "it cuts {} from {} to {}".format(written(shape), list(begins), ends)


@_check("Split")
def _parted(asked: _Asked) -> Optional[str]:
    shape, axis, count = asked.shape(1), asked.number(0), asked.integer("num_split")
    place = None if shape is None or axis is None else axis_of(axis, len(shape))
    if shape is None or place is None or shape[place] < 0 or not count or shape[place] % count == 0:
        return None
    return "it parts axis {} of {} in {}".format(axis, written(shape), count)


@_check("SplitV")
def _parted_by_sizes(asked: _Asked) -> Optional[str]:
    shape, sizes, axis = asked.shape(0), asked.numbers(1), asked.number(2)
    place = None if shape is None or axis is None else axis_of(axis, len(shape))
    if shape is None or place is None or sizes is None or shape[place] < 0:
        return None
    total = sum(size for size in sizes if size >= 0)
    if total == shape[place] or (-1 in sizes and total <= shape[place]):
        return None
    return "it parts axis {} of {} in {}".format(axis, written(shape), list(sizes))


@_check("SpaceToDepth")
def _in_blocks(asked: _Asked) -> Optional[str]:
    shape, block = asked.shape(0), asked.integer("block_size")
    if shape is None or len(shape) != 4 or block < 1:
        return None
    sides = shape[2:] if asked.channel_axis == 1 else shape[1:3]
    if all(size < 0 or size % block == 0 for size in sides):
        return None
    return "{} does not part in blocks of {} x {}".format(written(shape), block, block)


@_check("SpaceToBatchND")
def _in_batches(asked: _Asked) -> Optional[str]:
    shape, blocks, pads = asked.shape(0), asked.numbers(1), asked.numbers(2)
    if shape is None or blocks is None or pads is None or len(shape) < 1 + len(blocks):
        return None
    sides = [
        -1 if size < 0 else size + pads[2 * at] + pads[2 * at + 1] for at, size in enumerate(shape[1 : 1 + len(blocks)])
    ]
    if all(size < 0 or size % block == 0 for size, block in zip(sides, blocks)):
        return None
    return "{}, padded, does not part in blocks of {}".format(written(shape), list(blocks))


@_check("EnsureShape PlaceholderWithDefault")
def _declared(asked: _Asked) -> Optional[str]:
    if "shape" not in asked.node.attr or not _contradict(asked.shape(0), _shape_attribute(asked.node)):
        return None
    return "it is declared to be {} and reads {}".format(written(_shape_attribute(asked.node)), written(asked.shape(0)))


def _shape_attribute(node: NodeDef) -> Shape:
    return tensors.decode_shape(node.attr["shape"].shape)
