"""Writes the nodes that take a match's place."""

from typing import List, Mapping, NamedTuple, Optional, Set, Tuple, Union

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter._matcher import Match
from modelmill_rewriter._tensor import Tensor


class Dtype(int):
    """A dtype as an attribute's value, by its number in types.proto."""


class ShapeOf(NamedTuple):
    """A shape as an attribute's value; -1 for an unknown dimension, None for an unknown rank."""

    sizes: Optional[Tuple[int, ...]]


_Scalar = Union[bool, int, float, bytes, Dtype]
#: What an attribute may be given as; a list of numbers or bytes as a tuple.
Attribute = Union[_Scalar, ShapeOf, Tuple[_Scalar, ...]]


class Builder:
    """Makes nodes as a rule's `rewrite` asks for them; they reach the graph when `rewrite` has returned.

    The names of new nodes start with the root's, so that people see where they came from.
    """

    def __init__(self, match: Match) -> None:
        self._match = match
        self._nodes: List[NodeDef] = []
        self._taken: Set[str] = set()

    @property
    def nodes(self) -> List[NodeDef]:
        """What was made, in order."""
        return self._nodes

    def node(
        self,
        operation: str,
        *inputs: Tensor,
        attributes: Optional[Mapping[str, Attribute]] = None,
        label: Optional[str] = None,
    ) -> Tensor:
        """A new node's first output. Without `attributes` it gets what arithmetic needs: the root's dtype as T.

        label: ends its name; the operation where there is none.
        """
        node = graph_def.new_node(self._unused_name(label or operation), operation, _spelled(inputs))
        if attributes is None and self._match.dtype is not None:
            attributes = {"T": Dtype(self._match.dtype.number)}
        return self._add(node, attributes)

    def like(
        self,
        node: NodeDef,
        *inputs: Tensor,
        operation: Optional[str] = None,
        attributes: Optional[Mapping[str, Attribute]] = None,
        label: Optional[str] = None,
    ) -> Tensor:
        """The first output of a copy of a node over other inputs: with its attributes, but for those given here."""
        operation = operation or node.op
        made = graph_def.new_node(self._unused_name(label or operation), operation, _spelled(inputs))
        for key in node.attr:
            if key not in ("_class", "_output_shapes"):
                made.attr[key].CopyFrom(node.attr[key])
        return self._add(made, attributes)

    def constant(self, label: str, array: np.ndarray, dtype: Optional[str] = None) -> Tensor:
        """A new constant of the root's dtype, or of the one with this name, such as "int32"; `label` ends its name."""
        kind = self._match.dtype if dtype is None else tensors.data_type_named(dtype)
        return self._add(graph_def.new_constant(self._unused_name(label), np.asarray(array), kind), None)

    def _unused_name(self, label: str) -> str:
        return self._match.graph.unused_name("{}/{}".format(self._match.root, label), self._taken)

    def _add(self, node: NodeDef, attributes: Optional[Mapping[str, Attribute]]) -> Tensor:
        node.device = self._match.root_node.device
        for key, value in (attributes or {}).items():
            set_attribute(node, key, value)
        self._nodes.append(node)
        self._taken.add(node.name)
        return Tensor(node.name)


def set_attribute(node: NodeDef, key: str, value: Attribute) -> None:
    """Give a node's attribute a value, whatever it had."""
    node.attr[key].Clear()
    attribute = node.attr[key]
    if isinstance(value, ShapeOf):
        tensors.encode_shape(value.sizes, attribute.shape)
    elif isinstance(value, tuple):
        attribute.list.SetInParent()
        for item in value:
            getattr(attribute.list, _field(item)).append(int(item) if isinstance(item, Dtype) else item)
    else:
        setattr(attribute, _field(value), int(value) if isinstance(value, Dtype) else value)


def _field(value: _Scalar) -> str:
    for kind, field in ((Dtype, "type"), (bool, "b"), (int, "i"), (float, "f")):
        if isinstance(value, kind):
            return field
    return "s"


def _spelled(inputs: Tuple[Tensor, ...]) -> Tuple[str, ...]:
    return tuple(str(tensor) for tensor in inputs)
