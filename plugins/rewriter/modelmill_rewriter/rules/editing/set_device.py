"""Nodes on a device.

    node -> node on the device

A device says on which hardware of which machine TensorFlow runs a node, such as "/gpu:0" or "/job:worker/task:1";
what values the node computes is the same everywhere.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target, argument


@dataclass(frozen=True)
class SetDevice(Pass):
    """Lets nodes run on a device."""

    name: ClassVar[str] = "set_device"
    summary: ClassVar[str] = "Lets nodes run on a device: device=/cpu:0."

    device: str = argument("", "The device, such as /cpu:0; nothing for whichever TensorFlow chooses.")
    if_default: bool = argument(False, "Only of nodes that say nothing of a device.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change every node of the graph; functions stay as they are."""
        del target
        changed = tuple(
            name
            for name in graph.names()
            if graph.node(name).device != self.device and not (self.if_default and graph.node(name).device)
        )
        for name in changed:
            graph.edit(name).device = self.device
        return Report(self.name, (Firing(changed, changed),) if changed else ())
