"""What is the same whenever the model runs, computed once.

    f(c1, c2, ...)  ->  the constant f(c1, c2, ...)
    shape(x)        ->  the constant [n, h, w, c], where the shapes of the graph tell it
    identity(c)     ->  c

where nothing is fed to f, it waits for nothing, and `_kernels` computes it: so nothing random and nothing with a state.
What follows from shapes may follow from a part of one: shape(x)[1:3] is constant though the batch is not.

Left alone are nodes inside TensorFlow 1's loops and conditions, where being there says whether a node runs; and fake
quantisation, which says in which range a converter quantises.

A constant of more than `largest_bytes` is not made, which are those that TensorFlow's own folding stops at (10 MiB,
tensorflow/core/common_runtime/constant_folding.cc), unless it takes the place of constants that are as large: fill and
tile make much of a few bytes, and a graph ends at 2 GB. All together add ten times that at most.

Integers, sums, differences, products and what only moves elements are TensorFlow's to the bit; other floats differ by
what rounding does.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, FrozenSet, List, Optional, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, op_versions_table
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef, node_name

from modelmill_rewriter._kernels import OPERATIONS, ComputationError, TooLargeError, compute, result_type
from modelmill_rewriter._operations import FORWARDING
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
)

#: They hand on their only input; a PlaceholderWithDefault does where nobody feeds it.
_HANDING_ON = FORWARDING | frozenset(["PlaceholderWithDefault"])
_WIDTHS = {3: np.int32, 9: np.int64}


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Computes what does not depend on the model's inputs."""

    name: ClassVar[str] = "fold_constants"
    summary: ClassVar[str] = "Computes what is the same whenever the model runs, once."

    ignore_errors: bool = argument(True, "Leave what cannot be computed as it is, and say so, rather than stop.")
    clear_output_shapes: bool = argument(True, "Remove the attribute _output_shapes, which may be out of date.")
    largest_bytes: int = argument(10 * 2**20, "How large a new constant may be, in bytes.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Walk from the constants downwards."""
        del target
        cleared = _clear_output_shapes(graph) if self.clear_output_shapes else ()
        folding = _Folding(graph, self)
        folding.walk()
        firings = folding.firings + ([Firing(cleared, cleared)] if cleared else [])
        return Report(self.name, tuple(firings), tuple(folding.refused))


def _clear_output_shapes(graph: GraphIndex) -> Tuple[str, ...]:
    found = tuple(name for name in graph.names() if "_output_shapes" in graph.node(name).attr)
    for name in found:
        del graph.edit(name).attr["_output_shapes"]
    if found:
        graph.forget_shapes()
    return found


class _Folding:
    """One walk, producers first. A value is held until all who read it have been met, and then written or let go."""

    def __init__(self, graph: GraphIndex, options: FoldConstants) -> None:
        self._graph = graph
        self._options = options
        self._places = places(graph)
        self._uncertain = _behind_fed_nodes(graph)
        #: The values of nodes that are to be folded, while somebody who reads them is still to come.
        self._values: Dict[str, Tuple[np.ndarray, ...]] = {}
        #: How many of those who read or await a node to be folded are still to come.
        self._to_come: Dict[str, int] = {}
        self._folded: Set[str] = set()
        #: What folded nodes are computed from, and what has been told in a firing.
        self._sources: Dict[str, Tuple[str, ...]] = {}
        self._told: Set[str] = set()
        self._growth = 0
        self.firings: List[Firing] = []
        self.refused: List[Refusal] = []

    def walk(self) -> None:
        """Fold all that can be folded."""
        for name in self._graph.in_data_order(self._graph.names()):
            self._visit(name)
        used = dict.fromkeys(source for folded in self._folded for source in self._sources[folded])
        for source in used:
            if source not in self._folded and self._is_const(source):
                self._forget_who_waits(source)
        self._graph.remove_unused([*self._folded, *used])

    def _visit(self, name: str) -> None:
        producers = dict.fromkeys(node_name(entry) for entry in self._graph.node(name).input)
        if self._hands_on_a_constant(name):
            self._bypass(name)
            return
        if self._waits_for_constants_only(name):
            self._graph.set_inputs(name, ())
            self.firings.append(Firing((name, *producers), (name,)))
        values = self._value_of(name)
        if values is not None:
            self._folded.add(name)
            self._sources[name] = tuple(producers)
            self._values[name] = values
            self._to_come[name] = len(self._graph.consumers(name))
        for producer in producers:
            self._met(producer, 1)
        if values is not None and not self._to_come[name]:
            self._finish(name)

    # -- what is constant --------------------------------------------------------------------------------------------

    def _is_constant(self, name: str) -> bool:
        """Whether all that a node gives out is known: it is to be folded, or a Const that is not fed."""
        return name in self._folded or self._is_const(name)

    def _is_const(self, name: str) -> bool:
        node = self._graph.node(name)
        return node.op == "Const" and not node.input and name not in self._places and not self._graph.is_fed(name)

    def _array(self, tensor: Tensor) -> Optional[np.ndarray]:
        if tensor.node in self._values:
            outputs = self._values[tensor.node]
            return outputs[tensor.output] if tensor.output < len(outputs) else None
        return self._graph.array(tensor.node) if self._is_const(tensor.node) else None

    def _hands_on_a_constant(self, name: str) -> bool:
        """Whether whoever reads the node can as well read what it reads."""
        node = self._graph.node(name)
        if node.op not in _HANDING_ON or name in self._graph.kept or name in self._places:
            return False
        if not self._graph.consumers(name):
            return False
        return all(self._is_constant(node_name(entry)) for entry in node.input)

    def _waits_for_constants_only(self, name: str) -> bool:
        """Whether the node is a Const that waits for what is there from the start."""
        node = self._graph.node(name)
        if node.op != "Const" or not node.input or name in self._places:
            return False
        return all(self._is_constant(node_name(entry)) for entry in node.input)

    def _is_done(self, node: NodeDef) -> bool:
        """Whether the node is an output of the model that only hands on a Const."""
        return node.op in _HANDING_ON and self._is_const(node_name(node.input[0]))

    def _value_of(self, name: str) -> Optional[Tuple[np.ndarray, ...]]:
        """The values of a node that is to be folded."""
        node = self._graph.node(name)
        if node.op == "Const" or not node.input or self._graph.is_fed(name) or self._is_done(node):
            return None
        operands = self._operands(name)
        known = self._known_by_shapes(node) if operands is None and name not in self._uncertain else None
        if operands is None and known is None:
            return None
        reason = self._objection(node)
        if reason is None and operands is None:
            return known
        if reason is None:
            try:
                return self._computed(node, operands or [])
            except ComputationError as error:
                self._require_no_error(node, error)
                reason = str(error)
        self.refused.append(Refusal(name, reason))
        return None

    def _operands(self, name: str) -> Optional[List[np.ndarray]]:
        """What a node reads, where it reads something and all of it is constant."""
        read = self._graph.data_inputs(name)
        if not all(self._is_constant(tensor.node) for tensor in read):
            return None  # Before any constant is decoded, which takes memory.
        operands = []
        for tensor in read:
            array = self._array(tensor)
            if array is None:
                return None
            operands.append(array)
        return operands or None

    def _known_by_shapes(self, node: NodeDef) -> Optional[Tuple[np.ndarray, ...]]:
        if node.op not in OPERATIONS or node.name in self._places:
            return None
        found = []
        for output in range(len(node.input) if node.op == "ShapeN" else 1):
            tensor = Tensor(node.name, output)
            value = self._graph.integers(tensor)
            width = _WIDTHS.get(self._graph.dtype(tensor))
            if value is None or width is None:
                return None
            found.append(value.astype(width))
        return tuple(found)

    def _objection(self, node: NodeDef) -> Optional[str]:
        """Why a node of which all is known stays as it is; None where nothing stands against folding it."""
        awaited = [other for other in self._graph.control_inputs(node.name) if not self._is_constant(other)]
        if node.name in self._places:
            return "it lies inside a loop or a condition"
        if node.op.startswith("FakeQuant") or node.op.startswith("QuantizeAndDequantize"):
            return "it tells a converter in which range to quantise"
        if node.op not in OPERATIONS:
            return _why_unknown(node.op)
        if any(tensor.node == node.name and tensor.output for tensor in self._graph.interface.outputs):
            return "another output of it than the first is an output of the model"
        if awaited:
            return "it waits for {}".format(", ".join(awaited))
        return None

    def _computed(self, node: NodeDef, operands: List[np.ndarray]) -> Tuple[np.ndarray, ...]:
        read = sum(operand.nbytes for operand in operands)
        largest = self._options.largest_bytes
        alone = all(len(self._graph.consumers(tensor.node)) == 1 for tensor in self._graph.data_inputs(node.name))
        results = compute(node, operands, max(largest, read) if alone else largest)
        size = sum(result.nbytes for result in results)
        if size > max(largest, read if alone else 0):
            raise TooLargeError(
                "its value would take {:,} bytes, and no constant of more than {:,} is made".format(size, largest)
            )
        growth = max(0, size - read)
        if self._growth + growth > 10 * largest:
            raise TooLargeError("folding has made the graph {:,} bytes larger, which is enough".format(self._growth))
        self._growth += growth
        return results

    def _require_no_error(self, node: NodeDef, error: ComputationError) -> None:
        if self._options.ignore_errors or isinstance(error, TooLargeError):
            return
        raise StepError(
            "FOLDING_FAILED",
            "{} ({}) reads constants only and cannot be computed: {}. Mend the graph, or leave the node as it is with "
            "fold_constants(ignore_errors=true).".format(node.name, node.op, error),
            {"node": node.name, "operation": node.op},
        )

    # -- what is changed ---------------------------------------------------------------------------------------------

    def _bypass(self, name: str) -> None:
        """Let whoever reads or awaits a node that hands on a constant read or await the constant."""
        source = self._graph.data_inputs(name)[0]
        awaited = self._graph.control_inputs(name)
        before = len(self._graph.consumers(source.node))
        self._graph.redirect(name, source)
        self._graph.set_inputs(name, ())  # What it read or awaited may be counted yet, and stays until the end.
        self._graph.remove_unused([name])
        self._met(source.node, before - len(self._graph.consumers(source.node)))
        for other in awaited:
            if other != source.node:
                self._met(other, 1)
        self.firings.append(Firing((name,), ()))

    def _met(self, name: str, readers: int) -> None:
        """Count those who read or await a node as met; a negative number has been added."""
        if name in self._to_come:
            self._to_come[name] -= readers
            if not self._to_come[name]:
                self._finish(name)

    def _finish(self, name: str) -> None:
        """Write what is read of a node to be folded as constants, and let go of its values."""
        values = self._values.pop(name)
        del self._to_come[name]
        self._forget_who_waits(name)
        read = self._read_outputs(name)
        if not read:
            return
        before = self._untold(name)
        made = [self._write(name, output, values[output]) for output in sorted(read, reverse=True)]
        self.firings.append(Firing(before, tuple(reversed(made))))

    def _forget_who_waits(self, name: str) -> None:
        """Waiting for a constant orders nothing; but inside a loop or a condition it says where a node belongs."""
        for consumer in self._graph.consumers(name):
            entries = self._graph.node(consumer).input
            if "^" + name in entries and consumer not in self._places:
                self._graph.set_inputs(consumer, [entry for entry in entries if entry != "^" + name])

    def _read_outputs(self, name: str) -> FrozenSet[int]:
        """The outputs that are needed as constants; the first one where somebody waits for the node."""
        read = {0} if name in self._graph.kept or self._graph.has_control_consumers(name) else set()
        for consumer in self._graph.consumers(name):
            if consumer not in self._folded:
                read.update(tensor.output for tensor in self._graph.data_inputs(consumer) if tensor.node == name)
        return frozenset(read)

    def _write(self, name: str, output: int, value: np.ndarray) -> str:
        node = self._graph.node(name)
        wanted = name if output == 0 else self._graph.unused_name("{}/output_{}".format(name, output))
        made = graph_def.new_constant(wanted, value, result_type(node, output, value))
        made.device = node.device
        if output == 0:
            self._graph.replace(name, [made])
        else:
            self._graph.add([made], beside=name)
            self._graph.redirect_tensor(Tensor(name, output), Tensor(wanted))
        return wanted

    def _untold(self, name: str) -> Tuple[str, ...]:
        """The node and the folded nodes and constants that it is computed of, each told once."""
        found = [name]
        for other in found:  # grows while it is walked
            for source in self._sources.get(other, ()):
                if source not in self._told and (source in self._folded or source in self._graph):
                    self._told.add(source)
                    found.append(source)
        return tuple(found)


def _why_unknown(operation: str) -> str:
    definitions = [definition for definition in op_versions_table.table().history(operation) if definition is not None]
    if any(definition.stateful for definition in definitions):
        return "{} may give something else each time".format(operation)
    return "nothing here computes {}".format(operation)


def _behind_fed_nodes(graph: GraphIndex) -> FrozenSet[str]:
    """What may come out otherwise than the graph says, as something else than a Placeholder is fed above it."""
    waiting = [tensor.node for tensor in graph.interface.inputs if graph.node(tensor.node).op != "Placeholder"]
    found = set(waiting)
    while waiting:
        for consumer in graph.consumers(waiting.pop()):
            if consumer not in found:
                found.add(consumer)
                waiting.append(consumer)
    return frozenset(found)
