"""Every tensor of a graph that was trained for quantisation gets the range that a conversion to uint8 asks for.

    t, given out by the model, read by fake_quant(t)   -> fake_quant(t), given out under t's name
    t, of which a range is told or follows             -> fake_quant(t), read by whoever read t

TOCO ends with "Array t does not have MinMax information, and is not a constant array", or "Array t, which is an input
to the ... operator ..., is lacking min/max data", where a tensor has no fake quantisation behind it. Training puts one
behind an output too, but what was frozen to give out the tensor itself does not reach it.

Where a range comes from, the first that there is:

- the option `range`, which also takes the place of what the graph says; the target `ranges` measures what to give;
- the one fake quantisation that the tensor goes into, or all of them where they agree;
- the operation: a relu6 gives [0, 6], or less where what it reads is known to end before; a relu, what of the range
  that it reads lies above 0;
- what is read, by an operation that selects elements, averages them or joins them (Reshape, MaxPool, Pad, ConcatV2,
  ResizeNearestNeighbor, AvgPool, ...), and what is given out, by one that selects, for what only it reads.

No range is made up: a tensor of which none is told is left alone, and the reason says how to give one.

What needs none: what converters fuse into the operation behind it (a convolution before its bias or activation), and
what they work out themselves (TOCO since 1.9: behind Reshape, ConcatV2, MaxPool, Softmax, ...). An input may have its
range told to the converter instead.

Numbers change, by at most half a step of the range, (high - low) / 510 with 8 bits, within the range, and what lies
outside is cut off: as the uint8 model does it. Nothing changes where the tensor was quantised already and elements
were only selected since. A graph without fake quantisation of activations is left alone unless ranges are given.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Set, Tuple

from modelmill_worker import tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef, new_graph, node_name

from modelmill_rewriter._control_flow import OUTSIDE, places
from modelmill_rewriter._operations import FORWARDING
from modelmill_rewriter._order import topological_order
from modelmill_rewriter._tensor import parse_tensor
from modelmill_rewriter.rules.quantization._about_fake_quant import FAKE_QUANT, Range, fake_quant_nodes, nudged
from modelmill_rewriter.rules.quantization._about_known_ranges import (
    FIXED,
    Ranges,
    known_ranges,
    readers_of,
    recorded,
)
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Refusal, Report, Target, Tensor, argument

_FLOAT32 = tensors.data_type_named("float32").number
#: What the oldest converter with a uint8 mode that works gives a range itself, from what it reads.
_WORKED_OUT = frozenset(
    ("AvgPool", "Concat", "ConcatV2", "Gather", "GatherV2", "MaxPool", "Mean", "Pad", "Reshape", "ResizeBilinear")
    + ("Slice", "Split", "Squeeze", "StridedSlice", "Transpose")
) | frozenset(FIXED)
_AFFINE = frozenset(("Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul"))
#: With a constant, they become part of the affine operation before them.
_FOLDED = frozenset(
    (
        "Add",
        "AddV2",
        "BiasAdd",
        "Div",
        "FusedBatchNorm",
        "FusedBatchNormV2",
        "FusedBatchNormV3",
        "Mul",
        "RealDiv",
        "Sub",
    )
)
_POOLING = frozenset(("AvgPool", "MaxPool"))
_ACTIVATIONS = frozenset(("Relu", "Relu6"))


@dataclass(frozen=True)
class RepairMinMax(Pass):
    """Puts fake quantisation behind the tensors that lack a range."""

    name: ClassVar[str] = "repair_min_max"
    summary: ClassVar[str] = "Gives every tensor of a quantisation-aware graph the range that uint8 conversion needs."

    ranges: Tuple[str, ...] = argument(
        (), "The range of a tensor, as its name, the smallest and the largest number: scores:-1:1.", name="range"
    )

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Find what lacks a range, then give those that are known, consumers before producers.

        Raises StepError INVALID_OPTION for a range that cannot be read or that is for no tensor of the graph.
        """
        del target
        given = dict(_given(graph, text) for text in self.ranges)
        order = _computed(graph)
        quantised = [name for name in graph.nodes_with(*FAKE_QUANT) if graph.data_inputs(name)[0].node in order]
        if not quantised and not given:
            return Report(self.name)
        ranges = known_ranges(graph, order, given)
        inside = places(graph)
        fired: List[Firing] = []
        refused: List[Refusal] = []
        for name in reversed(list(order)):
            for tensor in _lacking(graph, name, given):
                reason = _reason_why_not(graph, tensor, ranges, inside.get(name, OUTSIDE) != OUTSIDE)
                if reason:
                    refused.append(Refusal(name, reason))
                else:
                    fired.append(_give(graph, tensor, ranges[tensor]))
        return Report(self.name, tuple(fired[::-1]), tuple(refused[::-1]), _note(len(fired)))


