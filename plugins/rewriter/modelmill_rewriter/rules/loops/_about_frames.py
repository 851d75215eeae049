"""The loops of TensorFlow 1: frames between Enter and Exit nodes.

    variable = Merge(Enter(initial), NextIteration(result))
    body reads Switch(variable, LoopCond(condition)):1, Exit reads Switch(variable, LoopCond(condition)):0
    body reads what is outside by Enter(value)

("Implementation of control flow in TensorFlow", 2017.)
"""

from collections import defaultdict
from typing import Dict, List, Tuple

from modelmill_worker.graph_def import NodeDef, node_name

from modelmill_rewriter.rules.loops._about_loops import Loop, StaysALoop
from modelmill_rewriter.rules_api import OUTSIDE, GraphIndex, Place, Tensor

Frame = Tuple[str, ...]

#: They make the frame and compute nothing.
_FRAMING = frozenset(["Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch"])
_REFERENCES = frozenset(["RefEnter", "RefExit", "RefMerge", "RefNextIteration", "RefSwitch"])


def frames(places: Dict[str, Place]) -> Tuple[Frame, ...]:
    """The frames of a graph, those that lie inside others before these."""
    found = dict.fromkeys(place.frames for place in places.values() if place.frames)
    return tuple(sorted(found, key=len, reverse=True))


