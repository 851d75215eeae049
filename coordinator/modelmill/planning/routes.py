"""The cheapest way from one kind of artifact to another, over the edges that plug-ins declare."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from modelmill.values import Edge, Plugin, Role

#: What a user's edits are, as an artifact.
EDITS_KIND = "graph.edits"
#: What a step takes beside the model.
_BESIDE = ("dataset", EDITS_KIND)


@dataclass(frozen=True)
class Hop:
    """An edge and the plug-in that it belongs to."""

    plugin: Plugin
    edge: Edge

    @property
    def kind(self) -> str:
        """The kind of the model that goes in: that of the one input which is neither a dataset nor edits."""
        return next((kind for kind in self.edge.inputs.values() if kind not in _BESIDE), "dataset")


def hops(plugins: Iterable[Plugin], role: Role) -> list[Hop]:
    """Every edge of a role, in a stable order."""
    found = [Hop(plugin, edge) for plugin in plugins for edge in plugin.edges if edge.role is role]
    return sorted(found, key=lambda hop: (hop.plugin.name, hop.edge.name))


def cheapest_route(
    conversions: Iterable[Hop], source: str, target: Hop, usable: Callable[[Hop], bool]
) -> list[Hop] | None:
    """The hops from the kind `source` that end with `target`, with the smallest sum of costs (Dijkstra's algorithm).

    usable: whether some environment of this machine can run an edge on the way to the target.
    Returns None where there is no route.
    """
    usable_hops = [hop for hop in conversions if usable(hop)]
    goal = target.kind
    queue: list[tuple[float, int, str, tuple[Hop, ...]]] = [(0.0, 0, source, ())]
    settled: set[str] = set()
    order = 0
    while queue:
        cost, _, kind, route = heapq.heappop(queue)
        if kind == goal:
            return [*route, target]
        if kind in settled:
            continue
        settled.add(kind)
        for hop in usable_hops:
            if hop.kind == kind and hop.edge.output not in settled:
                order += 1
                heapq.heappush(queue, (cost + hop.edge.cost, order, hop.edge.output, (*route, hop)))
    return None
