"""A loop's iterations written out, one behind the other.

Every tensor of an iteration is either one of the graph or a value that is known beforehand: a counter, a bound, an
index. What steers the loop is known and disappears; what stays is what the loop computes. What is the same in each
iteration is there once.
"""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef, is_control, node_name
from modelmill_worker.op_versions_table import table

from modelmill_rewriter._operations import FORWARDING, WATCHING
from modelmill_rewriter._tensor import parse_tensor, split_inputs
from modelmill_rewriter.rules.loops._about_loops import Loop, StaysALoop
from modelmill_rewriter.rules.loops._about_small_values import SmallValues, computed
from modelmill_rewriter.rules_api import GraphIndex, Tensor

#: Stateful by TensorFlow's definition, but what they read and write is in the graph for all to see.
_STATE_IN_THE_GRAPH = ("TensorArray", "LookupTable", "HashTable")
#: Stateful only where their functions are.
_CALLING = frozenset(["If", "While", "Case", "StatefulPartitionedCall", "PartitionedCall", "StatelessIf"])


@dataclass(frozen=True)
class _Held:
    """What a tensor of the loop is in one iteration: a tensor of the graph, a known value, or both."""

    tensor: Optional[Tensor] = None
    array: Optional[np.ndarray] = None

    @property
    def key(self) -> Tuple[object, ...]:
        """Equal for what is the same."""
        if self.array is None:
            return (self.tensor,)
        return (self.array.dtype.str, self.array.shape, self.array.tobytes())


class Counting:
    """Finds out how often a loop runs, by computing its condition and nothing else."""

    def __init__(self, loop: Loop, values: SmallValues) -> None:
        self._loop = loop
        self._values = values
        self._variables: List[Optional[np.ndarray]] = [values.of(tensor) for tensor in loop.initial]
        self._found: Dict[Tensor, Optional[np.ndarray]] = {}

    def iterations(self, most: int) -> int:
        """How often the loop runs. Raises StaysALoop where that is not constant, or more often than `most`."""
        deciding = self._deciding()
        for count in range(most + 1):
            self._found = {}
            goes_on = self._value(self._loop.condition)
            if goes_on is None:
                raise StaysALoop("how often it runs depends on {}, which is not constant".format(self._open()))
            if not bool(goes_on):
                return count
            after = {number: self._value(self._loop.results[number]) for number in deciding}
            for number, value in after.items():
                self._variables[number] = value
        raise StaysALoop("it runs more than {} times; raise max_iterations to unroll it".format(most))

    def _deciding(self) -> List[int]:
        """The variables that the condition depends on, now or later."""
        found: Set[int] = set()
        waiting = [self._loop.condition]
        while waiting:
            for number in self._variables_behind(waiting.pop()) - found:
                found.add(number)
                waiting.append(self._loop.results[number])
        return sorted(found)

    def _variables_behind(self, tensor: Tensor) -> Set[int]:
        found: Set[int] = set()
        seen: Set[Tensor] = set()
        waiting = [tensor]
        while waiting:
            tensor = waiting.pop()
            if tensor in seen or tensor in self._loop.constants:
                continue
            seen.add(tensor)
            if tensor in self._loop.variables:
                found.add(self._loop.variables[tensor])
            elif tensor.node in self._loop.nodes:
                waiting.extend(split_inputs(tuple(self._loop.nodes[tensor.node].input))[0])
        return found

    def _value(self, tensor: Tensor) -> Optional[np.ndarray]:
        if tensor in self._loop.variables:
            return self._variables[self._loop.variables[tensor]]
        if tensor in self._loop.constants:
            return self._values.of(self._loop.constants[tensor])
        if tensor not in self._found:
            self._found[tensor] = None  # on a circle that is no loop
            node = self._loop.nodes.get(tensor.node)
            if node is not None and not tensor.output and node.name not in self._loop.conditional:
                operands = [self._value(operand) for operand in split_inputs(tuple(node.input))[0]]
                self._found[tensor] = computed(node, operands)
        return self._found[tensor]

    def _open(self) -> str:
        """The first tensor, from the condition upwards, for which the condition is not known."""
        tensor = self._loop.condition
        for _ in range(len(self._loop.nodes) + 1):
            if tensor in self._loop.constants:
                return repr(str(self._loop.constants[tensor]))
            if tensor in self._loop.variables:
                return repr(str(self._loop.initial[self._loop.variables[tensor]]))
            node = self._loop.nodes.get(tensor.node)
            operands = split_inputs(tuple(node.input))[0] if node is not None else ()
            unknown = [operand for operand in operands if self._value(operand) is None]
            if not unknown:
                break
            tensor = unknown[0]
        return repr(str(tensor))


