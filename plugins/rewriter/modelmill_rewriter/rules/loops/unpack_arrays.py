"""Arrays whose indices are all constant, away.

Before, TensorFlow 1 and 2:

    read(scatter(array(n), 0..n-1, value), i)    gather(write(... write(array(n), 0, a) ..., n-1, z), 0..n-1)
    get_item(from_tensor(value), i)              stack(set_item(... set_item(reserve(n), 0, a) ..., n-1, z))

After:

    Unpack(value)[i]                             Pack(a, ..., z)

What an array holds at an index is what was last written there, by the order that flows and lists tell; with constant
indices that is a tensor of the graph. An array that is filled from a tensor and read as a whole is that tensor. Loops
read with an index that they count: unroll them first (`unroll_loops`).

An array stays where an index or its size is not constant, where it is read or written inside a loop or a condition or
handed to a function, and where an element is read and none was written.
An element that was not written, among others that were, is zeros, as TensorFlow reads it.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter._order import topological_order
from modelmill_rewriter.rules.loops._about_arrays import (
    CONTENTS,
    ORIGINS,
    OUTCOMES,
    Contents,
    Element,
    Joined,
    Outcome,
    Piece,
    Reading,
    Stacked,
    StaysAnArray,
    Zeros,
)
from modelmill_rewriter.rules.loops._about_small_values import SmallValues
from modelmill_rewriter.rules_api import (
    Dtype,
    Firing,
    GraphIndex,
    Pass,
    Place,
    Refusal,
    Report,
    Target,
    Tensor,
    places,
    set_attribute,
)


@dataclass(frozen=True)
class UnpackArrays(Pass):
    """Replaces arrays with constant indices by the tensors that lie in them."""

    name: ClassVar[str] = "unpack_arrays"
    summary: ClassVar[str] = "Replaces TensorArrays and tensor lists with constant indices by Unpack and Pack."

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """All arrays that lie outside of loops and are read and written at constant indices."""
        del target
        fired: List[Firing] = []
        while True:  # An array that became a tensor has a shape, which another array may have waited for.
            families = _families(graph)
            outcomes, refused = _Followed(graph, families).result() if families else ({}, {})
            going = {origin: family for origin, family in families.items() if origin not in refused}
            if not going:
                refusals = tuple(Refusal(origin, reason) for origin, reason in refused.items())
                return Report(self.name, tuple(fired), refusals)
            making = _Making(graph, outcomes)
            fired += [Firing(tuple(family), making.replaced(family)) for family in going.values()]
            for family in going.values():
                _remove(graph, [name for name in family if name not in making.handing_on])
            graph.forget_shapes()


def _families(graph: GraphIndex) -> Dict[str, List[str]]:
    """The operations that work on the same arrays, in the order in which they run, by one at which an array begins."""
    origins = graph.nodes_with(*ORIGINS)
    if not origins:
        return {}
    family_of: Dict[str, str] = {}
    members: Dict[str, Set[str]] = {}
    for origin in origins:
        found = _reached(graph, origin)
        joined = {family_of[name] for name in found if name in family_of}
        for other in joined:
            found |= members.pop(other)
        family_of.update(dict.fromkeys(found, origin))
        members[origin] = found
    nodes = {name: graph.node(name) for name in graph.names()}
    families: Dict[str, List[str]] = {origin: [] for origin in members}
    for name in topological_order(nodes)[0]:
        if name in family_of:
            families[family_of[name]].append(name)
    return families


def _reached(graph: GraphIndex, origin: str) -> Set[str]:
    """The node and all that read what stands for the array's contents."""
    found = {origin}
    waiting = [origin]
    while waiting:
        name = waiting.pop()
        standing = [Tensor(name, output) for output in CONTENTS.get(graph.node(name).op, ())]
        for consumer in graph.consumers(name):
            if consumer not in found and any(tensor in standing for tensor in graph.data_inputs(consumer)):
                found.add(consumer)
                waiting.append(consumer)
    return found


