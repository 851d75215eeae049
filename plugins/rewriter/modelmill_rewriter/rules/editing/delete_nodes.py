"""Nodes, away, with whoever waits for them no longer waiting.

    f(x, ^n), n -> f(x)

A node that something reads can't go; bypass it, or delete what reads it as well.
"""

from dataclasses import dataclass
from typing import ClassVar

from modelmill_rewriter.rules.editing._named import impossible, named_nodes
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target, argument


@dataclass(frozen=True)
class DeleteNodes(Pass):
    """Deletes nodes by a name or pattern."""

    name: ClassVar[str] = "delete_nodes"
    summary: ClassVar[str] = "Deletes nodes that nothing reads: node=*/Assert*."

    node: str = argument("", "The node, or a shell pattern for several.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Take them out of what waits for them, then remove them."""
        del target
        doomed = named_nodes(graph, self.name, self.node)
        leaving = frozenset(doomed)
        for name in doomed:
            if name in graph.kept:
                raise impossible(self.name, "{} is an input or output of the model".format(name), node=name)
            readers = [
                reader
                for reader in graph.consumers(name)
                if reader not in leaving and name in [read.node for read in graph.data_inputs(reader)]
            ]
            if readers:
                raise impossible(
                    self.name,
                    "{} reads {}; bypass it instead, or delete both".format(readers[0], name),
                    node=name,
                    readers=readers,
                )
        waiting = dict.fromkeys(reader for name in doomed for reader in graph.consumers(name) if reader not in leaving)
        for reader in waiting:
            entries = [entry for entry in graph.node(reader).input if entry.lstrip("^") not in leaving]
            graph.set_inputs(reader, entries)
        graph.retain(name for name in graph.names() if name not in leaving)
        return Report(self.name, (Firing((*doomed, *waiting), tuple(waiting)),))
