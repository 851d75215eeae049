"""Runs passes over a graph, one after the other."""

from typing import Callable, Dict, List, Optional, Sequence, Tuple

from modelmill_worker.graph_def import GraphDef

from modelmill_rewriter._validity import require_valid
from modelmill_rewriter.rules_api import Firing, GraphIndex, Interface, Pass, Refusal, Report, Target

Progress = Callable[[float, str], None]


def rewrite_graph(
    graph: GraphDef,
    interface: Interface,
    passes: Sequence[Pass],
    target: Target,
    progress: Optional[Progress] = None,
) -> Tuple[GraphDef, Tuple[Report, ...]]:
    """The rewritten graph, and a report for each rule in the order of first use.

    `graph` is used up: hand in a copy where it is needed afterwards.
    Raises StepError GRAPH_INVALID for a broken graph, and RULE_BROKE_GRAPH, RULE_CHANGED_INTERFACE or
    REWRITE_DOES_NOT_END for a broken rule.
    """
    require_valid(graph, interface)
    index = GraphIndex(graph, interface)
    reports: List[Report] = []
    for number, item in enumerate(passes):
        if progress is not None:
            progress(number / len(passes), item.name)
        reports.append(item.run(index, target))
    return index.to_graph_def(), _merged(reports)


def _merged(reports: Sequence[Report]) -> Tuple[Report, ...]:
    """One report for each rule; of a rule that ran twice, what it refused the last time."""
    fired: Dict[str, Tuple[Firing, ...]] = {}
    refused: Dict[str, Tuple[Refusal, ...]] = {}
    notes: Dict[str, str] = {}
    for report in reports:
        fired[report.rule] = fired.get(report.rule, ()) + report.fired
        refused[report.rule] = report.refused
        notes[report.rule] = report.note or notes.get(report.rule, "")
    return tuple(Report(rule, fired[rule], refused[rule], notes[rule]) for rule in fired)
