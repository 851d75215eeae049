"""Nodes that compute by another operation.

    old(x, ...) -> new(x, ...)

with the inputs and attributes that they have: for operations that differ in little more than their names, such as
versions of one. Whether the new operation takes those is the user's matter.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target, argument, invalid_option


@dataclass(frozen=True)
class RenameOp(Pass):
    """Gives every node of one operation another."""

    name: ClassVar[str] = "rename_op"
    summary: ClassVar[str] = "Renames an operation: old_op_name=AddV2, new_op_name=Add."
    #: It may take away what tells the type of an output.
    changes_interface: ClassVar[bool] = True

    old_op_name: str = argument("", "The operation that nodes have.")
    new_op_name: str = argument("", "The operation that they get.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change every node of the graph; functions stay as they are."""
        del target
        for option, value in (("old_op_name", self.old_op_name), ("new_op_name", self.new_op_name)):
            if not value:
                raise invalid_option(self, option, value, "give the name of an operation, such as Add")
        changed = graph.nodes_with(self.old_op_name) if self.old_op_name != self.new_op_name else ()
        for name in changed:
            graph.edit(name).op = self.new_op_name
        if not changed:
            return Report(self.name)
        graph.forget_shapes()
        return Report(self.name, (Firing(changed, changed),))
