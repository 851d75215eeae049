"""What an inference graph leaves behind of its training graph, by what it was there for."""

import re
from typing import Dict, Iterable, List

from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_freezer.inference.changes import Change

_GRADIENTS = re.compile(r"(^|/)gradients(_\d+)?/")
#: The first that fits a node's operation says what it is for.
_KINDS = (
    ("Updates by optimisers", re.compile(r"(Resource|Sparse)*Apply[A-Z].*")),
    ("Updates of variables", re.compile(r"Assign(Add|Sub)(VariableOp)?|(Resource)?Scatter(Add|Sub|Update)")),
    ("Summaries", re.compile(r".*Summary(V2)?")),
    ("Assertions", re.compile(r"Assert")),
    ("Queues, readers and iterators", re.compile(r".*Queue.*|.*Reader.*|.*Iterator.*|.*Dataset.*")),
)


def note_left_behind(graph: GraphDef, outputs: Iterable[str]) -> List[Change]:
    """What the outputs do not compute with, whether they waited for it or not, of the kinds that training has."""
    needed = Dataflow(graph).ancestors(outputs)
    kinds: Dict[str, List[str]] = {}
    for node in graph.node:
        kind = "" if node.name in needed else _kind_of(node)
        if kind:
            kinds.setdefault(kind, []).append(node.name)
    return [Change("{} are gone.".format(kind), tuple(names)) for kind, names in sorted(kinds.items())]


def _kind_of(node: NodeDef) -> str:
    if _GRADIENTS.search(node.name):
        return "Gradients"
    for kind, operations in _KINDS:
        if operations.fullmatch(node.op):
            return kind
    return ""
