"""Changes a graph as a plan says: the planned nodes, and a Transpose wherever one order meets the other."""

from typing import Dict, Iterable, List, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules.shapes._about_layout_changes import Change, Form, Operand, Picked, turned_placeholder
from modelmill_rewriter.rules.shapes._about_layout_plan import Plan
from modelmill_rewriter.rules.shapes._about_layouts import TO_FIRST, TO_LAST
from modelmill_rewriter.rules_api import (
    Attribute,
    Dtype,
    Firing,
    GraphIndex,
    Refusal,
    Report,
    Tensor,
    set_attribute,
)

_INT32 = Dtype(tensors.data_type_of(np.int32).number)
_MOST_OUTPUTS = 8  # of an operation that says NCHW


class Writer:
    """Changes a graph as a plan says."""

    def __init__(self, graph: GraphIndex, plan: Plan, with_outputs: bool) -> None:
        self._graph = graph
        self._plan = plan
        self._with_outputs = with_outputs
        #: Where a turned tensor is now, if not where it was.
        self._moved: Dict[Tensor, Tensor] = {}
        self._as_first: Dict[Tensor, Tensor] = {}
        self._as_last: Dict[Tensor, Tensor] = {}
        self._constants: Dict[Tuple[Tensor, Tuple[int, ...], bytes], Tensor] = {}
        self._added: List[str] = []
        #: What reads an image in the order that it wants: changed and added nodes.
        self._ours: Set[str] = set()
        self._lost: List[str] = []
        self._needing_first: Dict[str, None] = {}

    def report(self, rule: str) -> Report:
        """Change everything, and tell it."""
        plan, graph = self._plan, self._graph
        for name in plan.placeholders:
            self._turn_placeholder(name)
        names = {name: self._room_for(name) for name in plan.changes}
        for name, change in plan.changes.items():
            self._change(names[name], change)
        self._ours.update(names.values())
        for tensor in sorted(plan.turned):
            self._serve_the_others(tensor)
        self._leave_out_what_only_hands_on()
        removed = graph.remove_unused(self._lost)
        graph.forget_shapes()
        return self._told(rule, names, removed)

    def _told(self, rule: str, names: Dict[str, str], removed: Tuple[str, ...]) -> Report:
        first = self._plan.written_for_images
        said_nchw = frozenset(first)
        others = tuple(name for name in self._plan.changes if name not in said_nchw)
        fired = [Firing((name,), (names[name],)) for name in first]
        around = Firing(
            others + removed,
            tuple(name for name in [*(names[name] for name in others), *self._added] if name in self._graph),
        )
        fired.extend([around] if around.before or around.after else [])
        refused = self._plan.refused + [
            Refusal(name, "it reads images with the channels first, so a Transpose goes before it")
            for name in self._needing_first
        ]
        inputs = ", ".join(self._plan.placeholders)
        note = "These inputs take NHWC images now: {}.".format(inputs) if inputs else ""
        return Report(rule, tuple(fired), tuple(refused), note)

    # -- the nodes that change -----------------------------------------------------------------------------------------

    def _turn_placeholder(self, name: str) -> None:
        shape = self._graph.shape(Tensor(name))
        assert shape is not None  # the plan takes no other
        node = self._graph.edit(name)
        for key, value in turned_placeholder(shape).items():
            set_attribute(node, key, value)
        _drop(node, "_output_shapes")

    def _room_for(self, name: str) -> str:
        """The name for the changed node: another one where the old one stays for what it gave out before."""
        change = self._plan.changes[name]
        turned_output = name in self._graph.kept and 0 in change.turned and not self._with_outputs
        if not turned_output and not change.picked:
            return name
        copy = self._copied(name)
        self._add([copy], name)
        for index in range(1, _MOST_OUTPUTS):
            self._graph.redirect_tensor(Tensor(name, index), Tensor(copy.name, index))
        if change.picked:
            self._graph.replace(name, self._picked(name, Tensor(copy.name), change.picked))
        else:
            self._graph.replace(name, self._transposed(name, Tensor(copy.name), TO_FIRST))
            self._moved[Tensor(name)] = Tensor(copy.name)
            self._as_first[Tensor(name)] = Tensor(name)
        return copy.name

    def _copied(self, name: str) -> NodeDef:
        copy = graph_def.new_node(self._graph.unused_name(name + "/nhwc"), "")
        label = copy.name
        copy.CopyFrom(self._graph.node(name))
        copy.name = label
        return copy

    def _change(self, name: str, change: Change) -> None:
        graph = self._graph
        read = graph.data_inputs(name)
        operands = [self._operand(name, item, wanted) for item, wanted in zip(read, change.operands)]
        waited_for = ["^" + other for other in graph.control_inputs(name)]
        node = graph.edit(name)
        if change.operation:
            node.op = change.operation
            _drop(node, "Tperm")
            operands = operands[:1]
        graph.set_inputs(name, [str(tensor) for tensor in operands] + waited_for)
        for key, value in change.attributes.items():
            set_attribute(node, key, value)
        _drop(node, "_output_shapes")
        self._lost.extend(tensor.node for tensor in read)

    def _operand(self, reader: str, tensor: Tensor, wanted: Operand) -> Tensor:
        if wanted is Form.LAST:
            return self._last(tensor)
        if wanted is Form.AS_IS:
            return self._first(tensor) if tensor in self._plan.turned else tensor
        if isinstance(wanted, Picked):
            nodes = self._picked(self._graph.unused_name(tensor.node + "/nhwc"), tensor, wanted.order)
            self._add(nodes, reader)
            return Tensor(nodes[-1].name)
        assert isinstance(wanted, np.ndarray)
        return self._constant(reader, tensor, wanted)

    def _serve_the_others(self, tensor: Tensor) -> None:
        """Who reads an image and needs it as it was reads a Transpose of it."""
        home = self._moved.get(tensor, tensor)
        readers = [
            name
            for name in self._graph.consumers(tensor.node)
            if name not in self._ours and tensor in self._graph.data_inputs(name)
        ]
        if home != tensor or not readers:
            return
        instead = str(self._first(tensor))
        for name in readers:
            entries = [
                instead if not graph_def.is_control(entry) and _is(entry, tensor) else entry
                for entry in self._graph.node(name).input
            ]
            self._graph.set_inputs(name, entries)
            self._needing_first[name] = None

    def _leave_out_what_only_hands_on(self) -> None:
        """Transposes that cancelled: who reads one may as well read what it reads."""
        for name, change in self._plan.changes.items():
            waits = self._graph.control_inputs(name) or self._graph.has_control_consumers(name)
            if change.operation == "Identity" and name not in self._graph.kept and not waits:
                self._graph.redirect(name, self._graph.data_inputs(name)[0])
                self._lost.append(name)

    # -- the nodes between them ----------------------------------------------------------------------------------------

    def _last(self, tensor: Tensor) -> Tensor:
        """The NHWC image."""
        if tensor in self._plan.turned:
            return self._moved.get(tensor, tensor)
        if tensor in self._plan.sources:
            return self._plan.sources[tensor]
        if tensor not in self._as_last:
            self._as_last[tensor] = self._transpose(tensor, "/nhwc", TO_LAST)
        return self._as_last[tensor]

    def _first(self, tensor: Tensor) -> Tensor:
        """The NCHW image of a turned tensor."""
        if tensor not in self._as_first:
            self._as_first[tensor] = self._transpose(self._moved.get(tensor, tensor), "/nchw", TO_FIRST)
        return self._as_first[tensor]

    def _transpose(self, tensor: Tensor, ending: str, order: Tuple[int, ...]) -> Tensor:
        nodes = self._transposed(self._graph.unused_name(tensor.node + ending), tensor, order)
        self._add(nodes, tensor.node)
        return Tensor(nodes[-1].name)

    def _transposed(self, name: str, tensor: Tensor, order: Tuple[int, ...]) -> List[NodeDef]:
        perm = self._new_constant(name + "/perm", np.array(order, np.int32))
        attributes: Dict[str, Attribute] = {"T": Dtype(self._graph.dtype(tensor)), "Tperm": _INT32}
        return [perm, self._node(name, "Transpose", (str(tensor), perm.name), attributes, tensor.node)]

    def _picked(self, name: str, tensor: Tensor, order: Tuple[int, ...]) -> List[NodeDef]:
        """Items of a list, or rows of a matrix, in another order."""
        places_ = self._new_constant(name + "/order", np.array(order, np.int32))
        axis = self._new_constant(name + "/axis", np.array(0, np.int32))
        dtype = Dtype(self._graph.dtype(tensor))
        attributes: Dict[str, Attribute] = {"Tparams": dtype, "Tindices": _INT32, "Taxis": _INT32}
        gather = self._node(name, "GatherV2", (str(tensor), places_.name, axis.name), attributes, tensor.node)
        return [places_, axis, gather]

    def _constant(self, reader: str, tensor: Tensor, value: np.ndarray) -> Tensor:
        key = (tensor, value.shape, value.tobytes())
        if key not in self._constants:
            kind = tensors.data_type(self._graph.dtype(tensor))
            node = graph_def.new_constant(self._graph.unused_name(tensor.node + "/nhwc"), value, kind)
            self._add([node], reader)
            self._constants[key] = Tensor(node.name)
        return self._constants[key]

    def _new_constant(self, name: str, value: np.ndarray) -> NodeDef:
        return graph_def.new_constant(self._graph.unused_name(name), value)

    def _node(
        self, name: str, operation: str, inputs: Tuple[str, ...], attributes: Dict[str, Attribute], beside: str
    ) -> NodeDef:
        node = graph_def.new_node(name, operation, inputs)
        node.device = self._graph.node(beside).device
        for key, value in attributes.items():
            set_attribute(node, key, value)
        return node

    def _add(self, nodes: Iterable[NodeDef], beside: str) -> None:
        nodes = list(nodes)
        self._graph.add(nodes, beside)
        names = [node.name for node in nodes]
        self._added.extend(names)
        self._ours.update(names)


def _drop(node: NodeDef, attribute: str) -> None:
    if attribute in node.attr:
        del node.attr[attribute]


def _is(entry: str, tensor: Tensor) -> bool:
    return Tensor(graph_def.node_name(entry), graph_def.output_index(entry)) == tensor
