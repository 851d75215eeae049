"""Devices that nodes are to run on, away.

    node on a device -> node

so that a graph that was trained on other hardware runs wherever TensorFlow finds room. Functions are part of that.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target


@dataclass(frozen=True)
class RemoveDevice(Pass):
    """Leaves it to TensorFlow where nodes run."""

    name: ClassVar[str] = "remove_device"
    summary: ClassVar[str] = "Removes the devices that nodes are to run on."

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change every node, those of functions included."""
        del target
        changed = tuple(name for name in graph.names() if graph.node(name).device)
        for name in changed:
            graph.edit(name).device = ""
        inner = []
        for function in graph.functions:
            for node in function.node_def:
                if node.device:
                    node.device = ""
                    inner.append("{}/{}".format(function.signature.name, node.name))
        told = (*changed, *inner)
        return Report(self.name, (Firing(told, told),) if told else ())