def tensors_without_range(graph: GraphIndex) -> Tuple[Tensor, ...]:
    """The tensors that a conversion to uint8 needs a range of and of which nothing tells one, in the order of data."""
    order = _computed(graph)
    ranges = known_ranges(graph, order, {})
    inside = places(graph)
    lacking = [tensor for name in order for tensor in _lacking(graph, name, {})]
    return tuple(
        tensor
        for tensor in lacking
        if tensor not in ranges and not _reason_why_it_must_stay(graph, tensor, tensor.node in inside)
    )


def _note(count: int) -> str:
    if not count:
        return ""
    return (
        "{} tensor{} got a fake quantisation, which rounds numbers to the steps of a range and cuts off others.".format(
            count, "" if count == 1 else "s"
        )
    )


def _given(graph: GraphIndex, text: str) -> Tuple[Tensor, Range]:
    name, *ends = text.rsplit(":", 2)
    try:
        low, high = (float(end) for end in ends)
    except ValueError:
        raise _invalid(
            text, "write the tensor's name, the smallest and the largest number, such as scores:-1:1"
        ) from None
    span = nudged(low, high)
    if span is None or low > 0 or high < 0:
        raise _invalid(text, "a range goes from one number to a larger one, and 0 is in it")
    tensor = parse_tensor(name)
    if tensor.node not in graph:
        raise _invalid(text, "there is no node {!r} in the graph".format(tensor.node))
    if graph.node(tensor.node).op in FAKE_QUANT:
        tensor = graph.data_inputs(tensor.node)[0]
    return graph.seen_through(tensor), span


def _invalid(text: str, why: str) -> StepError:
    return StepError(
        "INVALID_OPTION",
        "The rule repair_min_max cannot use range={}: {}.".format(text, why),
        {"rule": RepairMinMax.name, "option": "range", "value": text},
    )


def _computed(graph: GraphIndex) -> Dict[str, None]:
    """The nodes whose values depend on the model's inputs and that an output or a fake quantisation needs, in order."""
    nodes = {name: graph.node(name) for name in graph.names()}
    needed: Set[str] = set()
    waiting = [*graph.kept, *graph.nodes_with(*FAKE_QUANT)]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting.extend(node_name(entry) for entry in nodes[name].input)
    found: Dict[str, None] = {}
    for name in topological_order(nodes)[0]:
        if name in needed and (graph.is_fed(name) or any(one.node in found for one in graph.data_inputs(name))):
            found[name] = None
    return found


def _lacking(graph: GraphIndex, name: str, given: Ranges) -> List[Tensor]:
    """The outputs of a node that stay tensors of the converted model, and have no range there."""
    node = graph.node(name)
    if node.op in FAKE_QUANT or (node.op in FORWARDING and not graph.is_fed(name)):
        return []
    read = {one for reader in graph.consumers(name) for one in graph.data_inputs(reader) if one.node == name}
    read.update(one for one in graph.interface.outputs if one.node == name)
    return sorted(one for one in read if graph.dtype(one) == _FLOAT32 and _lacks(graph, one, given))


def _lacks(graph: GraphIndex, tensor: Tensor, given: Ranges) -> bool:
    if tensor in given:
        return True
    readers = readers_of(graph, tensor)
    quantising = [reader for reader in readers if graph.node(reader).op in FAKE_QUANT]
    is_output = tensor in graph.interface.outputs
    if quantising and len(quantising) == len(readers) and not is_output:
        return False
    operation = graph.node(tensor.node).op
    if operation in _WORKED_OUT and not quantising:
        return False
    return is_output or len(readers) != 1 or not _is_absorbed(graph, tensor, readers[0])


