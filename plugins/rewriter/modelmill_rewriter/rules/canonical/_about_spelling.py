"""Whether a match is spelled as its rule would spell it: what makes a rule leave its own work alone."""

from typing import Callable, Dict, Tuple

import numpy as np
from modelmill_worker import graph_def
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter._tensor import parse_tensor
from modelmill_rewriter.rules_api import Builder, Match, Tensor

#: Where the order of the operands says nothing.
_COMMUTING = ("Add", "AddV2", "Maximum", "Minimum", "Mul")


def is_spelled_so(match: Match, rewrite: Callable[[Match, Builder], Tensor], in_any_order: bool = False) -> bool:
    """Whether the nodes of the match are, one for one, those that the rule's `rewrite` would build in their place.

    Identity nodes between them, and the device, do not count; nor whether it is Add or AddV2, from 1.15 on.

    in_any_order: operands may be swapped where operations commute, but for those of the root; leave it out where a
        converter minds.
    """
    make = Builder(match)
    result = rewrite(match, make)
    return _Comparison(match, {node.name: node for node in make.nodes}, in_any_order).is_same(
        result, Tensor(match.root)
    )


class _Comparison:
    """Of new nodes, which are not in the graph yet, with nodes that are."""

    def __init__(self, match: Match, built: Dict[str, NodeDef], in_any_order: bool) -> None:
        self._graph = match.graph
        self._root = match.root
        self._has_two_sums = not match.target.is_converted_before(1, 15)
        self._built = built
        self._in_any_order = in_any_order

    def is_same(self, new: Tensor, old: Tensor) -> bool:
        """Whether the old tensor is computed as the new one would be."""
        old = self._graph.seen_through(old)
        if new.node not in self._built:
            return self._graph.seen_through(new) == old
        node, other = self._built[new.node], self._graph.node(old.node)
        if not self._is_same_operation(node.op, other.op) or new.output != old.output or self._graph.is_fed(other.name):
            return False
        if node.op == "Const":
            return self._is_same_constant(node, other)
        if any(key not in other.attr or node.attr[key] != other.attr[key] for key in node.attr):
            return False
        new_operands = tuple(parse_tensor(name) for name in node.input)
        old_operands = self._graph.data_inputs(other.name)
        orders = [old_operands]
        if self._in_any_order and node.op in _COMMUTING and other.name != self._root:
            orders.append(old_operands[::-1])
        return any(self._are_same(new_operands, order) for order in orders)

    def _is_same_operation(self, new: str, old: str) -> bool:
        return new == old or (self._has_two_sums and {new, old} == {"Add", "AddV2"})

    def _are_same(self, new: Tuple[Tensor, ...], old: Tuple[Tensor, ...]) -> bool:
        return len(new) == len(old) and all(self.is_same(one, other) for one, other in zip(new, old))

    def _is_same_constant(self, new: NodeDef, old: NodeDef) -> bool:
        one, other = graph_def.constant_value(new), self._graph.array(old.name)
        return other is not None and one.shape == other.shape and bool(np.array_equal(one, other))
