"""Nodes in the order in which they can be computed.

    y = f(x), x = ...  ->  x = ..., y = f(x)

so that whoever computes them one after the other finds all that a node reads or waits for before it. Only what comes
round a loop of TensorFlow 1, out of NextIteration, stands behind the Merge that reads it. Of several nodes that could
come next, the one that stood first does.
"""

import heapq
from dataclasses import dataclass
from typing import ClassVar, Dict, List, Tuple

from modelmill_worker.graph_def import node_name

from modelmill_rewriter._order import LOOP_OPERATIONS
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target


@dataclass(frozen=True)
class SortByExecutionOrder(Pass):
    """Writes producers before consumers."""

    name: ClassVar[str] = "sort_by_execution_order"
    summary: ClassVar[str] = "Writes every node behind those that it reads."

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Sort by what stands above, then by where nodes stood."""
        del target
        before = graph.names()
        after = _sorted(graph, before)
        moved = tuple(name for name, other in zip(before, after) if name != other)
        if not moved:
            return Report(self.name)
        graph.reorder(after)
        return Report(self.name, (Firing(moved, moved),))


def _sorted(graph: GraphIndex, names: Tuple[str, ...]) -> List[str]:
    positions = {name: position for position, name in enumerate(names)}
    missing: Dict[str, int] = {}
    for name in names:
        producers = {node_name(entry) for entry in graph.node(name).input}
        missing[name] = sum(1 for producer in producers if graph.node(producer).op not in LOOP_OPERATIONS)
    ready = [positions[name] for name in names if not missing[name]]
    found: List[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        found.append(name)
        if graph.node(name).op in LOOP_OPERATIONS:
            continue
        for consumer in graph.consumers(name):
            missing[consumer] -= 1
            if not missing[consumer]:
                heapq.heappush(ready, positions[consumer])
    return found