class _Followed:
    """What each operation of each family gives out, or why a family has to stay."""

    def __init__(self, graph: GraphIndex, families: Dict[str, List[str]]) -> None:
        self._graph = graph
        self._families = families
        self._values = SmallValues(graph)
        self._places = places(graph)
        self._contents: Dict[Tensor, Optional[Contents]] = {}

    def result(self) -> Tuple[Dict[Tensor, Outcome], Dict[str, str]]:
        """The outcomes by output, and the reasons by the family's origin."""
        outcomes: Dict[Tensor, Outcome] = {}
        refused: Dict[str, str] = {}
        for origin, family in self._families.items():
            try:
                for name in family:
                    outcomes.update(self._outcomes(name))
            except StaysAnArray as reason:
                refused[origin] = str(reason)
        return outcomes, refused

    def _outcomes(self, name: str) -> Dict[Tensor, Outcome]:
        node = self._graph.node(name)
        if name in self._places:
            raise StaysAnArray("its {!r} lies inside {}".format(name, _described(self._places[name])))
        if node.op not in OUTCOMES:
            raise StaysAnArray("its {!r} ({}) hands it on".format(name, node.op))
        if name in self._graph.kept and node.op in CONTENTS:
            raise StaysAnArray("its {!r} is an output of the model".format(name))
        given = OUTCOMES[node.op](Reading(self._graph, self._values, self._contents, name))
        found = {Tensor(name, number): outcome for number, outcome in enumerate(given)}
        for consumer in self._graph.consumers(name):
            for tensor in self._graph.data_inputs(consumer):
                if tensor.node == name and tensor not in found:
                    raise StaysAnArray("{!r} reads the lengths of its parts".format(consumer))
        for tensor, outcome in found.items():
            if isinstance(outcome, int):
                self._values.learn(tensor, np.asarray(outcome, np.int32))
        self._contents.update((tensor, outcome) for tensor, outcome in found.items() if isinstance(outcome, Contents))
        return {tensor: outcome for tensor, outcome in found.items() if not isinstance(outcome, Contents)}


def _described(place: Place) -> str:
    if place.frames:
        return "the loop {!r}".format(place.frames[-1])
    return "the condition on {!r}".format(min(place.conditions)[0])


