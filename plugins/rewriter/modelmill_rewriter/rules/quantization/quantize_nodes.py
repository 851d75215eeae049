"""Float operations computed in 8 bits, where TensorFlow has an 8-bit operation for it.

    y = Conv2D(x, w)  ->  y = Dequantize(Requantize(QuantizedConv2D(Quantize(x), codes of w), its range))

Constants are quantised here, over the range from their smallest to their largest element and 0. Everything else is
quantised where it comes from a float operation, over the range that is measured when the model runs, and read in 8 bits
where it comes from an 8-bit one; each tensor once, however many read it. A result of 32 bits is made 8 again, over

- the range of a FakeQuantWithMinMaxVars or -Args behind it, also one behind further operations that a range commutes
  with (Relu, Relu6, MaxPool, Reshape): that FakeQuant has then done its work and goes;
- else fallback_min to fallback_max, where they are given;
- else the range that RequantizationRange measures.

With input_min and input_max, float Placeholders take codes of that range instead of floats.

What is computed differs by the steps of 8 bits. Against TransformGraph: its constants go through QuantizeV2 when the
model runs, which never takes less than a hundredth for a range; the codes of constants with smaller elements are finer
here. Dilated and NCHW convolutions, which have no 8-bit form, stay as they are.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, NamedTuple, Optional, Set, Tuple

import numpy as np
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter._order import topological_order
from modelmill_rewriter.rules.quantization._about_eight_bits import (
    FLOAT,
    INT32,
    LOW_PRECISION,
    QINT32,
    QUINT8,
    EightBit,
    constant_nodes,
    dequantize,
    nudged,
    quantize,
    range_of,
    scalar,
)
from modelmill_rewriter.rules.quantization._about_quantized_operations import (
    FORMS,
    axis_of,
    quantized_inputs,
    reason_against,
)
from modelmill_rewriter.rules_api import (
    Firing,
    GraphIndex,
    Pass,
    Refusal,
    Report,
    Target,
    Tensor,
    argument,
    places,
    set_attribute,
)

#: A range that holds behind one of these, for 8-bit codes, holds before it as well.
_COMMUTING = ("Relu", "Relu6", "MaxPool", "Reshape")
_FAKE_QUANT = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs")


class _Range(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class QuantizeNodes(Pass):
    """Operations in 8 bits where TensorFlow has such."""

    name: ClassVar[str] = "quantize_nodes"
    summary: ClassVar[str] = "Computes in 8 bits what TensorFlow has 8-bit operations for."
    expected_error: ClassVar[float] = LOW_PRECISION

    input_min: Optional[float] = argument(None, "The lowest value of the inputs, which then take 8-bit codes.")
    input_max: Optional[float] = argument(None, "The highest value of the inputs.")
    fallback_min: Optional[float] = argument(None, "The lowest value of results whose range is not known.")
    fallback_max: Optional[float] = argument(None, "The highest value of results whose range is not known.")
    ignore_op: Tuple[str, ...] = argument((), "An operation to leave in floats.")

    @property
    def changes_interface(self) -> bool:  # type: ignore[override]
        """Whether the inputs get another type."""
        return self.input_min is not None

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Quantise operation by operation, producers first. Raises StepError INVALID_OPTION for half a range."""
        del target
        inputs = self._range("input_min", self.input_min, "input_max", self.input_max)
        fallback = self._range("fallback_min", self.fallback_min, "fallback_max", self.fallback_max)
        conversion = _Conversion(graph, fallback, self.ignore_op)
        if inputs is not None:
            conversion.quantize_inputs(inputs)
        conversion.quantize_operations()
        return Report(self.name, tuple(conversion.fired), tuple(conversion.refused))

    def _range(self, low: str, minimum: Optional[float], high: str, maximum: Optional[float]) -> Optional[_Range]:
        if minimum is None and maximum is None:
            return None
        if minimum is None or maximum is None or not minimum < maximum:
            raise StepError(
                "INVALID_OPTION",
                "The options {} and {} of the rule quantize_nodes make a range: give both, the first the "
                "smaller.".format(low, high),
                {"rule": self.name, "options": [low, high], "values": [minimum, maximum]},
            )
        return _Range(minimum, maximum)


