"""An attribute of nodes under another name.

    node(old=value) -> node(new=value)

The value stays what it is. A node that has an attribute of the new name already keeps both.
"""

from dataclasses import dataclass
from typing import ClassVar, List

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Refusal, Report, Target, argument, invalid_option

#: Stands for every operation.
_ANY = "*"


@dataclass(frozen=True)
class RenameAttribute(Pass):
    """Renames an attribute, of all nodes or of those of one operation."""

    name: ClassVar[str] = "rename_attribute"
    summary: ClassVar[str] = "Renames an attribute: old_attribute_name=foo, new_attribute_name=bar, op_name=Mul."
    #: It may take away what tells the type of an output.
    changes_interface: ClassVar[bool] = True

    old_attribute_name: str = argument("", "The attribute that nodes have.")
    new_attribute_name: str = argument("", "What it is to be called.")
    op_name: str = argument(_ANY, "Only of nodes of this operation; * for all.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change every node of the graph; functions stay as they are."""
        del target
        old, new = self.old_attribute_name, self.new_attribute_name
        for option, value in (("old_attribute_name", old), ("new_attribute_name", new)):
            if not value:
                raise invalid_option(self, option, value, "give the name of an attribute")
        changed: List[str] = []
        refused: List[Refusal] = []
        for name in graph.names() if old != new else ():
            node = graph.node(name)
            if self.op_name not in (_ANY, node.op) or old not in node.attr:
                continue
            if new in node.attr:
                refused.append(Refusal(name, "it has an attribute {} already".format(new)))
                continue
            node = graph.edit(name)
            node.attr[new].CopyFrom(node.attr[old])
            del node.attr[old]
            changed.append(name)
        if not changed:
            return Report(self.name, refused=tuple(refused))
        graph.forget_shapes()
        return Report(self.name, (Firing(tuple(changed), tuple(changed)),), tuple(refused))