class FrameReader:
    """Reads one loop; `members` are the nodes that run in its frame, and in no frame inside it."""

    def __init__(self, graph: GraphIndex, places: Dict[str, Place], frame: Frame) -> None:
        self._graph = graph
        self._places = places
        self._frame = frame
        self.members: Tuple[str, ...] = tuple(name for name, place in places.items() if place.frames == frame)
        #: The nodes that lead out of the frame; known once it is read.
        self.exits: List[str] = []

    @property
    def name(self) -> str:
        """The node by which people find the loop: its condition, or else its first one."""
        conditions = [name for name in self.members if self._graph.node(name).op == "LoopCond"]
        return (conditions or list(self.members))[0]

    def read(self) -> Loop:
        """The loop. Raises StaysALoop where it is not built as TensorFlow's while_loop builds one."""
        self._require_a_plain_frame()
        nodes = {name: self._graph.node(name) for name in self.members}
        by_operation: Dict[str, List[NodeDef]] = defaultdict(list)
        for node in nodes.values():
            by_operation[node.op].append(node)
        condition = self._only_condition(by_operation["LoopCond"])
        merges = [node for node in by_operation["Merge"] if self._comes_round(node)]
        numbers = {node.name: number for number, node in enumerate(merges)}
        variables, outputs = self._read_variables(by_operation["Switch"], condition.name, numbers)
        ends = [self._ends_of(node) for node in merges]
        framing = {node.name for node in by_operation["Enter"] + by_operation["NextIteration"] + merges + [condition]}
        framing.update(tensor.node for tensor in variables)
        inside = {name: node for name, node in nodes.items() if name not in framing}
        return Loop(
            name=condition.name,
            nodes=inside,
            order=ordered(inside),
            initial=tuple(initial for initial, _ in ends),
            variables=variables,
            constants={Tensor(node.name): self._graph.data_inputs(node.name)[0] for node in by_operation["Enter"]},
            condition=self._graph.data_inputs(condition.name)[0],
            results=tuple(result for _, result in ends),
            outputs=outputs,
            conditional=frozenset(name for name in inside if self._is_conditional(name, condition.name)),
        )

    def _require_a_plain_frame(self) -> None:
        for name in self.members:
            node = self._graph.node(name)
            if node.op in _REFERENCES:
                raise StaysALoop("its {!r} hands on a variable rather than a value".format(name))
            if name in self._graph.kept:
                raise StaysALoop("its {!r} is an input or output of the model".format(name))
            for consumer in self._graph.consumers(name):
                inner = self._places.get(consumer, OUTSIDE).frames
                if len(inner) > len(self._frame):
                    raise StaysALoop("it holds the loop {!r}, which stays".format(inner[-1]))
            if node.op == "Enter":
                self._require_it_always_runs(node)

    def _require_it_always_runs(self, enter: NodeDef) -> None:
        """A loop on one side of a condition may not run at all; constants in its place would."""
        for predicate, _ in sorted(self._places.get(enter.name, OUTSIDE).conditions):
            if self._graph.node(predicate).op != "LoopCond":
                raise StaysALoop("it lies inside the condition on {!r}".format(predicate))

    def _only_condition(self, conditions: List[NodeDef]) -> NodeDef:
        if len(conditions) != 1:
            raise StaysALoop("its frame has {} conditions to end it, and not one".format(len(conditions)))
        return conditions[0]

    def _comes_round(self, merge: NodeDef) -> bool:
        return any(self._graph.node(node_name(entry)).op == "NextIteration" for entry in merge.input)

    def _ends_of(self, merge: NodeDef) -> Tuple[Tensor, Tensor]:
        """Where a variable's first value lies outside, and its next one inside."""
        inputs = [self._graph.node(tensor.node) for tensor in self._graph.data_inputs(merge.name)]
        if [node.op for node in inputs] != ["Enter", "NextIteration"]:
            raise StaysALoop("its variable {!r} is not one of an Enter and a NextIteration".format(merge.name))
        enter, around = inputs
        return self._graph.data_inputs(enter.name)[0], self._graph.data_inputs(around.name)[0]

    def _read_variables(
        self, switches: List[NodeDef], condition: str, numbers: Dict[str, int]
    ) -> Tuple[Dict[Tensor, int], Dict[Tensor, int]]:
        """The tensors by which the loop reads its variables, and the tensors outside that have their last values."""
        variables = {Tensor(merge): number for merge, number in numbers.items()}
        outputs: Dict[Tensor, int] = {}
        for switch in switches:
            value, predicate = self._graph.data_inputs(switch.name)
            if predicate.node != condition:
                continue
            if value not in variables:
                raise StaysALoop("its {!r} leads out of it what is no variable of its own".format(switch.name))
            number = variables[value]
            variables[Tensor(switch.name, 1)] = number
            for consumer in self._graph.consumers(switch.name):
                if self._graph.node(consumer).op == "Exit":
                    self.exits.append(consumer)
                    if self._is_read(consumer):
                        outputs[Tensor(consumer)] = number
                elif Tensor(switch.name) in self._graph.data_inputs(consumer):
                    raise StaysALoop("its {!r} reads {!r} when the loop has ended".format(consumer, switch.name))
        return variables, outputs

    def _is_read(self, leaving: str) -> bool:
        readers = self._graph.consumers(leaving)
        return leaving in self._graph.kept or any(Tensor(leaving) in self._graph.data_inputs(name) for name in readers)

    def _is_conditional(self, name: str, condition: str) -> bool:
        """Whether a condition inside the loop decides over a node; those around the loop are loops' own."""
        predicates = {predicate for predicate, _ in self._places[name].conditions}
        return any(self._graph.node(predicate).op != "LoopCond" for predicate in predicates - {condition})


def ordered(nodes: Dict[str, NodeDef]) -> Tuple[str, ...]:
    """Producers first, among these nodes; the way round the loop leads out of them."""
    missing = {name: sum(node_name(entry) in nodes for entry in node.input) for name, node in nodes.items()}
    consumers: Dict[str, List[str]] = {name: [] for name in nodes}
    for name, node in nodes.items():
        for entry in node.input:
            if node_name(entry) in nodes:
                consumers[node_name(entry)].append(name)
    order = [name for name, count in missing.items() if not count]
    for name in order:  # grows while it is walked
        for consumer in consumers[name]:
            missing[consumer] -= 1
            if not missing[consumer]:
                order.append(consumer)
    return tuple(order)
