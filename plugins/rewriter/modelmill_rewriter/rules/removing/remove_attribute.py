"""An attribute of nodes, away.

    node(attribute=value) -> node

Without an attribute that it needs, an operation cannot be read by TensorFlow: such a one stays.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, FrozenSet, List

from modelmill_worker import op_versions_table

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Refusal, Report, Target, argument, invalid_option

#: Stands for every operation.
_ANY = "*"


@dataclass(frozen=True)
class RemoveAttribute(Pass):
    """Removes an attribute, of all nodes or of those of one operation."""

    name: ClassVar[str] = "remove_attribute"
    summary: ClassVar[str] = "Removes an attribute: attribute_name=_class, op_name=Mul."
    #: It may take away what tells the type of an output.
    changes_interface: ClassVar[bool] = True

    attribute_name: str = argument("", "The attribute.")
    op_name: str = argument(_ANY, "Only of nodes of this operation; * for all.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change every node of the graph; functions stay as they are."""
        del target
        attribute = self.attribute_name
        if not attribute:
            raise invalid_option(self, "attribute_name", attribute, "give the name of an attribute")
        changed: List[str] = []
        refused: List[Refusal] = []
        needs: Dict[str, FrozenSet[str]] = {}
        for name in graph.names():
            node = graph.node(name)
            if self.op_name not in (_ANY, node.op) or attribute not in node.attr:
                continue
            if node.op not in needs:
                needs[node.op] = _needed(node.op)
            if attribute in needs[node.op]:
                refused.append(Refusal(name, "{} needs {} in every TensorFlow".format(node.op, attribute)))
                continue
            del graph.edit(name).attr[attribute]
            changed.append(name)
        if not changed:
            return Report(self.name, refused=tuple(refused))
        graph.forget_shapes()
        return Report(self.name, (Firing(tuple(changed), tuple(changed)),), tuple(refused))


def _needed(operation: str) -> FrozenSet[str]:
    """The attributes that no TensorFlow that knows the operation reads it without."""
    definitions = [definition for definition in op_versions_table.table().history(operation) if definition is not None]
    return frozenset.intersection(*(definition.required for definition in definitions)) if definitions else frozenset()
