"""Attributes that nodes lack and that have a default, written out.

    f(x)  ->  f(x, a=default)

which TensorFlow takes f(x) to mean anyway: for programs that read a graph and do not know the defaults. Those of the
TensorFlow that will convert the graph are written; of the newest that is known where no version is named.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional

from modelmill_worker import op_versions, op_versions_table
from modelmill_worker.graph_def import NodeDef
from modelmill_worker.op_versions_table import NO_DEFAULT, Definition

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Refusal, Report, Target


@dataclass(frozen=True)
class AddDefaultAttributes(Pass):
    """Writes out what a graph leaves to defaults."""

    name: ClassVar[str] = "add_default_attributes"
    summary: ClassVar[str] = "Adds the attributes that nodes lack, with their defaults."

    #: An input that says nothing of its shape says then that it is open.
    changes_interface: ClassVar[bool] = True

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Look at each node of the graph; functions stay as they are."""
        names = op_versions.versions()
        version = op_versions.minor_version("{}.{}".format(*target.tensorflow)) if target.tensorflow else names[-1]
        index = names.index(version)
        definitions: Dict[str, Optional[Definition]] = {}
        functions = {function.signature.name for function in graph.functions}
        changed: List[str] = []
        refused: List[Refusal] = []
        for name in graph.names():
            node = graph.node(name)
            if node.op not in definitions:
                definitions[node.op] = op_versions_table.table().history(node.op)[index]
            definition = definitions[node.op]
            if definition is not None and _missing(node, definition):
                _add(graph.edit(name), definition)
                changed.append(name)
            elif definition is None and node.op not in functions:
                refused.append(Refusal(name, "TensorFlow {} does not know {}".format(version, node.op)))
        firings = (Firing(tuple(changed), tuple(changed)),) if changed else ()
        return Report(self.name, firings, tuple(refused))


def _missing(node: NodeDef, definition: Definition) -> List[str]:
    return [
        name
        for name, attribute in definition.attributes.items()
        if attribute.default is not NO_DEFAULT and name not in node.attr
    ]


def _add(node: NodeDef, definition: Definition) -> None:
    for name in _missing(node, definition):
        attribute = definition.attributes[name]
        op_versions_table.write_value(node.attr[name], attribute.kind, attribute.default)