def require_it_can_be_written_out(loop: Loop, needed: Set[str], functions: Dict[str, Sequence[NodeDef]]) -> None:
    """Raise StaysALoop where an operation keeps something from one iteration for the next beside the variables.

    functions: the nodes of each function in the library.
    """
    for name in sorted(needed):
        node = loop.nodes[name]
        stateful = _stateful(node, functions, set())
        if stateful is not None:
            raise StaysALoop(
                "its {!r} ({}) has a state of its own, which copies would not share".format(name, stateful.op)
            )


def _stateful(node: NodeDef, functions: Dict[str, Sequence[NodeDef]], seen: Set[str]) -> Optional[NodeDef]:
    if node.op in _CALLING:
        for attribute in node.attr.values():
            called = attribute.func.name if attribute.WhichOneof("value") == "func" else ""
            if called in functions and called not in seen:
                seen.add(called)
                found = [_stateful(inner, functions, seen) for inner in functions[called]]
                if any(found):
                    return next(inner for inner in found if inner is not None)
        return None
    if node.op in WATCHING or node.op.startswith(_STATE_IN_THE_GRAPH):
        return None
    definitions = [definition for definition in table().history(node.op) if definition is not None]
    return node if definitions and definitions[-1].stateful else None


def needed_nodes(loop: Loop) -> Set[str]:
    """Those of the loop's nodes that its outputs need; what only its condition needs is known and goes."""
    needed: Set[str] = set()
    waiting = [loop.results[number] for number in set(loop.outputs.values())]
    met: Set[Tensor] = set()
    while waiting:
        tensor = waiting.pop()
        if tensor in met or tensor in loop.constants:
            continue
        met.add(tensor)
        if tensor in loop.variables:
            waiting.append(loop.results[loop.variables[tensor]])
        elif tensor.node in loop.nodes and tensor.node not in needed:
            needed.add(tensor.node)
            waiting.extend(Tensor(node_name(entry), _output(entry)) for entry in loop.nodes[tensor.node].input)
    return needed


def _output(entry: str) -> int:
    return 0 if is_control(entry) else parse_tensor(entry).output


