"""A node under another name.

    node "old" -> node "new"

Who reads, awaits or lies beside the node follows it; an input or output of the model is still known to people by the
name that it has in the signature.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules.editing._named import impossible, not_found
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target, argument, invalid_option


@dataclass(frozen=True)
class RenameNode(Pass):
    """Renames one node."""

    name: ClassVar[str] = "rename_node"
    summary: ClassVar[str] = "Renames a node: old_node_name=tower_0/logits, new_node_name=logits."
    changes_interface: ClassVar[bool] = True

    old_node_name: str = argument("", "The node's name.")
    new_node_name: str = argument("", "Its new name.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Rename it; a graph that has the new name and not the old one is as it should be."""
        del target
        old, new = self.old_node_name, self.new_node_name
        for option, value in (("old_node_name", old), ("new_node_name", new)):
            if not value:
                raise invalid_option(self, option, value, "give the name of a node")
        if old not in graph:
            if new in graph:
                return Report(self.name)
            raise not_found(graph, self.name, old)
        if old == new:
            return Report(self.name)
        if new in graph:
            raise impossible(self.name, "there is a node {!r} already; give another name".format(new), node=new)
        graph.rename({old: new})
        return Report(self.name, (Firing((old,), (new,)),))
