"""Tensor arrays of the third version to the second, for a TensorFlow before 1.0.

    handle, flow = TensorArrayV3(size)            handle = TensorArrayV2(size), flow = 1.0
    TensorArrayReadV3(handle, index, flow)   ->   TensorArrayReadV2(handle, index, flow)

and so on for each operation on tensor arrays. The flow is a number that nobody computes with: it goes from one
operation to the next and makes them follow one another, so any constant can begin it. The handle is a string then and
no resource, which nodes that pass it through loops and conditions are told. What the second version does not know,
identical_element_shapes, goes: it lets TensorFlow find mistakes earlier.

TensorFlow from 1.0 on reads the second version only in graphs whose version is below 26: the report says so where the
graph's is not.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors

from modelmill_rewriter.rules_api import (
    Dtype,
    Firing,
    GraphIndex,
    Pass,
    Refusal,
    Report,
    Target,
    Tensor,
    places,
    set_attribute,
)

_MAKING = ("TensorArrayV3", "TensorArrayGradV3")
_USING = tuple(
    "TensorArray{}V3".format(what)
    for what in ("Close", "Concat", "Gather", "Read", "Scatter", "Size", "Split", "Write")
)
_PASSING_ON = frozenset(["Enter", "Exit", "Identity", "Merge", "NextIteration", "Switch"])
#: The version of graphs from which on the operations are no longer read (tensorflow/core/ops/data_flow_ops.cc).
_ENDED = 26


@dataclass(frozen=True)
class BackportTensorArrayV3(Pass):
    """Keeps tensor arrays by the second version of their operations."""

    name: ClassVar[str] = "backport_tensor_array_v3"
    summary: ClassVar[str] = "Makes tensor arrays of the second version of those of the third."

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change all of them or none, as a handle of one version is none of the other; functions stay as they are."""
        del target
        makers, users = graph.nodes_with(*_MAKING), graph.nodes_with(*_USING)
        carriers = _carriers(graph, makers)
        reasons = _objections(graph, makers, carriers)
        if reasons:
            refused = tuple(Refusal(name, reasons.get(name, _among(reasons))) for name in makers)
            return Report(self.name, refused=refused)
        fired = [_begin_flow(graph, name) for name in makers]
        for name in (*makers, *users):
            node = graph.edit(name)
            node.op = node.op[:-1] + "2"
            if "identical_element_shapes" in node.attr:
                del node.attr["identical_element_shapes"]
        for name in carriers:
            set_attribute(graph.edit(name), "T", Dtype(tensors.STRING.number))
        if not makers and not users:
            return Report(self.name)
        graph.forget_shapes()
        others = (*users, *carriers)
        fired += [Firing(others, others)] if others else []
        return Report(self.name, tuple(fired), note=_note(graph))


def _carriers(graph: GraphIndex, makers: Tuple[str, ...]) -> Tuple[str, ...]:
    """The nodes that only pass a handle on."""
    waiting = [Tensor(name) for name in makers]
    found: Dict[str, None] = {}
    while waiting:
        tensor = waiting.pop()
        for consumer in graph.consumers(tensor.node):
            node = graph.node(consumer)
            if node.op in _PASSING_ON and tensor in graph.data_inputs(consumer)[:2] and consumer not in found:
                found[consumer] = None
                waiting.extend([Tensor(consumer), Tensor(consumer, 1)] if node.op == "Switch" else [Tensor(consumer)])
    return tuple(found)


def _objections(graph: GraphIndex, makers: Tuple[str, ...], carriers: Tuple[str, ...]) -> Dict[str, str]:
    """Why tensor arrays stay as they are, by the nodes that stand against it or make them."""
    reasons: Dict[str, str] = {}
    inside = places(graph)
    known = frozenset(_MAKING + _USING)
    handles: Set[Tensor] = {Tensor(name) for name in (*makers, *carriers)}
    handles |= {Tensor(name, 1) for name in carriers if graph.node(name).op == "Switch"}
    for name in makers:
        if name in inside:
            reasons[name] = "it lies inside a loop or a condition, where a constant flow would not run when it does"
    for handle in sorted(handles):
        if any(handle == tensor for tensor in graph.interface.outputs):
            reasons[handle.node] = "its handle is an output of the model"
        for consumer in graph.consumers(handle.node):
            operation = graph.node(consumer).op
            if handle in graph.data_inputs(consumer) and operation not in known and consumer not in carriers:
                reasons[handle.node] = "its handle is read by {}, a {}".format(consumer, operation)
    return reasons


def _among(reasons: Dict[str, str]) -> str:
    name, reason = next(iter(reasons.items()))
    return "another must stay as it is: {} ({})".format(name, reason)


def _begin_flow(graph: GraphIndex, name: str) -> Firing:
    """A constant that takes the place of a maker's second output, where that is read."""
    flow = Tensor(name, 1)
    if not any(flow in graph.data_inputs(consumer) for consumer in graph.consumers(name)):
        return Firing((name,), (name,))
    made = graph_def.new_constant(graph.unused_name(name + "/replacement_flow_node"), np.array(1, np.float32))
    made.device = graph.node(name).device
    graph.add([made], beside=name)
    graph.redirect_tensor(flow, Tensor(made.name))
    return Firing((name,), (name, made.name))


def _note(graph: GraphIndex) -> str:
    if graph.producer < _ENDED:
        return ""
    return (
        "TensorFlow from 1.0 on reads tensor arrays of the second version only in graphs of a version below {}, and "
        "this one is of version {}.".format(_ENDED, graph.producer)
    )