class _Making:
    """Makes what takes the place of what is read from arrays."""

    def __init__(self, graph: GraphIndex, outcomes: Dict[Tensor, Outcome]) -> None:
        self._graph = graph
        self._outcomes = outcomes
        #: Where a tensor that was read from an array is now: it may have been written to another array.
        self._now: Dict[Tensor, Tensor] = {}
        self._unpacked: Dict[Tuple[Tensor, int], str] = {}
        self._zeros_like: Dict[Tensor, Tensor] = {}
        self._made: List[str] = []
        #: The operations that became nodes that hand on what they gave, as somebody knows or awaits them by name.
        self.handing_on: Set[str] = set()

    def replaced(self, family: Sequence[str]) -> Tuple[str, ...]:
        """Replace what a family's operations give out; returns the names of the new nodes."""
        self._made = []
        for name in family:
            for output in (0, 1):
                tensor = Tensor(name, output)
                outcome = self._outcomes.get(tensor)
                if outcome is not None:
                    self._hand_over(tensor, outcome)
        return tuple(self._made)

    def _hand_over(self, tensor: Tensor, outcome: Outcome) -> None:
        graph = self._graph
        reader = graph.node(tensor.node)
        if not graph.consumers(tensor.node) and tensor.node not in graph.kept:
            return
        new = self._tensor(reader, outcome)
        self._now[tensor] = new
        controls = graph.control_inputs(tensor.node)
        if tensor.node not in graph.kept and not controls and not graph.has_control_consumers(tensor.node):
            graph.redirect_tensor(tensor, new)
            return
        node = graph_def.new_node(tensor.node, "Identity", (str(new), *("^" + name for name in controls)))
        node.device = reader.device
        set_attribute(node, "T", Dtype(_element_type(reader)))
        graph.replace(tensor.node, [node])
        self.handing_on.add(tensor.node)

    def _tensor(self, reader: NodeDef, outcome: Outcome) -> Tensor:
        if isinstance(outcome, Stacked):
            return self._stacked(reader, outcome.elements)
        if isinstance(outcome, Joined):
            return self._joined(reader, outcome.elements)
        if isinstance(outcome, int):
            name = self._graph.unused_name(reader.name + "/size")
            return self._add(graph_def.new_constant(name, np.asarray(outcome, np.int32)), reader)
        assert isinstance(outcome, (Tensor, Piece, Zeros))
        return self._element(reader, outcome)

    def _element(self, reader: NodeDef, element: Element) -> Tensor:
        if isinstance(element, Tensor):
            return self._now.get(element, element)
        if isinstance(element, Zeros):
            return self._zeros(reader, element)
        whole = self._now.get(element.whole, element.whole)
        key = (whole, element.count)
        if key not in self._unpacked:
            maker = self._graph.node(element.maker)
            node = graph_def.new_node(self._graph.unused_name(element.maker + "/unpack"), "Unpack", (str(whole),))
            set_attribute(node, "num", element.count)
            set_attribute(node, "axis", 0)
            set_attribute(node, "T", Dtype(_element_type(maker)))
            self._unpacked[key] = self._add(node, maker).node
        return Tensor(self._unpacked[key], element.position)

    def _zeros(self, reader: NodeDef, zeros: Zeros) -> Tensor:
        like = self._element(reader, zeros.like)
        if like not in self._zeros_like:
            dtype = _element_type(reader)
            shape = self._graph.shape(like)
            name = self._graph.unused_name(reader.name + "/zeros")
            if shape is None or min(shape, default=0) < 0:
                node = graph_def.new_node(name, "ZerosLike", (str(like),))
                set_attribute(node, "T", Dtype(dtype))
            else:
                node = graph_def.new_constant(name, np.zeros(shape), tensors.data_type(dtype))
            self._zeros_like[like] = self._add(node, reader)
        return self._zeros_like[like]

    def _stacked(self, reader: NodeDef, elements: Sequence[Element]) -> Tensor:
        whole = _whole(elements)
        if whole is not None:
            return self._now.get(whole, whole)
        inputs = [str(self._element(reader, element)) for element in elements]
        node = graph_def.new_node(self._graph.unused_name(reader.name + "/pack"), "Pack", tuple(inputs))
        set_attribute(node, "N", len(inputs))
        set_attribute(node, "axis", 0)
        set_attribute(node, "T", Dtype(_element_type(reader)))
        return self._add(node, reader)

    def _joined(self, reader: NodeDef, elements: Sequence[Element]) -> Tensor:
        inputs = [self._element(reader, element) for element in elements]
        if len(inputs) == 1:
            return inputs[0]
        axis = graph_def.new_constant(self._graph.unused_name(reader.name + "/axis"), np.asarray(0, np.int32))
        spelled = tuple(str(tensor) for tensor in [*inputs, self._add(axis, reader)])
        node = graph_def.new_node(self._graph.unused_name(reader.name + "/concat"), "ConcatV2", spelled)
        set_attribute(node, "N", len(inputs))
        set_attribute(node, "T", Dtype(_element_type(reader)))
        set_attribute(node, "Tidx", Dtype(axis.attr["dtype"].type))
        return self._add(node, reader)

    def _add(self, node: NodeDef, beside: NodeDef) -> Tensor:
        node.device = beside.device
        self._graph.add([node], beside.name)
        self._made.append(node.name)
        return Tensor(node.name)


def _whole(elements: Sequence[Element]) -> Optional[Tensor]:
    """The tensor that these are all the parts of, in order."""
    first = elements[0]
    if not isinstance(first, Piece) or first.count != len(elements):
        return None
    wanted = [(first.whole, position) for position in range(first.count)]
    found = [(part.whole, part.position) for part in elements if isinstance(part, Piece)]
    return first.whole if found == wanted else None


def _element_type(node: NodeDef) -> int:
    """The dtype of an array's elements, as the operation tells it."""
    for key in ("element_dtype", "dtype", "T"):
        if key in node.attr:
            return int(node.attr[key].type)
    raise AssertionError("{} tells no dtype".format(node.op))


def _remove(graph: GraphIndex, family: Sequence[str]) -> None:
    """Remove the operations, whose outputs nobody reads any more; who waited for them waits no longer."""
    for name in reversed(family):
        for consumer in graph.consumers(name) if name in graph else ():
            entries = graph.node(consumer).input
            graph.set_inputs(consumer, [entry for entry in entries if entry != "^" + name])
        graph.remove_unused([name])
