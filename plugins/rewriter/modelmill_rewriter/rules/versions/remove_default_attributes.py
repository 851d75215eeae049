"""Attributes that the converting TensorFlow does not know, away where they have their defaults.

    f(x, a=default)  ->  f(x)

where a came after the version that will convert the graph: what f does without a is what it did before a came, and
that is a's default (tensorflow.org/guide/versions). An attribute with another value stays, and that version refuses
it or, from 2.5 on, passes over it. Where no version is named, nothing is removed.

With all=true every attribute at its default goes, as where a SavedModel is written with its defaults stripped; but for
types, which tell what a node gives out, and for what the model's inputs say. Any TensorFlow that knows its operations
reads the graph so.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Dict, List, Tuple

from modelmill_worker import op_versions, op_versions_table
from modelmill_worker.graph_def import NodeDef
from modelmill_worker.op_versions_table import FIELDS, NO_DEFAULT, Attribute, plain_value

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target, argument


@dataclass(frozen=True)
class RemoveDefaultAttributes(Pass):
    """Lets an older TensorFlow read what a newer one wrote."""

    name: ClassVar[str] = "remove_default_attributes"
    summary: ClassVar[str] = "Removes attributes at their default that the converting TensorFlow does not know."

    every: bool = argument(False, "Remove whatever has its default, types excepted.", name="all")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Look at each node, for the version that the target names at those of functions too."""
        if self.every:
            return self._strip(graph)
        if target.tensorflow is None:
            return Report(self.name)
        version = op_versions.minor_version("{}.{}".format(*target.tensorflow))
        dropped = graph.drop_default_attributes(version)
        changed = dict.fromkeys(name for nodes in dropped.values() for name in nodes)
        firings = tuple(Firing((name,), (name,)) for name in changed)
        return Report(self.name, firings, note=op_versions.dropped_note(dropped, version))

    def _strip(self, graph: GraphIndex) -> Report:
        changed = []
        for name in graph.names():
            found = _at_default(graph.node(name)) if not graph.is_fed(name) else []
            for key in found:
                del graph.edit(name).attr[key]
            if found:
                changed.append(name)
        firings = (Firing(tuple(changed), tuple(changed)),) if changed else ()
        return Report(self.name, firings)


def _at_default(node: NodeDef) -> List[str]:
    """The attributes that say what every version that knows them takes a node without them to mean."""
    known = _attributes(node.op)
    return [key for key in node.attr if key in known and all(_is_default(node.attr[key], item) for item in known[key])]


@lru_cache(maxsize=None)
def _attributes(operation: str) -> Dict[str, Tuple[Attribute, ...]]:
    """An operation's attributes by name, each as every version that differs has it."""
    history = op_versions_table.table().history(operation)
    found: Dict[str, Dict[int, Attribute]] = {}
    for definition in history:
        for key, attribute in definition.attributes.items() if definition is not None else ():
            found.setdefault(key, {})[id(attribute)] = attribute
    return {key: tuple(attributes.values()) for key, attributes in found.items()}


def _is_default(value: Any, attribute: Attribute) -> bool:
    if attribute.default is NO_DEFAULT or attribute.kind in ("type", "list(type)"):
        return False
    field = "list" if attribute.kind.startswith("list(") else FIELDS[attribute.kind]
    return bool(value.WhichOneof("value") == field and plain_value(value, attribute.kind) == attribute.default)
