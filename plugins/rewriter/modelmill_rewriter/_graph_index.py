"""A GraphDef that can be asked who reads what, and changed.

Every question takes constant time, every change takes time in the number of edges changed, so that a rule's cost
depends on what it matches and not on the size of the graph.
"""

from dataclasses import dataclass
from itertools import chain
from types import SimpleNamespace
from typing import Any, Container, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, op_versions, shapes, tensor_types, tensors, weights_beside
from modelmill_worker.graph_def import GraphDef, NodeDef, is_control, node_name

from modelmill_rewriter._constants import constant_value
from modelmill_rewriter._operations import FORWARDING, PREDICATES
from modelmill_rewriter._order import LOOP_OPERATIONS, topological_order
from modelmill_rewriter._recent_arrays import RecentArrays
from modelmill_rewriter._tensor import Tensor, parse_tensor, split_inputs

_BOOL = tensors.data_type_of(bool).number


@dataclass(frozen=True)
class Interface:
    """The tensors by which a model is used; the nodes that make them keep their names whatever is rewritten."""

    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]

    @property
    def nodes(self) -> FrozenSet[str]:
        """The names that must stay."""
        return frozenset(tensor.node for tensor in self.inputs + self.outputs)


class Drawn(NamedTuple):
    """A node as a picture shows it: its inputs as it spells them."""

    name: str
    operation: str
    inputs: Tuple[str, ...]


#: Of so many nodes it is remembered, for pictures, what they were before a pass changed them.
_MOST_REMEMBERED = 2000


