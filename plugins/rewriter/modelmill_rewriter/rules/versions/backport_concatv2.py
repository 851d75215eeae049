"""ConcatV2 to Concat, for a TensorFlow before 1.0, or another reader of graphs that knows no other.

    ConcatV2(a, b, ..., axis) -> Concat(axis, a, b, ...)

Concat's axis is an int32: one of int64 is written anew where it is constant, and else the node stays.
"""

from dataclasses import dataclass
from typing import ClassVar, List, Optional

import numpy as np
from modelmill_worker import graph_def, tensors

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Refusal, Report, Target, places

_INT64 = tensors.data_type_named("int64").number


@dataclass(frozen=True)
class BackportConcatV2(Pass):
    """Joins tensors by the first version of the operation."""

    name: ClassVar[str] = "backport_concatv2"
    summary: ClassVar[str] = "Makes Concat, with the axis first, of ConcatV2."

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change each node where it is, also inside loops; functions stay as they are."""
        del target
        inside = places(graph)
        fired: List[Firing] = []
        refused: List[Refusal] = []
        for name in graph.nodes_with("ConcatV2"):
            data = list(graph.data_inputs(name))
            axis: Optional[str] = str(data[-1])
            if "Tidx" in graph.node(name).attr and graph.node(name).attr["Tidx"].type == _INT64:
                axis = _narrow_axis(graph, name) if name not in inside else None
            if axis is None:
                refused.append(Refusal(name, "its axis is an int64, and Concat takes an int32"))
                continue
            awaited = ["^" + other for other in graph.control_inputs(name)]
            node = graph.edit(name)
            node.op = "Concat"
            if "Tidx" in node.attr:
                del node.attr["Tidx"]
            graph.set_inputs(name, [axis, *(str(tensor) for tensor in data[:-1]), *awaited])
            graph.remove_unused([data[-1].node])
            fired.append(Firing((name,), (name,)))
        return Report(self.name, tuple(fired), tuple(refused))


def _narrow_axis(graph: GraphIndex, name: str) -> Optional[str]:
    """A new constant that says the same axis in 32 bits; None where the axis is computed."""
    value = graph.constant(graph.data_inputs(name)[-1])
    if value is None:
        return None
    made = graph_def.new_constant(graph.unused_name(name + "/axis"), value.astype(np.int32))
    made.device = graph.node(name).device
    graph.add([made], beside=name)
    return str(made.name)