def _is_absorbed(graph: GraphIndex, tensor: Tensor, reader: str) -> bool:
    """Whether the converter makes one operator of the node and its only reader."""
    operation, following = graph.node(tensor.node).op, graph.node(reader).op
    if following in _ACTIVATIONS:
        return operation in _AFFINE | _FOLDED | _POOLING
    if following not in _FOLDED or not _is_affine(graph, tensor):
        return False
    others = [one for one in graph.data_inputs(reader) if graph.seen_through(one) != tensor]
    return all(graph.constant(one) is not None for one in others)


def _is_affine(graph: GraphIndex, tensor: Tensor) -> bool:
    """Whether it is a convolution or product, with what is folded into it."""
    while graph.node(tensor.node).op in _FOLDED:
        operands = [one for one in graph.data_inputs(tensor.node) if graph.constant(one) is None]
        if len(operands) != 1:
            return False
        tensor = graph.seen_through(operands[0])
    return graph.node(tensor.node).op in _AFFINE


def _reason_why_not(graph: GraphIndex, tensor: Tensor, ranges: Ranges, inside: bool) -> str:
    reason = _reason_why_it_must_stay(graph, tensor, inside)
    return reason or ("" if tensor in ranges else _reason_why_unknown(graph, tensor))


def _reason_why_it_must_stay(graph: GraphIndex, tensor: Tensor, inside: bool) -> str:
    if inside:
        return "it lies inside a loop or a condition"
    if tensor.output and tensor in graph.interface.outputs:
        return "it is an output of the model, and not the first one of its node"
    return ""


def _reason_why_unknown(graph: GraphIndex, tensor: Tensor) -> str:
    option = "range={}:min:max".format(tensor)
    found = recorded(graph, tensor)
    for name, span in found:
        if span is None:
            return "the range of {!r} is not constant, or empty".format(name)
    if found:
        return "it goes into fake quantisations of different ranges; say which one holds with {}".format(option)
    if graph.is_fed(tensor.node):
        return "it is an input, and nothing tells its range; say it with {}, or with the converter's option {}".format(
            option, "input_stats"
        )
    return "nothing tells its range; give one with {}".format(option)


def _give(graph: GraphIndex, tensor: Tensor, span: Range) -> Firing:
    """A fake quantisation that everybody reads instead of the tensor; it takes over from those that were there."""
    old = recorded(graph, tensor)
    like = next((name for name, there in old if there == span), None)
    if graph.is_fed(tensor.node) or tensor.output:
        # It is an input, or not the first output of its node.
        nodes = _fake_quant(graph, graph.unused_name("{}/quantised".format(tensor.node)), tensor, span, like)
        graph.add(nodes, beside=tensor.node)
        graph.redirect_tensor(tensor, Tensor(nodes[-1].name))
        graph.set_inputs(nodes[-1].name, [str(tensor), *nodes[-1].input[1:]])
    else:
        # The new node has the name by which the tensor is known; the model may be used by it.
        plain = _copy(graph.node(tensor.node), graph.unused_name(tensor.node + "/unquantised"))
        nodes = [plain, *_fake_quant(graph, tensor.node, Tensor(plain.name), span, like)]
        graph.replace(tensor.node, nodes)
    for name, _ in old:
        if name not in graph.kept and not graph.control_inputs(name):
            graph.redirect(name, Tensor(nodes[-1].name))
            graph.remove_unused([name])
    return Firing((tensor.node, *(name for name, _ in old)), tuple(node.name for node in nodes))


def _fake_quant(graph: GraphIndex, name: str, reads: Tensor, span: Range, like: Optional[str]) -> List[NodeDef]:
    """The nodes of a fake quantisation; one that is like another has the very same range."""
    if like is None:
        return fake_quant_nodes(graph, name, reads, span)
    made = _copy(graph.node(like), name)
    made.input[:] = [str(reads), *map(str, graph.data_inputs(like)[1:])]
    return [made]


def _copy(node: NodeDef, name: str) -> NodeDef:
    made = new_graph().node.add()
    made.CopyFrom(node)
    made.name = name
    made.attr.pop("_class", None)
    return made
