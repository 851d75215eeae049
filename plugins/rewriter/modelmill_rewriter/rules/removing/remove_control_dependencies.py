"""Control dependencies that order nothing in a frozen graph, away.

    y = f(x, ^n)  ->  y = f(x, ^m ...)

where n changes nothing itself, so that waiting for n is waiting for its inputs m, and so on upwards; a Const and a
Placeholder have none. Assert, Print and CheckNumerics stop or talk while a model is trained, and count as nothing.
What else a frozen graph may hold (tables, queues) stays awaited, and so does what lies inside a TensorFlow 1 loop or
condition, where a control dependency says whether a node runs.

With all=true nothing is awaited any more outside loops and conditions, whatever it changes: then a table may be read
before it is filled, and a queue before anything is in it.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, FrozenSet, List, Tuple

from modelmill_worker.graph_def import node_name

from modelmill_rewriter._operations import PURE, WATCHING
from modelmill_rewriter.rules_api import (
    OUTSIDE,
    Firing,
    GraphIndex,
    Pass,
    Place,
    Refusal,
    Report,
    Target,
    argument,
    places,
)


@dataclass(frozen=True)
class RemoveControlDependencies(Pass):
    """Lets a node wait only for what changes something."""

    name: ClassVar[str] = "remove_control_dependencies"
    summary: ClassVar[str] = "Removes control dependencies on what has no effect in a frozen graph."

    everything: bool = argument(False, "Do not wait for what changes something either.", name="all")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Look at each node that waits for another."""
        del target
        effects = _Effects(graph, places(graph), self.everything)
        fired: List[Firing] = []
        refused: List[Refusal] = []
        for name in graph.names():
            awaited = graph.control_inputs(name)
            if not awaited:
                continue
            needed = effects.behind(name, awaited)
            if set(needed) != set(awaited):
                data = [entry for entry in graph.node(name).input if not entry.startswith("^")]
                graph.set_inputs(name, data + ["^" + other for other in needed])
                fired.append(Firing((name,) + awaited, (name,) + needed))
            refused.extend(Refusal(name, "it waits for {}, {}".format(*effects.reason(other))) for other in needed)
        return Report(self.name, tuple(fired), tuple(refused))


class _Effects:
    """Which nodes with an effect lie at or above a node."""

    def __init__(self, graph: GraphIndex, found: Dict[str, Place], ignored: bool) -> None:
        self._graph = graph
        self._ignored = ignored
        self._places = found
        self._known: Dict[str, FrozenSet[str]] = {}

    def behind(self, name: str, awaited: Tuple[str, ...]) -> Tuple[str, ...]:
        """What the node must wait for in place of what it awaits, sorted."""
        if self._places.get(name, OUTSIDE) != OUTSIDE:
            return awaited
        if self._ignored:
            return ()
        return tuple(sorted(frozenset().union(*[self._of(other) for other in awaited])))

    def reason(self, name: str) -> Tuple[str, str]:
        """The name, and why it is waited for."""
        if self._places.get(name, OUTSIDE) != OUTSIDE:
            return name, "which lies inside a loop or a condition"
        return name, "a {} that may change something".format(self._graph.node(name).op)

    def _of(self, name: str) -> FrozenSet[str]:
        """Walks upwards without recursion: a network is deeper than Python's stack."""
        waiting = [name]
        while waiting:
            current = waiting[-1]
            missing = [producer for producer in self._above(current) if producer not in self._known]
            if missing:
                waiting.extend(missing)
                continue
            waiting.pop()
            self._known[current] = self._combined(current)
        return self._known[name]

    def _above(self, name: str) -> List[str]:
        """Where the effects behind a node are to be looked for; nowhere where the node itself is one."""
        if self._is_effect(name) or self._graph.node(name).op in WATCHING:
            return []
        return [node_name(entry) for entry in self._graph.node(name).input]

    def _combined(self, name: str) -> FrozenSet[str]:
        if self._is_effect(name):
            return frozenset([name])
        return frozenset().union(*[self._known[producer] for producer in self._above(name)])

    def _is_effect(self, name: str) -> bool:
        if self._places.get(name, OUTSIDE) != OUTSIDE:
            return True
        return self._graph.node(name).op not in PURE | WATCHING
