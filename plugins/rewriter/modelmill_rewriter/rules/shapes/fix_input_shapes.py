"""The model's inputs at a fixed size, and what follows from it.

    placeholder [?, ?, ?, 3]  ->  placeholder [1, 120, 160, 3]
    shape(x) and what is computed of it  ->  a constant, where the shape of x is fixed now
    fill(dims, c)  ->  a constant, where dims are

A shape that a graph works out while it runs (from Shape over StridedSlice and Pack to Reshape, Tile and Fill) is the
same for every run once the sizes that it is worked out from are. Converters need that: TFLite fixes all sizes when a
model is loaded, and its older converters do not know half of those operations.

A size that was fixed already may be changed as well. What was made for the old one (a Reshape to a row of 1024
numbers, a matrix of as many rows) then does not fit, and the pass refuses and names it rather than leave a graph that
fails later. Nothing is changed inside TensorFlow 1's loops and conditions, nor in functions.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Dict, List, NamedTuple, Optional, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef, node_name

from modelmill_rewriter._order import topological_order
from modelmill_rewriter.rules.shapes._about_disagreements import disagreement, written
from modelmill_rewriter.rules_api import (
    Firing,
    GraphIndex,
    Pass,
    Refusal,
    Report,
    ShapeOf,
    Target,
    Tensor,
    argument,
    places,
    set_attribute,
)

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_WHERE_SHAPES_COME_FROM = ("Shape", "Size", "Rank")
#: Attributes that repeat what a node's outputs are.
_TOLD = ("_output_shapes", "output_shapes")
#: A Fill of more elements is left to the program that runs the model.
_LARGEST_FILL = 2**16
_INTEGERS = ("int32", "int64")

Shape = Tuple[int, ...]


class _Input(NamedTuple):
    """An input that gets another shape."""

    name: str
    before: Optional[Shape]
    after: Shape


@dataclass(frozen=True)
class FixInputShapes(Pass):
    """Inputs of a fixed size."""

    name: ClassVar[str] = "fix_input_shapes"
    summary: ClassVar[str] = "Fixes the sizes of the model's inputs, and computes the shapes that follow."
    changes_interface: ClassVar[bool] = True

    shapes: Tuple[str, ...] = argument(
        (), 'An input and its shape, as in "image:1,224,224,3" or image:1x224x224x3; ? leaves a size.', name="shape"
    )
    batch: Optional[int] = argument(None, "The first size of every input that leaves it open.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Set the inputs' shapes, see whether the graph agrees, and compute what follows.

        Raises StepError INVALID_OPTION for an option that cannot be read, an input that is not there, and a shape that
        contradicts what the graph asks for.
        """
        del target
        refused: List[Refusal] = []
        changed = [item for item in self._inputs(graph, refused) if item.before != item.after]
        before = _disagreements(graph) if changed else {}
        told = _forget_what_follows(graph, [item.name for item in changed])
        for item in changed:
            set_attribute(graph.edit(item.name), "shape", ShapeOf(item.after))
        graph.forget_shapes()
        if changed:
            self._require_agreement(graph, before, changed)
        _tell_again(graph, told)
        folded = _Folding(graph).names()
        fired = [Firing((item.name,), (item.name,)) for item in changed] + ([Firing(folded, folded)] if folded else [])
        return Report(self.name, tuple(fired), tuple(refused), _note(changed))

    def _inputs(self, graph: GraphIndex, refused: List[Refusal]) -> List[_Input]:
        """Every input, with the shape that it is to have."""
        if not self.shapes and self.batch is None:
            raise self._invalid("shape", "", "say which shape an input is to have, or give batch")
        if self.batch is not None and self.batch < 1:
            raise self._invalid("batch", str(self.batch), "give a number from 1 on")
        asked = dict(self._asked(graph, text) for text in self.shapes)
        found = []
        for name in dict.fromkeys(tensor.node for tensor in graph.interface.inputs):
            shape = graph.shape(Tensor(name))
            after = asked.get(name, shape)
            if self.batch is not None and graph.node(name).op in _PLACEHOLDERS and after != ():
                after, reason = _with_batch(after, self.batch)
                refused.extend([Refusal(name, reason)] if reason and name not in asked else [])
            if after is not None:
                found.append(_Input(name, shape, after))
        return found

    def _asked(self, graph: GraphIndex, text: str) -> Tuple[str, Shape]:
        """The input that an option names, and its shape; a size that the option leaves is the one declared."""
        spelling, _, sizes = text.rpartition(":")
        name = node_name(spelling)
        inputs = [tensor.node for tensor in graph.interface.inputs]
        if name not in inputs:
            raise self._invalid("shape", text, "the model's inputs are {}".format(", ".join(inputs) or "none"))
        if graph.node(name).op not in _PLACEHOLDERS:
            what = "{} is no Placeholder but a {}, whose shape follows from the graph"
            raise self._invalid("shape", text, what.format(name, graph.node(name).op))
        words = re.findall(r"[^\s,x\[\]]+", sizes)
        if not words or not all(re.match(r"([1-9]\d*|\?|-1)$", word) for word in words):
            raise self._invalid(
                "shape", text, 'write the sizes as in "{}:1,224,224,3", with ? to leave one'.format(name)
            )
        shape = tuple(-1 if word in ("?", "-1") else int(word) for word in words)
        declared = graph.shape(Tensor(name))
        if declared is None:
            return name, shape
        if len(declared) != len(shape):
            raise self._invalid("shape", text, "{} is declared as {}".format(name, written(declared)))
        return name, tuple(old if size < 0 else size for size, old in zip(shape, declared))

    def _require_agreement(self, graph: GraphIndex, before: Dict[str, str], changed: List[_Input]) -> None:
        for name, reason in _disagreements(graph).items():
            if name not in before:
                fixed = ", ".join("{} at {}".format(item.name, written(item.after)) for item in changed)
                raise StepError(
                    "INVALID_OPTION",
                    "With {}, the {} {!r} does not work: {}. Choose sizes that the model was made for.".format(
                        fixed, graph.node(name).op, name, reason
                    ),
                    {"rule": self.name, "option": "shape", "node": name, "disagreement": reason},
                )

    def _invalid(self, option: str, value: str, why: str) -> StepError:
        return StepError(
            "INVALID_OPTION",
            "The option {} of the rule {} cannot be {!r}: {}.".format(option, self.name, value, why),
            {"rule": self.name, "option": option, "value": value},
        )