class Unrolling:
    """Writes a loop's iterations; `nodes` are the new ones, in order."""

    def __init__(self, graph: GraphIndex, loop: Loop, values: SmallValues) -> None:
        self._graph = graph
        self._loop = loop
        self._values = values
        self._needed = needed_nodes(loop)
        self._held: Dict[Tensor, _Held] = {}
        #: What has been written: by the node and what it reads, the name of the copy.
        self._written: Dict[Tuple[object, ...], str] = {}
        self._taken: Set[str] = set()
        self._read: Dict[str, Set[int]] = {}
        for node in loop.nodes.values():
            for tensor in split_inputs(tuple(node.input))[0]:
                self._read.setdefault(tensor.node, {0}).add(tensor.output)
        for tensor in loop.results:
            self._read.setdefault(tensor.node, {0}).add(tensor.output)
        self.nodes: List[NodeDef] = []

    def written_out(self, iterations: int) -> Dict[Tensor, Tensor]:
        """What now stands for each of the loop's outputs."""
        variables = [_Held(tensor, self._values.of(tensor)) for tensor in self._loop.initial]
        order = [name for name in self._loop.order if name in self._needed]
        for iteration in range(iterations):
            self._held = {tensor: variables[number] for tensor, number in self._loop.variables.items()}
            for inside, outside in self._loop.constants.items():
                self._held[inside] = _Held(outside, self._values.of(outside))
            for name in order:
                self._add(self._loop.nodes[name], iteration)
            variables = [self._held.get(result, before) for result, before in zip(self._loop.results, variables)]
        return {output: self._tensor(variables[number], output.node) for output, number in self._loop.outputs.items()}

    def _add(self, node: NodeDef, iteration: int) -> None:
        operands = [self._held[tensor] for tensor in split_inputs(tuple(node.input))[0]]
        if node.name not in self._loop.conditional:
            held = self._known_beforehand(node, operands)
            if held is not None:
                self._held[Tensor(node.name)] = held
                return
        controls = self._controls(node)
        key = (node.name, *(operand.key for operand in operands), *controls)
        if key not in self._written:
            self._written[key] = self._copy(node, operands, controls, iteration)
        copy = self._written[key]
        for output in self._outputs_read(node.name):
            self._held[Tensor(node.name, output)] = _Held(Tensor(copy, output))

    def _known_beforehand(self, node: NodeDef, operands: Sequence[_Held]) -> Optional[_Held]:
        """What a node gives without being there: what it hands on, or what can be computed now."""
        if node.op in FORWARDING:
            return operands[0]
        if node.op == "Select" and operands[0].array is not None:
            # Both of its values have the shape of its result, so it is the one or the other.
            for number, chosen in ((1, operands[0].array.all()), (2, not operands[0].array.any())):
                if chosen and operands[0].array.size:
                    return operands[number]
        array = computed(node, [operand.array for operand in operands])
        return None if array is None else _Held(array=array)

    def _controls(self, node: NodeDef) -> Tuple[str, ...]:
        """What a copy has to wait for; not for what is known or handed on, which is there when it is read."""
        names = split_inputs(tuple(node.input))[1]
        found = [self._held.get(Tensor(name)) for name in names if name in self._needed]
        tensors_awaited = [held.tensor for held in found if held is not None and held.tensor is not None]
        return tuple(dict.fromkeys("^" + tensor.node for tensor in tensors_awaited if tensor.node in self._taken))

    def _copy(self, node: NodeDef, operands: Sequence[_Held], controls: Tuple[str, ...], iteration: int) -> str:
        inputs = [str(self._tensor(operand, node.name)) for operand in operands]
        copy = graph_def.new_node(self._unused_name(node.name, iteration), node.op, (*inputs, *controls))
        copy.device = node.device
        for key in node.attr:
            if key not in ("_class", "_output_shapes"):
                copy.attr[key].CopyFrom(node.attr[key])
        self.nodes.append(copy)
        return str(copy.name)

    def _tensor(self, held: _Held, reader: str) -> Tensor:
        """The graph's tensor of this value, made where there is none yet."""
        if held.tensor is not None:
            return held.tensor
        assert held.array is not None
        if held.key not in self._written:
            name = self._graph.unused_name("{}/value".format(reader), self._taken)
            self._taken.add(name)
            self.nodes.append(graph_def.new_constant(name, held.array, tensors.data_type_of(held.array.dtype)))
            self._written[held.key] = name
        return Tensor(self._written[held.key])

    def _unused_name(self, name: str, iteration: int) -> str:
        free = self._graph.unused_name("{}/iteration_{}".format(name, iteration), self._taken)
        self._taken.add(free)
        return free

    def _outputs_read(self, name: str) -> Set[int]:
        """Which outputs of a node are read inside; the first one always."""
        return self._read.get(name, {0})
