"""A model's signature as the tensors that a rewrite must keep, and the signature that it has afterwards."""

from dataclasses import replace
from typing import Dict, Optional, Tuple

from modelmill_worker import signature, tensors
from modelmill_worker.signature import Signature

from modelmill_rewriter._tensor import parse_tensor
from modelmill_rewriter.rules_api import GraphIndex, Interface, Tensor


def interface_of(named: Signature) -> Interface:
    """The tensors that a signature names; what fills its tables counts as an output."""
    return Interface(
        inputs=tuple(parse_tensor(tensor.tensor) for tensor in named.inputs),
        outputs=tuple(parse_tensor(name) for name in [it.tensor for it in named.outputs] + list(named.initializers)),
    )


def signature_after(named: Signature, graph: GraphIndex) -> Signature:
    """The signature of a rewritten graph.

    An input or output that is still there keeps its name, whatever its node is called now; a new one is called like its
    node, and one that gives out nothing, a NoOp, is an initializer. Where a pass changed the interface, types and
    shapes are read from the graph.
    """
    if graph.interface == interface_of(named) and not graph.interface_changed:
        return named
    filling = [Tensor(graph.first_name(tensor.node)) for tensor in graph.interface.outputs]
    initializers = tuple(
        tensor.node
        for tensor, first in zip(graph.interface.outputs, filling)
        if first.node in named.initializers or graph.node(tensor.node).op == "NoOp"
    )
    outputs = tuple(tensor for tensor in graph.interface.outputs if tensor.node not in initializers)
    return replace(
        named,
        inputs=_entries(named.inputs, graph.interface.inputs, graph),
        outputs=_entries(named.outputs, outputs, graph),
        initializers=initializers,
    )


def _entries(
    before: Tuple[signature.Tensor, ...], now: Tuple[Tensor, ...], graph: GraphIndex
) -> Tuple[signature.Tensor, ...]:
    known: Dict[Tensor, signature.Tensor] = {parse_tensor(entry.tensor): entry for entry in before}
    return tuple(
        _entry(known.get(Tensor(graph.first_name(tensor.node), tensor.output)), tensor, graph) for tensor in now
    )


def _entry(before: Optional[signature.Tensor], tensor: Tensor, graph: GraphIndex) -> signature.Tensor:
    number = graph.dtype(tensor)
    shape = graph.shape(tensor)
    return signature.Tensor(
        name=before.name if before else str(tensor),
        tensor="{}:{}".format(tensor.node, tensor.output),
        dtype=tensors.data_type(number).name if number else before.dtype if before else "float32",
        shape=shape if shape is not None or before is None else before.shape,
    )