def _with_batch(shape: Optional[Shape], batch: int) -> Tuple[Optional[Shape], str]:
    """The shape with its first size, if it leaves that open; else why not."""
    if shape is None:
        return shape, "its rank is not known; name all its sizes with shape"
    if shape[0] < 0:
        return (batch,) + shape[1:], ""
    return shape, "" if shape[0] == batch else "its first size is {} already; change it with shape".format(shape[0])


def _note(changed: List[_Input]) -> str:
    told = ["{} is {} now and was {}".format(item.name, written(item.after), written(item.before)) for item in changed]
    return "{}.".format("; ".join(told)) if told else ""


def _disagreements(graph: GraphIndex) -> Dict[str, str]:
    """Why nodes that an output needs cannot work, by their names."""
    waiting = [tensor.node for tensor in graph.interface.outputs]
    needed = set(waiting)
    found: Dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        reason = disagreement(graph, name)
        if reason is not None:
            found[name] = reason
        for entry in graph.node(name).input:
            if node_name(entry) not in needed:
                needed.add(node_name(entry))
                waiting.append(node_name(entry))
    return found


def _behind(graph: GraphIndex, names: List[str]) -> Set[str]:
    """These nodes and all whose values or shapes follow from theirs."""
    waiting = list(names)
    found = set(waiting)
    while waiting:
        for reader in graph.consumers(waiting.pop()):
            if reader not in found:
                found.add(reader)
                waiting.append(reader)
    return found


def _forget_what_follows(graph: GraphIndex, names: List[str]) -> List[Tuple[str, str, int]]:
    """Take away what nodes behind these tell of their outputs' shapes; returns node, attribute and how many it told."""
    found: List[Tuple[str, str, int]] = []
    for name in sorted(_behind(graph, names)):
        for attribute in _TOLD:
            if attribute in graph.node(name).attr:
                found.append((name, attribute, len(graph.node(name).attr[attribute].list.shape)))
                del graph.edit(name).attr[attribute]
    return found


def _tell_again(graph: GraphIndex, told: List[Tuple[str, str, int]]) -> None:
    for name, attribute, count in told:
        shapes = [graph.shape(Tensor(name, index)) for index in range(count)]
        held = graph.edit(name).attr[attribute].list
        held.SetInParent()
        for shape in shapes:
            tensors.encode_shape(shape, held.shape.add())


class _Folding:
    """Makes constants of the shapes that are known now, and of what is computed or filled by them."""

    def __init__(self, graph: GraphIndex) -> None:
        self._graph = graph
        self._places = places(graph)
        inputs = [tensor.node for tensor in graph.interface.inputs]
        #: What is fed in the middle of a graph need not have the shape that the graph before it says.
        self._uncertain = _behind(graph, [name for name in inputs if graph.node(name).op not in _PLACEHOLDERS])
        self._folded: Dict[str, None] = {}

    def names(self) -> Tuple[str, ...]:
        """Fold, producers first; returns what became a constant."""
        lost: List[str] = []
        for name in topological_order({name: self._graph.node(name) for name in self._graph.names()})[0]:
            constant = self._constant(name) if self._may_fold(name) else None
            if constant is not None:
                lost.extend(tensor.node for tensor in self._graph.data_inputs(name))
                constant.device = self._graph.node(name).device
                self._graph.replace(name, [constant])
                self._folded[name] = None
        self._graph.remove_unused(lost)
        return tuple(name for name in self._folded if name in self._graph)

    def _may_fold(self, name: str) -> bool:
        if name in self._places or name in self._uncertain or self._graph.is_fed(name):
            return False
        return not self._graph.control_inputs(name)

    def _constant(self, name: str) -> Optional[NodeDef]:
        node = self._graph.node(name)
        follows = node.op in _WHERE_SHAPES_COME_FROM
        follows = follows or any(tensor.node in self._folded for tensor in self._graph.data_inputs(name))
        number = self._graph.dtype(Tensor(name)) if follows or node.op == "Fill" else 0
        if not number:
            return None
        kind = tensors.data_type(number)
        value: Optional[np.ndarray] = None
        if follows and kind.name in _INTEGERS:
            integers = self._graph.integers(Tensor(name))
            value = None if integers is None else integers.astype(kind.name)
        if value is None and node.op == "Fill":
            value = self._filled(name)
        return None if value is None else graph_def.new_constant(name, value, kind)

    def _filled(self, name: str) -> Optional[np.ndarray]:
        dimensions, item = self._graph.data_inputs(name)
        sizes, value = self._graph.integers(dimensions), self._graph.constant(item)
        if sizes is None or value is None or value.dtype.kind not in "biuf":
            return None
        shape = tuple(int(size) for size in sizes.ravel())
        if min(shape, default=0) < 0 or int(np.prod(shape, dtype=np.int64)) > _LARGEST_FILL:
            return None
        return np.full(shape, value, value.dtype)