class GraphIndex:
    """The nodes of a graph by name, with their consumers.

    It takes over the GraphDef's nodes and changes them; hand in a copy where the original is needed.
    The graph must be valid (`_validity.require_valid`).
    """

    def __init__(self, graph: GraphDef, interface: Interface, order: Optional[Sequence[str]] = None) -> None:
        """Index a graph. order: its nodes' names in the order of the data, where that is known already."""
        #: Whether a pass has given the model another interface, or may have.
        self.interface_changed = False
        self._take_for_interface(interface)
        self._source = graph
        self._nodes: Dict[str, NodeDef] = {node.name: node for node in graph.node}
        self._positions = {name: position for position, name in enumerate(self._nodes)}
        #: producer -> consumer -> number of edges, data and control.
        self._consumers: Dict[str, Dict[str, int]] = {name: {} for name in self._nodes}
        self._arrays = RecentArrays()
        #: Nodes that are no part of the message yet.
        self._new: Set[str] = set()
        #: What was added, removed or altered by the pass that runs, and who read what was removed.
        self.changed: Set[str] = set()
        #: Greater than those of all that a node reads; None where they must be found anew.
        self._ranks: Optional[Dict[str, float]] = None if order is None else _ranked(order)
        #: What `_layout.py` has found out, by the node whose first output it is. A change keeps every value that
        #: it keeps the name of, so this stays true until the name goes.
        self.layouts: Dict[str, Any] = {}
        self._shapes: Optional[shapes.Shapes] = None
        #: What was changed since `_shapes` was worked out.
        self._stale: Set[str] = set()
        #: What nodes were before the pass that runs changed them, by name; None where they were not there.
        self._before: Dict[str, Optional[Drawn]] = {}
        #: What each renamed node was called at first, by what it is called now.
        self._first_names: Dict[str, str] = {}
        for name, node in self._nodes.items():
            self._connect(name, node.input)

    # -- questions ---------------------------------------------------------------------------------------------------

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def names(self) -> Tuple[str, ...]:
        """Every node, in the order in which the graph will be written."""
        return tuple(sorted(self._nodes, key=self._positions.__getitem__))

    def node(self, name: str) -> NodeDef:
        """The NodeDef of that name; read it, but change it through this class only."""
        return self._nodes[name]

    def nodes_with(self, *operations: str) -> Tuple[str, ...]:
        """The nodes of these operations, in the order in which the graph will be written."""
        return tuple(name for name in self.names() if self._nodes[name].op in operations)

    def in_data_order(self, names: Iterable[str]) -> List[str]:
        """These nodes with producers before consumers."""
        return sorted(names, key=self._known_ranks().__getitem__)

    def cyclic(self) -> List[str]:
        """The nodes that lie on a cycle or behind one, since something was changed; loops of TensorFlow 1 are none."""
        if self._ranks is not None and all(self._is_behind_its_inputs(name) for name in self.changed):
            return []
        order, cyclic = topological_order(self._nodes)
        self._ranks = None if cyclic else _ranked(order)
        return cyclic

    @property
    def functions(self) -> Any:
        """The FunctionDefs of the library, as the message holds them."""
        return self._source.library.function

    @property
    def producer(self) -> int:
        """The version of the GraphDef format that the graph was written in."""
        return int(self._source.versions.producer)

    def is_fed(self, name: str) -> bool:
        """Whether the node is an input of the model, so that its value is not the graph's to say."""
        return name in self._fed

    def data_inputs(self, name: str) -> Tuple[Tensor, ...]:
        """The tensors that a node reads, in order."""
        return split_inputs(self._nodes[name].input)[0]

    def control_inputs(self, name: str) -> Tuple[str, ...]:
        """The nodes that a node waits for without reading them."""
        return split_inputs(self._nodes[name].input)[1]

    def consumers(self, name: str) -> Tuple[str, ...]:
        """The nodes that read a node or wait for it, each once."""
        return tuple(self._consumers[name])

    def has_control_consumers(self, name: str) -> bool:
        """Whether any node waits for this one without reading it."""
        return any("^" + name in self._nodes[consumer].input for consumer in self._consumers[name])

    def seen_through(self, tensor: Tensor) -> Tensor:
        """The tensor that has the same value, behind the Identity nodes that only hand it on."""
        while self.forwards(tensor):
            tensor = parse_tensor(self._nodes[tensor.node].input[0])
        return tensor

    def forwards(self, tensor: Tensor) -> bool:
        """Whether the tensor's producer only hands on another tensor, and waits for nothing."""
        node = self._nodes[tensor.node]
        return node.op in FORWARDING and len(node.input) == 1 and node.name not in self._fed

    def array(self, name: str) -> Optional[np.ndarray]:
        """The value of a Const node, bfloat16 as float32; None for a string, a handle or what lies beside the graph."""
        array = self._arrays.get(name)
        if array is None:
            node = self._nodes[name]
            storage = tensors.data_type(node.attr["value"].tensor.dtype).storage
            if storage is None or weights_beside.is_emptied(node):
                return None
            array = graph_def.constant_value(node)
            self._arrays.put(name, array)
        return array

    def dtype(self, tensor: Tensor) -> int:
        """The dtype of a tensor, by its number in types.proto; 0 where its node does not tell."""
        node = self._nodes[tensor.node]
        if node.op in PREDICATES:
            return _BOOL
        name = tensor_types.output_dtype(node, tensor.output)
        return 0 if name == "unknown" else tensors.data_type_named(name).number

    def constant(self, tensor: Tensor) -> Optional[np.ndarray]:
        """The value of a tensor that is the same whenever the model runs: a Const, or arithmetic on such; else None."""
        return constant_value(self, tensor)

    def shape(self, tensor: Tensor) -> Optional[Tuple[int, ...]]:
        """The shape of a tensor, -1 for a dimension that is not known; None where not even the rank is.

        The first question takes a walk over the graph, which is remembered.
        """
        return self._inferred(tensor).shape

    def integers(self, tensor: Tensor) -> Optional[np.ndarray]:
        """A small tensor of integers that follows from the graph's shapes; None where some of it does not.

        The array is of objects. What a model's inputs are said to be is believed: ask only where none of them but
        Placeholders leads to the tensor.
        """
        value = self._inferred(tensor).value
        return None if value is None or any(item is None for item in value.ravel()) else value

    def draw(self, name: str) -> Optional[Drawn]:
        """A node as it is; None where there is none."""
        node = self._nodes.get(name)
        return None if node is None else Drawn(name, str(node.op), tuple(node.input))

    def draw_before(self, name: str) -> Optional[Drawn]:
        """A node as it was before the pass that runs; None where there was none."""
        return self._before[name] if name in self._before else self.draw(name)

    def first_name(self, name: str) -> str:
        """What a node was called before any pass renamed it."""
        return self._first_names.get(name, name)

    def unused_name(self, wanted: str, taken: Container[str] = ()) -> str:
        """`wanted`, or `wanted_1`, `wanted_2` ... where it is taken."""
        name, number = wanted, 0
        while name in self._nodes or name in taken:
            number += 1
            name = "{}_{}".format(wanted, number)
        return name

    # -- changes -----------------------------------------------------------------------------------------------------

    def renew_shapes(self) -> None:
        """Work out anew the shapes that may be others than when they were worked out, as something was changed."""
        if self._shapes is None:
            return
        if any(node.op in LOOP_OPERATIONS for node in self._nodes.values()):
            self.forget_shapes()
            return
        message = self._message_like(self._nodes.values())
        self._shapes.renew(message, self._known_ranks(), self.consumers, self._stale)
        self._stale.clear()

    def suspect(self, names: Iterable[str]) -> None:
        """Take nodes for changed, whether this class was told or not."""
        found = list(names)
        self.changed.update(found)
        self._stale.update(found)

    def start_pass(self) -> None:
        """Remember from now on what is changed, and what it was before."""
        self._before.clear()
        self.changed.clear()

    def set_interface(self, interface: Interface) -> None:
        """Say by which tensors the model is used from now on; for passes with `changes_interface` only."""
        self.interface_changed = True
        self._take_for_interface(interface)

    def edit(self, name: str) -> NodeDef:
        """A node to change in place: its operation, its attributes and its device, but not its name or its inputs.

        Where the shapes of what it gives out change, call `forget_shapes` afterwards.
        """
        self._remember(name)
        self._arrays.forget(name)
        self.layouts.pop(name, None)
        return self._nodes[name]

    def forget_shapes(self) -> None:
        """Work out all shapes anew, as an input has got another."""
        self._shapes = None
        self.layouts.clear()

    def add(self, nodes: Iterable[NodeDef], beside: str) -> None:
        """Add new nodes, to be written where the node `beside` is; what they read must be there or among them."""
        position = self._positions[beside]
        named = {str(node.name): node for node in nodes}
        for name, node in named.items():
            self._remember(name)
            self._nodes[name] = node
            self._new.add(name)
            self._positions[name] = position
            self._consumers.setdefault(name, {})
        for name, node in named.items():
            self._connect(name, node.input)
        if self._ranks is not None:  # They are taken to be read by `beside`; `cyclic` finds out where that is wrong.
            upper, step = self._ranks[beside], 1 / (len(named) + 1)
            for number, name in enumerate(named):
                self._ranks[name] = upper if name == beside else upper - (len(named) - number) * step

    def rename(self, names: Mapping[str, str]) -> None:
        """Give nodes new names, which nothing else has; who reads, awaits or lies beside them follows.

        Takes time in the size of the graph: rename many at once.
        """
        for old, new in names.items():
            self._remember(old)
            self._remember(new)
        for node in self._nodes.values():
            node.name = names.get(node.name, node.name)
            for position, entry in enumerate(node.input):
                if node_name(entry) in names:
                    node.input[position] = _renamed(entry, names)
            if "_class" in node.attr:
                classes = node.attr["_class"].list.s
                classes[:] = [_renamed_class(item, names) for item in classes]
        self._first_names.update((new, self.first_name(old)) for old, new in names.items())
        self._nodes = {node.name: node for node in self._nodes.values()}
        self._new = {names.get(name, name) for name in self._new}
        self.suspect(self._nodes)
        self._ranks = None
        self._positions = {names.get(name, name): position for name, position in self._positions.items()}
        self._consumers = {
            names.get(name, name): {names.get(reader, reader): count for reader, count in readers.items()}
            for name, readers in self._consumers.items()
        }
        self._arrays = RecentArrays()
        self.forget_shapes()
        inputs, outputs = (
            tuple(Tensor(names.get(tensor.node, tensor.node), tensor.output) for tensor in side)
            for side in (self.interface.inputs, self.interface.outputs)
        )
        if Interface(inputs, outputs) != self.interface:
            self.set_interface(Interface(inputs, outputs))

    def reorder(self, names: Sequence[str]) -> None:
        """Write the nodes in this order from now on; all must be named."""
        self.to_graph_def()  # so that every node is in the message, where its position says
        self._positions = {name: position for position, name in enumerate(names)}
        in_order = iter([self._positions[node.name] for node in self._source.node])
        self._source.node.sort(key=lambda _: next(in_order))
        self._nodes = dict(zip(names, self._source.node))

    def replace(self, name: str, nodes: Sequence[NodeDef]) -> None:
        """Put new nodes where the node of that name was; the last of them has its name and so its consumers."""
        self._remember(name)
        self._disconnect(name, self._nodes.pop(name).input)
        self._forget(name)
        self.suspect(self._consumers[name])
        self.add(nodes, name)

    def redirect(self, old: str, new: Tensor) -> Tuple[str, ...]:
        """Let whoever reads or awaits a node's first output read or await another tensor; returns who was changed."""
        changed = self.consumers(old)
        for consumer in changed:
            self.set_inputs(consumer, [_redirected(entry, old, new) for entry in self._nodes[consumer].input])
        return changed

    def redirect_tensor(self, old: Tensor, new: Tensor) -> Tuple[str, ...]:
        """Let whoever reads a tensor, whichever output it is, read another one; returns who was changed.

        Who awaits its node goes on awaiting it.
        """
        changed = [name for name in self.consumers(old.node) if old in self.data_inputs(name)]
        for consumer in changed:
            entries = self._nodes[consumer].input
            spellings = [entry if is_control(entry) or parse_tensor(entry) != old else str(new) for entry in entries]
            self.set_inputs(consumer, spellings)
        return tuple(changed)

    def set_inputs(self, name: str, spellings: Iterable[str]) -> None:
        """Give a node other inputs; a control dependency named twice is kept once."""
        node = self._nodes[name]
        self._remember(name)
        self._disconnect(name, node.input)
        node.input[:] = _without_repeated_control(spellings)
        self._connect(name, node.input)

    def remove_unused(self, names: Iterable[str]) -> Tuple[str, ...]:
        """Remove those of the named nodes that nobody uses, and what then lost its last use; returns what is gone.

        The interface's nodes stay.
        """
        removed: List[str] = []
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in self._nodes or self._consumers[name] or name in self.kept:
                continue
            waiting.extend(node_name(entry) for entry in self._nodes[name].input)
            self._remove(name)
            removed.append(name)
        return tuple(removed)

    def retain(self, names: Iterable[str]) -> None:
        """Remove every other node; none of those named may use one of them."""
        retained = frozenset(names)
        for name in [name for name in self._nodes if name not in retained]:
            self._remove(name)

    def drop_default_attributes(self, version: str) -> Dict[str, List[str]]:
        """Drop what a minor version of TensorFlow does not know and what has its default, from functions as well.

        Returns the names of the nodes by what was dropped from them, such as "Conv2D.explicit_paddings".
        """
        functions = [function.node_def for function in self._source.library.function]
        return op_versions.drop_from_nodes(chain(self._nodes.values(), *functions), version)

    def to_graph_def(self) -> GraphDef:
        """The graph as it is now: the message that it came in, with other nodes, which are not copied."""
        for node in self._nodes.values():
            self._forget_lost_colocation(node)
        names = self.names()
        places = {name: place for place, name in enumerate(names)}
        order = [len(names)] * len(self._source.node)  # where each node of the message goes; to the end if it is gone
        for name in names:
            if name in self._new:
                self._source.node.add().CopyFrom(self._nodes.pop(name))
                order.append(places[name])
            else:
                order[self._positions[name]] = places[name]
        in_order = iter(order)
        self._source.node.sort(key=lambda _: next(in_order))
        del self._source.node[len(names) :]
        self._nodes = dict(zip(names, self._source.node))
        self._positions = places
        self._new = set()
        return self._source

    def _known_ranks(self) -> Dict[str, float]:
        if self._ranks is None:
            self._ranks = _ranked(topological_order(self._nodes)[0])
        return self._ranks

    def _is_behind_its_inputs(self, name: str) -> bool:
        if name not in self._nodes:
            return True
        ranks = self._known_ranks()
        rank = ranks[name]
        for entry in self._nodes[name].input:
            producer = entry if entry in ranks else node_name(entry)
            if ranks[producer] >= rank and self._nodes[producer].op not in LOOP_OPERATIONS:
                return False
        return True

    def _inferred(self, tensor: Tensor) -> shapes.Known:
        if self._shapes is None:
            self._shapes = shapes.infer(self._message_like(self._nodes.values()))
            self._stale.clear()
        elif tensor.node not in self._shapes.outputs:
            self._shapes.extend(self._message_like(self._unmet(tensor.node, self._shapes)))
        return self._shapes.of(str(tensor))

    def _take_for_interface(self, interface: Interface) -> None:
        self.interface = interface
        self.kept = interface.nodes
        self._fed = frozenset(tensor.node for tensor in interface.inputs)

    def _remember(self, name: str) -> None:
        self.changed.add(name)
        self._stale.add(name)
        if name not in self._before and len(self._before) < _MOST_REMEMBERED:
            self._before[name] = self.draw(name)

    def _remove(self, name: str) -> None:
        self._remember(name)
        self._disconnect(name, self._nodes.pop(name).input)
        self.suspect(self._consumers.pop(name))
        self._positions.pop(name)
        self._new.discard(name)
        if self._ranks is not None:
            self._ranks.pop(name)
        self.layouts.pop(name, None)
        self._forget(name)

    def _forget(self, name: str) -> None:
        """What is known of a node that is about to go or to be another."""
        self._arrays.forget(name)
        if self._shapes is not None:
            self._shapes.outputs.pop(name, None)

    def _message_like(self, nodes: Iterable[NodeDef]) -> Any:
        """These nodes with the fields of a GraphDef, without copying them."""
        return SimpleNamespace(node=list(nodes), library=self._source.library, versions=self._source.versions)

    def _unmet(self, name: str, known: shapes.Shapes) -> List[NodeDef]:
        """The node and those above it of which no shape is known yet."""
        found = {name: self._nodes[name]}
        waiting = [name]
        while waiting:
            for tensor in self.data_inputs(waiting.pop()):
                if tensor.node not in found and tensor.node not in known.outputs:
                    found[tensor.node] = self._nodes[tensor.node]
                    waiting.append(tensor.node)
        return list(found.values())

    def _connect(self, name: str, inputs: Iterable[str]) -> None:
        for entry in inputs:
            consumers = self._consumers.get(entry) or self._consumers[node_name(entry)]
            consumers[name] = consumers.get(name, 0) + 1

    def _disconnect(self, name: str, inputs: Iterable[str]) -> None:
        for entry in inputs:
            consumers = self._consumers.get(entry) or self._consumers.get(node_name(entry))
            if consumers is None:
                continue
            consumers[name] -= 1
            if not consumers[name]:
                del consumers[name]

    def _forget_lost_colocation(self, node: NodeDef) -> None:
        """TensorFlow refuses to import a node that is to lie beside one that does not exist."""
        if "_class" not in node.attr:
            return
        classes = node.attr["_class"].list.s
        found = [item for item in classes if not item.startswith(b"loc:@") or item[5:].decode() in self._nodes]
        if not found:
            del node.attr["_class"]
        elif len(found) < len(classes):
            classes[:] = found


def _ranked(order: Sequence[str]) -> Dict[str, float]:
    return {name: float(rank) for rank, name in enumerate(order)}


def _renamed(entry: str, names: Mapping[str, str]) -> str:
    old = node_name(entry)
    return entry.replace(old, names[old], 1)


def _renamed_class(item: bytes, names: Mapping[str, str]) -> bytes:
    """A colocation ("loc:@node") with the node's new name."""
    name = item[5:].decode() if item.startswith(b"loc:@") else ""
    return b"loc:@" + names[name].encode() if name in names else item


def _redirected(entry: str, old: str, new: Tensor) -> str:
    if is_control(entry):
        return "^" + new.node if entry[1:] == old else entry
    return str(new) if parse_tensor(entry) == Tensor(old) else entry


def _without_repeated_control(spellings: Iterable[str]) -> List[str]:
    data: List[str] = []
    control: List[str] = []
    for entry in spellings:
        if not is_control(entry):
            data.append(entry)
        elif entry not in control:
            control.append(entry)
    return data + control
