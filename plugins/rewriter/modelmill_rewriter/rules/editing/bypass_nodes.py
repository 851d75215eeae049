"""Nodes that are left out of the way: who read their output reads their first input.

    f(n(x, ...)) -> f(x)

For what does nothing that matters where the model is going: a clip that never clips, a print, a noise. Types, and
shapes as far as they are known, must agree.
"""

from dataclasses import dataclass
from typing import ClassVar, List

from modelmill_worker import tensors

from modelmill_rewriter.rules.editing._named import impossible, named_nodes
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target, Tensor, argument


@dataclass(frozen=True)
class BypassNodes(Pass):
    """Reads what nodes read instead of what they give out."""

    name: ClassVar[str] = "bypass_nodes"
    summary: ClassVar[str] = "Lets who reads a node read its first input: node=*/noise."

    node: str = argument("", "The node, or a shell pattern for several.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """One node after the other; one that is an output of the model becomes an Identity, for its name."""
        del target
        fired: List[Firing] = []
        for name in named_nodes(graph, self.name, self.node):
            if name in graph:
                fired.append(self._bypass(graph, name))
        return Report(self.name, tuple(fired))

    def _bypass(self, graph: GraphIndex, name: str) -> Firing:
        source = self._source(graph, name)
        control = graph.control_inputs(name)
        if name in graph.kept or control:
            node = graph.edit(name)
            dtype = graph.dtype(source)
            node.op = "Identity"
            node.attr.clear()
            node.attr["T"].type = dtype
            graph.set_inputs(name, [str(source), *("^" + other for other in control)])
            return Firing((name,), (name,))
        readers = graph.redirect(name, source)
        gone = graph.remove_unused([name])
        return Firing((*gone, *readers), readers)

    def _source(self, graph: GraphIndex, name: str) -> Tensor:
        inputs = graph.data_inputs(name)
        if not inputs:
            raise impossible(self.name, "{} reads nothing".format(name), node=name)
        others = [read for reader in graph.consumers(name) for read in graph.data_inputs(reader)]
        if any(read.node == name and read.output for read in others):
            raise impossible(self.name, "more than the first output of {} is read".format(name), node=name)
        source = inputs[0]
        dtypes = graph.dtype(source), graph.dtype(Tensor(name))
        if dtypes[0] != dtypes[1]:
            raise impossible(self.name, "{} gives out another type than it reads".format(name), node=name)
        if not tensors.shapes_agree(graph.shape(source), graph.shape(Tensor(name))):
            raise impossible(self.name, "{} gives out another shape than it reads".format(name), node=name)
        return source
