"""Writes the nodes that take a match's place."""

from typing import Any, Dict, List, Optional, Union

import numpy as np
from modelmill_worker import graph_def
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter._matcher import Match
from modelmill_rewriter._tensor import Tensor

#: What an attribute may be given as; a dtype goes by its number in types.proto, wrapped in `Dtype`.
Attribute = Union[bool, int, float, bytes, "Dtype"]


class Dtype(int):
    """A dtype as an attribute's value, by its number in types.proto."""


class Builder:
    """Makes nodes as a rule's `rewrite` asks for them; they reach the graph when `rewrite` has returned.

    The names of new nodes start with the root's, so that people see where they came from.
    """

    def __init__(self, match: Match) -> None:
        self._match = match
        self._nodes: List[NodeDef] = []

    @property
    def nodes(self) -> List[NodeDef]:
        """What was made, in order."""
        return self._nodes

    def node(self, operation: str, *inputs: Tensor, attributes: Optional[Dict[str, Attribute]] = None) -> Tensor:
        """A new node's first output. Without `attributes` it gets what arithmetic needs: the root's dtype as T."""
        node = graph_def.new_node(self._unused_name(operation), operation, tuple(str(tensor) for tensor in inputs))
        node.device = self._match.root_node.device
        if attributes is None and self._match.dtype is not None:
            attributes = {"T": Dtype(self._match.dtype.number)}
        for key, value in (attributes or {}).items():
            _set(node.attr[key], value)
        return self._add(node)

    def constant(self, label: str, array: np.ndarray) -> Tensor:
        """A new constant of the root's dtype; `label` ends its name."""
        node = graph_def.new_constant(self._unused_name(label), np.asarray(array), self._match.dtype)
        node.device = self._match.root_node.device
        return self._add(node)

    def _unused_name(self, label: str) -> str:
        wanted = "{}/{}".format(self._match.root, label)
        return self._match.graph.unused_name(wanted, [node.name for node in self._nodes])

    def _add(self, node: NodeDef) -> Tensor:
        self._nodes.append(node)
        return Tensor(node.name)


def _set(attribute: Any, value: Attribute) -> None:
    if isinstance(value, Dtype):
        attribute.type = int(value)
    elif isinstance(value, bool):
        attribute.b = value
    elif isinstance(value, int):
        attribute.i = value
    elif isinstance(value, float):
        attribute.f = value
    else:
        attribute.s = value
