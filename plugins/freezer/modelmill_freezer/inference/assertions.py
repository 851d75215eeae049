"""Assertions and what else only watches: inference computes the same without them.

    CheckNumerics(x) -> x

Assert nodes stand beside the data, at control inputs, which a frozen graph does not keep.
"""

from typing import List

from modelmill_worker.graph_def import GraphDef

from modelmill_freezer.inference.changes import Change

_CHECKS = ("CheckNumerics", "CheckNumericsV2")


def remove_checks(graph: GraphDef) -> List[Change]:
    """Make checks in the way of the data pass their input on, in place."""
    removed = []
    for node in graph.node:
        if node.op in _CHECKS:
            node.op = "Identity"
            if "message" in node.attr:
                del node.attr["message"]
            removed.append(node.name)
    return [Change("Checks for numbers that are not finite pass their input on.", tuple(removed))] if removed else []
