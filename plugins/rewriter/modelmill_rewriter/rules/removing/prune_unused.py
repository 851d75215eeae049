"""What the model's outputs do not need, away.

    every node -> the nodes from which an output can be reached, and the inputs

Losses, summaries, savers and the assertions that nothing waits for any more fall away here.
"""

from dataclasses import dataclass
from typing import ClassVar, Set

from modelmill_worker.graph_def import node_name

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target


@dataclass(frozen=True)
class PruneUnused(Pass):
    """Keeps what the outputs are computed from."""

    name: ClassVar[str] = "prune_unused"
    summary: ClassVar[str] = "Removes what no output of the model needs."

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Walk upwards from the outputs, over data and control."""
        del target
        needed = _reachable_upwards(graph)
        unused = tuple(name for name in graph.names() if name not in needed)
        if not unused:
            return Report(self.name)
        graph.retain(needed)
        return Report(self.name, (Firing(unused, ()),))


def _reachable_upwards(graph: GraphIndex) -> Set[str]:
    waiting = list(graph.kept)
    found = set(waiting)
    while waiting:
        for entry in graph.node(waiting.pop()).input:
            producer = node_name(entry)
            if producer not in found:
                found.add(producer)
                waiting.append(producer)
    return found
