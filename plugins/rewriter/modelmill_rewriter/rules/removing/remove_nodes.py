"""Nodes of an operation, away: who reads their output reads their first input.

    g(f(x, ...)) -> g(x)

for operations that do nothing that matters where the model is going, which is for the user to say: the model computes
something else afterwards where they do. An input or output of the model stays, and so does what says where a
TensorFlow 1 loop or condition begins.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Tuple

from modelmill_rewriter.rules_api import (
    OUTSIDE,
    Firing,
    GraphIndex,
    Pass,
    Place,
    Refusal,
    Report,
    Target,
    Tensor,
    argument,
    invalid_option,
    places,
)

_SWITCHES = frozenset(["Switch", "RefSwitch"])


@dataclass(frozen=True)
class RemoveNodes(Pass):
    """Reads what nodes read instead of what they give out."""

    name: ClassVar[str] = "remove_nodes"
    summary: ClassVar[str] = "Removes nodes of an operation: op=Identity, op=CheckNumerics."

    op: Tuple[str, ...] = argument((), "The operation. Repeatable.")
    max_inputs: int = argument(1, "How many inputs a node may have to be removed; its first one is read then.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """One operation after the other, in the order in which they are named."""
        del target
        if not self.op:
            raise invalid_option(self, "op", "", "give the name of an operation, such as Identity")
        if self.max_inputs < 1:
            raise invalid_option(self, "max_inputs", str(self.max_inputs), "give 1 or more")
        found = places(graph)
        fired: List[Firing] = []
        refused: List[Refusal] = []
        for operation in self.op:
            for name in graph.nodes_with(operation):
                reason = self._objection(graph, name, found)
                if reason is not None:
                    refused.append(Refusal(name, reason))
                    continue
                graph.redirect(name, graph.data_inputs(name)[0])
                graph.remove_unused([name])
                fired.append(Firing((name,), ()))
        return Report(self.name, tuple(fired), tuple(refused))

    def _objection(self, graph: GraphIndex, name: str, found: Dict[str, Place]) -> Optional[str]:
        """Why a node stays; None where it can go."""
        inputs, awaited = graph.data_inputs(name), graph.control_inputs(name)
        if name in graph.kept:
            return "it is an input or output of the model"
        if not 1 <= len(inputs) <= self.max_inputs:
            return "it has {} inputs, and max_inputs is {}".format(len(inputs) or "no", self.max_inputs)
        if awaited:
            return "it waits for {}".format(", ".join(awaited))
        return _why_it_computes(graph, name) or _why_it_steers(graph, name, found)


def _why_it_computes(graph: GraphIndex, name: str) -> Optional[str]:
    """What shows that a node does more than hand on its first input."""
    read = [tensor for reader in graph.consumers(name) for tensor in graph.data_inputs(reader)]
    if any(tensor.node == name and tensor.output for tensor in read):
        return "more than its first output is read"
    dtypes = graph.dtype(graph.data_inputs(name)[0]), graph.dtype(Tensor(name))
    if all(dtypes) and dtypes[0] != dtypes[1]:
        return "it gives out another type than it reads"
    return None


def _why_it_steers(graph: GraphIndex, name: str, found: Dict[str, Place]) -> Optional[str]:
    """What shows that other nodes run when this one does, which is then not when its input is there."""
    steers = graph.node(graph.data_inputs(name)[0].node).op in _SWITCHES or graph.has_control_consumers(name)
    if found.get(name, OUTSIDE) != OUTSIDE and steers:
        return "it says where a part of a loop or a condition begins"
    return None
