"""Attributes that the converting TensorFlow does not know, away where they have their defaults.

    f(x, a=default)  ->  f(x)

where a came after the version that will convert the graph: what f does without a is what it did before a came, and
that is a's default (tensorflow.org/guide/versions). An attribute with another value stays, and that version refuses
it or, from 2.5 on, passes over it. Where no version is named, nothing is removed.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_worker import op_versions

from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target


@dataclass(frozen=True)
class RemoveDefaultAttributes(Pass):
    """Lets an older TensorFlow read what a newer one wrote."""

    name: ClassVar[str] = "remove_default_attributes"
    summary: ClassVar[str] = "Removes attributes at their default that the converting TensorFlow does not know."

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Look at each node and function, for the version that the target names."""
        if target.tensorflow is None:
            return Report(self.name)
        version = op_versions.minor_version("{}.{}".format(*target.tensorflow))
        dropped = graph.drop_default_attributes(version)
        changed = dict.fromkeys(name for nodes in dropped.values() for name in nodes)
        firings = tuple(Firing((name,), (name,)) for name in changed)
        return Report(self.name, firings, note=op_versions.dropped_note(dropped, version))