class _Conversion:
    """One run over one graph."""

    def __init__(self, graph: GraphIndex, fallback: Optional[_Range], ignored: Tuple[str, ...]) -> None:
        self.fired: List[Firing] = []
        self.refused: List[Refusal] = []
        self._graph = graph
        self._fallback = fallback
        self._ignored = ignored
        self._eight: Dict[Tensor, EightBit] = {}
        #: Constants that many nodes share, by what they hold.
        self._shared: Dict[object, Tensor] = {}
        #: The nodes that are being made for the next operation.
        self._new: List[NodeDef] = []
        self._taken: Set[str] = set()
        self._ranges: Dict[str, _Range] = {}
        self._shapes: Dict[Tensor, Optional[Tuple[int, ...]]] = {}

    # -- the inputs --------------------------------------------------------------------------------------------------

    def quantize_inputs(self, given: _Range) -> None:
        """Let float Placeholders take codes, which a Dequantize makes floats of for those who read them."""
        for name in self._graph.nodes_with("Placeholder"):
            if self._graph.dtype(Tensor(name)) != FLOAT:
                continue
            if Tensor(name) in self._graph.interface.outputs:
                self.refused.append(Refusal(name, "it is an output of the model as well"))
                continue
            readers = self._graph.consumers(name)
            low = self._constant(name + "_eightbit/min", given.low)
            high = self._constant(name + "_eightbit/max", given.high)
            floats = dequantize(self._name(name + "_eightbit/dequantize"), EightBit(Tensor(name), low, high))
            self._new.append(floats)
            made = self._flush(beside=name)
            for reader in readers:
                spellings = [
                    floats.name if entry in (name, name + ":0") else entry for entry in self._graph.node(reader).input
                ]
                self._graph.set_inputs(reader, spellings)
            set_attribute(self._graph.edit(name), "dtype", QUINT8)
            self.fired.append(Firing((name,), (name,) + made))

    # -- the operations ----------------------------------------------------------------------------------------------

    def quantize_operations(self) -> None:
        """Everything that has an 8-bit form and no reason against it."""
        graph = self._graph
        order = topological_order({name: graph.node(name) for name in graph.names()})[0]
        in_use = [name for name in order if graph.consumers(name)]
        chosen = self._chosen(order)
        self._shapes = {
            tensor: graph.shape(tensor) for name in chosen for tensor in quantized_inputs(graph, graph.node(name))
        }
        moved = self._moved_ranges(order, chosen)
        for name in order:
            node = graph.node(name)
            if node.op == "Dequantize" and _is_eight_bit(node):
                self._eight[Tensor(name)] = EightBit(*graph.data_inputs(name))
            elif name in moved:
                self._replace_fake_quant(name, moved[name])
            elif name in chosen:
                self._replace(node)
        graph.remove_unused(in_use)

    def _chosen(self, order: List[str]) -> Set[str]:
        graph = self._graph
        inside = places(graph)
        chosen: Set[str] = set()
        for name in order:
            node = graph.node(name)
            if node.op == "Conv2DBackpropInput":
                self.refused.append(Refusal(name, "TensorFlow has no 8-bit kernel for a transposed convolution"))
            if node.op not in FORMS or node.op in self._ignored or graph.is_fed(name):
                continue
            if all(graph.constant(tensor) is not None for tensor in quantized_inputs(graph, node)):
                continue  # It is arithmetic of constants, which is done before the model runs.
            reason = reason_against(graph, node)
            if name in inside:
                reason = "it lies inside a loop or a condition, where new constants cannot be read"
            if reason:
                self.refused.append(Refusal(name, reason))
            else:
                chosen.add(name)
        return chosen

    def _moved_ranges(self, order: List[str], chosen: Set[str]) -> Dict[str, Tensor]:
        """The FakeQuant nodes whose range a 32-bit result can get, with the tensor that takes each one's place.

        Takes note of the ranges.
        """
        moved: Dict[str, Tensor] = {}
        for name in order:
            given = self._fake_quant_range(name)
            if given is None:
                continue
            end = self._graph.seen_through(self._graph.data_inputs(name)[0])
            source = self._source_of_range(name, chosen)
            if source and source not in self._ranges:
                self._ranges[source] = given
                moved[name] = end
        return moved

    def _source_of_range(self, name: str, chosen: Set[str]) -> str:
        """The node that gives the 32-bit result behind which the FakeQuant stands; empty where there is none."""
        reader = name
        tensor = self._graph.data_inputs(name)[0]
        while tensor.output == 0 and self._graph.consumers(tensor.node) == (reader,):
            node = self._graph.node(tensor.node)
            if node.name in self._graph.kept:
                return ""
            if node.name in chosen and FORMS[node.op].wide:
                return str(node.name)
            if not self._graph.forwards(tensor) and not (node.name in chosen and node.op in _COMMUTING):
                return ""
            reader, tensor = node.name, self._graph.data_inputs(node.name)[0]
        return ""

    def _fake_quant_range(self, name: str) -> Optional[_Range]:
        """The range of a FakeQuant node of 8 bits, where it is constant and holds 0; None for other nodes."""
        node = self._graph.node(name)
        if node.op not in _FAKE_QUANT or ("narrow_range" in node.attr and node.attr["narrow_range"].b):
            return None
        if "num_bits" in node.attr and node.attr["num_bits"].i != 8:
            return None
        if node.op == "FakeQuantWithMinMaxArgs":
            low = float(node.attr["min"].f) if "min" in node.attr else -6.0
            high = float(node.attr["max"].f) if "max" in node.attr else 6.0
        else:
            values = [self._graph.constant(tensor) for tensor in self._graph.data_inputs(name)[1:]]
            if any(value is None or value.size != 1 for value in values):
                return None
            low, high = (float(value.reshape(-1)[0]) for value in values if value is not None)
        return _Range(*nudged(low, high)) if low <= 0 <= high and low < high else None

    # -- making nodes ------------------------------------------------------------------------------------------------

    def _replace(self, node: NodeDef) -> None:
        graph, name, form = self._graph, str(node.name), FORMS[node.op]
        values = [self._in_eight_bits(tensor) for tensor in quantized_inputs(graph, node)]
        made = graph_def.new_node(self._name(name + "/eightbit"), form.operation, self._inputs(node, values))
        made.input.extend("^" + awaited for awaited in graph.control_inputs(name))
        for key in form.copied:
            if key in node.attr:
                made.attr[key].CopyFrom(node.attr[key])
        for key, kind in form.types.items():
            set_attribute(made, key, kind)
        self._new.append(made)
        result = _outputs(made.name)
        if form.wide:
            result = self._requantized(made.name, result, self._ranges.get(name, self._fallback))
        self._new.append(dequantize(name, result))
        for new in self._new:
            new.device = node.device
        after = tuple(new.name for new in self._new)
        graph.replace(name, self._new)
        self._new = []
        self._eight[Tensor(name)] = result
        self.fired.append(Firing((name,), after))

    def _inputs(self, node: NodeDef, values: List[EightBit]) -> Tuple[str, ...]:
        """Codes and plain inputs in the operation's order, then the ranges."""
        codes = [str(value.codes) for value in values]
        if node.op in ("Concat", "ConcatV2"):
            axis = axis_of(self._graph, node)
            assert axis is not None  # `reason_against` has seen to it.
            lows, highs = [str(value.low) for value in values], [str(value.high) for value in values]
            return (str(self._whole_numbers("axis", np.int32(axis))), *codes, *lows, *highs)
        plain = [str(tensor) for tensor in self._graph.data_inputs(node.name)[len(values) :]]
        ranges = [str(tensor) for value in values for tensor in (value.low, value.high)]
        return (*codes, *plain, *ranges)

    def _requantized(self, name: str, wide: EightBit, given: Optional[_Range]) -> EightBit:
        """The nodes that make 8 bits of 32, over a given range or the one that is measured."""
        if given is not None:
            low = self._constant("eightbit/requantize_min", given.low)
            high = self._constant("eightbit/requantize_max", given.high)
        else:
            measured = graph_def.new_node(
                self._name(name + "/requant_range"), "RequantizationRange", tuple(str(tensor) for tensor in wide)
            )
            set_attribute(measured, "Tinput", QINT32)
            self._new.append(measured)
            low, high = Tensor(measured.name), Tensor(measured.name, 1)
        inputs = tuple(str(tensor) for tensor in (*wide, low, high))
        made = graph_def.new_node(self._name(name + "/requantize"), "Requantize", inputs)
        set_attribute(made, "Tinput", QINT32)
        set_attribute(made, "out_type", QUINT8)
        self._new.append(made)
        return _outputs(made.name)

    def _in_eight_bits(self, tensor: Tensor) -> EightBit:
        """The tensor as codes, which it is already or is made here; every tensor once."""
        tensor = self._graph.seen_through(tensor)
        if tensor not in self._eight:
            given = self._fake_quant_range(tensor.node) if tensor.output == 0 else None
            behind = self._graph.data_inputs(tensor.node)[0] if given else tensor
            value = self._graph.constant(behind)
            if value is not None and np.all(np.isfinite(value)):
                self._eight[tensor] = self._constant_in_eight_bits(tensor, value, given)
            else:
                self._eight[tensor] = self._quantized(tensor, behind, given)
        return self._eight[tensor]

    def _constant_in_eight_bits(self, tensor: Tensor, value: np.ndarray, given: Optional[_Range]) -> EightBit:
        value = np.asarray(value, np.float32)
        low, high = (np.float32(given.low), np.float32(given.high)) if given else range_of(value)
        nodes = constant_nodes(tensor.node, value, low, high)
        for node in nodes:
            node.name = self._name(node.name)
        self._new.extend(nodes)
        return EightBit(*(Tensor(node.name) for node in nodes))

    def _quantized(self, tensor: Tensor, behind: Tensor, given: Optional[_Range]) -> EightBit:
        """The nodes that quantise what a float operation computes, over a given range or the one that is measured."""
        prefix = tensor.node + "_eightbit" + ("/port_{}".format(tensor.output) if tensor.output else "")
        if given is not None:
            low, high = self._constant(prefix + "/min", given.low), self._constant(prefix + "/max", given.high)
        else:
            low, high = self._measured(prefix, tensor)
        made = quantize(self._name(prefix + "/quantize"), behind, low, high)
        self._new.append(made)
        return _outputs(made.name)

    def _measured(self, prefix: str, tensor: Tensor) -> Tuple[Tensor, Tensor]:
        """The nodes that find the smallest and the largest element."""
        shape = self._shapes.get(tensor)
        if shape is None:
            axes = self._all_axes(prefix, tensor)
        else:
            axes = self._whole_numbers("axes", np.arange(len(shape), dtype=np.int32))
        ends = []
        for operation in ("Min", "Max"):
            end = graph_def.new_node(self._name(prefix + "/" + operation.lower()), operation, (str(tensor), str(axes)))
            set_attribute(end, "T", FLOAT)
            set_attribute(end, "keep_dims", False)
            self._new.append(end)
            ends.append(Tensor(end.name))
        return ends[0], ends[1]

    def _all_axes(self, prefix: str, tensor: Tensor) -> Tensor:
        """The axes of a tensor whose rank is not known, as nodes that count them when the model runs."""
        rank = graph_def.new_node(self._name(prefix + "/rank"), "Rank", (str(tensor),))
        set_attribute(rank, "T", FLOAT)
        first, step = self._whole_numbers("first", np.int32(0)), self._whole_numbers("step", np.int32(1))
        axes = graph_def.new_node(self._name(prefix + "/axes"), "Range", (str(first), rank.name, str(step)))
        set_attribute(axes, "Tidx", INT32)
        self._new.extend([rank, axes])
        return Tensor(axes.name)

    def _replace_fake_quant(self, name: str, end: Tensor) -> None:
        """What reads the FakeQuant reads the 8-bit result behind which it stood."""
        value = self._eight[end]
        floats = dequantize(name, value)
        floats.input.extend("^" + awaited for awaited in self._graph.control_inputs(name))
        floats.device = self._graph.node(name).device
        self._graph.replace(name, [floats])
        self._eight[Tensor(name)] = value
        self.fired.append(Firing((name,), (name,)))

    def _constant(self, name: str, value: float) -> Tensor:
        """A scalar; one for every value."""
        key = ("scalar", value)
        if key not in self._shared:
            node = scalar(self._name(name), value)
            self._new.append(node)
            self._shared[key] = Tensor(node.name)
        return self._shared[key]

    def _whole_numbers(self, what: str, value: np.ndarray) -> Tensor:
        """An int32 constant that says where; one for every value."""
        key = (what, value.shape, value.tobytes())
        if key not in self._shared:
            node = graph_def.new_constant(self._name("eightbit/" + what), np.asarray(value))
            self._new.append(node)
            self._shared[key] = Tensor(node.name)
        return self._shared[key]

    def _name(self, wanted: str) -> str:
        name = self._graph.unused_name(wanted, self._taken)
        self._taken.add(name)
        return name

    def _flush(self, beside: str) -> Tuple[str, ...]:
        """Add what was made to the graph."""
        made = tuple(node.name for node in self._new)
        self._graph.add(self._new, beside)
        self._new = []
        return made


def _outputs(name: str) -> EightBit:
    return EightBit(Tensor(name), Tensor(name, 1), Tensor(name, 2))


def _is_eight_bit(node: NodeDef) -> bool:
    """Whether a Dequantize makes its floats of codes as the 8-bit operations here understand them."""
    return node.attr["T"].type == QUINT8 and "mode" in node.attr and node.attr["mode"].s == b"MIN_FIRST"
