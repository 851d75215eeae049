"""Runs passes over a graph, one after the other."""

from dataclasses import replace
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from modelmill_worker.graph_def import GraphDef
from modelmill_worker.tensors import shapes_agree

from modelmill_rewriter._pass import changed_interface
from modelmill_rewriter._validity import require_still_valid, require_valid
from modelmill_rewriter.rules_api import GraphIndex, Interface, Pass, Report, Target, Tensor

Progress = Callable[[float, str], None]
_Shapes = Dict[Tensor, Optional[Tuple[int, ...]]]


class Rewritten(NamedTuple):
    """What passes made of a graph.

    reports: one for each rule, in the order of first use.
    index: the same graph, to be asked by what it is used now, and what is known of that.
    """

    graph: GraphDef
    reports: Tuple[Report, ...]
    index: GraphIndex


def rewrite_graph(
    graph: GraphDef,
    interface: Interface,
    passes: Sequence[Pass],
    target: Target,
    progress: Optional[Progress] = None,
    after_each: Optional[Callable[[Pass, GraphIndex, Report], None]] = None,
) -> Rewritten:
    """The rewritten graph, and what was done.

    `graph` is used up: hand in a copy where it is needed afterwards.
    after_each: called when a pass has run, with the graph as it is then.

    Raises StepError GRAPH_INVALID for a broken graph, INVALID_OPTION for an option that a pass cannot use with this
    graph, and RULE_BROKE_GRAPH, RULE_CHANGED_INTERFACE, RULE_FAILED or REWRITE_DOES_NOT_END for a broken rule.
    """
    index = GraphIndex(graph, interface, require_valid(graph, interface))
    kept = _Kept(index)
    reports: List[Report] = []
    for number, item in enumerate(passes):
        if progress is not None:
            progress(number / len(passes), item.name)
        if item.changes_interface:
            kept.require()
        reports.append(item.run(index, target))
        kept.ran(item, reports[-1])
        if after_each is not None:
            after_each(item, index, reports[-1])
    kept.require()
    fired = list(dict.fromkeys(report.rule for report in reports if report.fired))
    if fired:
        index.changed.update(index.names())
        require_still_valid(index, ", ".join(fired))
    return Rewritten(index.to_graph_def(), _merged(reports), index)


class _Kept:
    """Sees to it that the shapes of outputs stay as they are while passes run that must keep them."""

    def __init__(self, graph: GraphIndex) -> None:
        self._graph = graph
        self._shapes = self._now()
        self._fired: List[str] = []

    def ran(self, item: Pass, report: Report) -> None:
        """Take note of a pass that has run."""
        if item.changes_interface:
            self._shapes = self._now()
        elif report.fired:
            self._fired.append(item.name)

    def require(self) -> None:
        """Raise StepError RULE_CHANGED_INTERFACE where an output's shape contradicts what it was.

        A shape that only became better known, or less, contradicts nothing.
        """
        if not self._fired:
            return
        self._graph.renew_shapes()
        after = self._now()
        for tensor, before in self._shapes.items():
            if not shapes_agree(before, after.get(tensor)):
                raise changed_interface(", ".join(self._fired), "the shape of {}".format(tensor), str(tensor))
        self._fired = []

    def _now(self) -> _Shapes:
        return {tensor: self._graph.shape(tensor) for tensor in self._graph.interface.outputs}


def _merged(reports: Sequence[Report]) -> Tuple[Report, ...]:
    """One report for each rule; of a rule that ran twice, what it refused the last time."""
    merged: Dict[str, Report] = {}
    for report in reports:
        before = merged.get(report.rule, Report(report.rule))
        moved = {len(before.fired) + number: picture for number, picture in report.pictures.items()}
        merged[report.rule] = replace(
            report,
            fired=before.fired + report.fired,
            note=report.note or before.note,
            pictures={**before.pictures, **moved},
        )
    return tuple(merged.values())
