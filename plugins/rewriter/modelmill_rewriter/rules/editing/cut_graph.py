"""A part of a graph: between tensors that become its inputs, and those that become its outputs.

    f(g(x)) -> f(Placeholder)      cut at the input g(x)
    f(g(x)) -> g(x)                cut at the output g(x)

A new input has the type of the tensor that it stands for, and its shape as far as that is known; its node keeps the
name where the tensor is the node's only output, so that the same name is fed before and after.
"""

from dataclasses import dataclass
from typing import ClassVar, List, Optional, Tuple

from modelmill_worker import graph_def
from modelmill_worker.graph_def import NodeDef, node_name

from modelmill_rewriter.rules.editing._named import impossible, named_tensor
from modelmill_rewriter.rules_api import (
    Dtype,
    Firing,
    GraphIndex,
    Interface,
    Pass,
    Report,
    ShapeOf,
    Target,
    Tensor,
    argument,
    set_attribute,
)


@dataclass(frozen=True)
class CutGraph(Pass):
    """Keeps what lies between the tensors that are named."""

    name: ClassVar[str] = "cut_graph"
    summary: ClassVar[str] = "Cuts a graph at tensors: inputs=Mfcc, outputs=logits."
    changes_interface: ClassVar[bool] = True

    inputs: Tuple[str, ...] = argument((), "Tensors to feed; the model's own where none are named. Repeatable.")
    outputs: Tuple[str, ...] = argument((), "Tensors to fetch; the model's own where none are named. Repeatable.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Cut at the outputs, then at the inputs, and drop what nothing needs any more."""
        del target
        outputs = tuple(named_tensor(graph, self.name, name) for name in self.outputs) or graph.interface.outputs
        cuts = tuple(named_tensor(graph, self.name, name) for name in self.inputs)
        dtypes = [self._dtype(graph, tensor) for tensor in cuts]
        shapes = [graph.shape(tensor) for tensor in cuts]
        before = set(graph.names())
        made = [
            _feed(graph, tensor, dtype, shape, tensor.node in {output.node for output in outputs})
            for tensor, dtype, shape in zip(cuts, dtypes, shapes)
        ]
        needed = _needed(graph, [tensor.node for tensor in outputs])
        kept = tuple(tensor for tensor in graph.interface.inputs if tensor.node in needed and tensor not in cuts)
        inputs = (*made, *(tensor for tensor in kept if tensor not in made)) if cuts else kept
        unread = [str(tensor) for tensor, feed in zip(cuts, made) if feed.node not in needed]
        if unread:
            raise impossible(self.name, "no output depends on {}".format(", ".join(unread)), inputs=unread)
        graph.set_interface(Interface(inputs, outputs))
        graph.retain(needed)
        gone = tuple(sorted(before - set(graph.names())))
        new = tuple(tensor.node for tensor in made)
        changed = gone or new or outputs != graph.interface.outputs
        return Report(self.name, (Firing((*gone, *(name for name in new if name in before)), new),) if changed else ())

    def _dtype(self, graph: GraphIndex, tensor: Tensor) -> int:
        dtype = graph.dtype(tensor)
        if not dtype:
            raise impossible(
                self.name,
                "the graph does not tell the type of {}; put the cut before or behind it".format(tensor),
                tensor=str(tensor),
            )
        return dtype


def _feed(graph: GraphIndex, tensor: Tensor, dtype: int, shape: Optional[Tuple[int, ...]], fetched: bool) -> Tensor:
    """A Placeholder in the place of a tensor."""
    node = graph.node(tensor.node)
    if node.op == "Placeholder":
        return tensor
    others = any(
        read.node == tensor.node and read.output != tensor.output
        for reader in graph.consumers(tensor.node)
        for read in graph.data_inputs(reader)
    )
    own_name = tensor.output == 0 and not others and not fetched
    name = tensor.node if own_name else graph.unused_name("{}/fed".format(tensor.node))
    placeholder = new_placeholder(name, dtype, shape)
    if own_name:
        graph.replace(tensor.node, [placeholder])
    else:
        graph.add([placeholder], beside=tensor.node)
        graph.redirect_tensor(tensor, Tensor(name))
    return Tensor(name)


def new_placeholder(name: str, dtype: int, shape: Optional[Tuple[int, ...]]) -> NodeDef:
    """A Placeholder node; shape: a tuple with -1 for an open dimension, or None."""
    node = graph_def.new_node(name, "Placeholder")
    set_attribute(node, "dtype", Dtype(dtype))
    set_attribute(node, "shape", ShapeOf(shape))
    return node


def _needed(graph: GraphIndex, outputs: List[str]) -> List[str]:
    """The outputs' nodes and all that they read or wait for."""
    found = dict.fromkeys(outputs)
    waiting = list(outputs)
    while waiting:
        for entry in graph.node(waiting.pop()).input:
            name = node_name(entry)
            if name not in found:
                found[name] = None
                waiting.append(name)
    return list(found)
