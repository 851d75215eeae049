"""Finds where in a graph a pattern lies.

A match is looked for from its last node upwards. Every way in which the pattern's commuting operands and alternatives
can be laid on the nodes is tried, and no further: the work at a node is bounded by the pattern, whatever the graph.
"""

from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Iterator, Optional, Tuple

import numpy as np
from modelmill_worker import tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter._constants import constant_value
from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._layout import Layout, layout_of
from modelmill_rewriter._pattern import Constant, Either, Operation, Pattern, Value, roots
from modelmill_rewriter._target import Target
from modelmill_rewriter._tensor import Tensor


@dataclass(frozen=True)
class _Found:
    """What is known half-way through a match."""

    bindings: Tuple[Tuple[str, Tensor], ...] = ()
    nodes: Tuple[str, ...] = ()
    named: Tuple[Tuple[str, str], ...] = ()

    def bound(self, name: str) -> Optional[Tensor]:
        return dict(self.bindings).get(name)

    def binding(self, name: str, tensor: Tensor) -> "_Found":
        return _Found(self.bindings + ((name, tensor),), self.nodes, self.named) if name else self

    def passing(self, name: str, known_as: str = "") -> "_Found":
        nodes = self.nodes if name in self.nodes else self.nodes + (name,)
        return _Found(self.bindings, nodes, self.named + ((known_as, name),) if known_as else self.named)


@dataclass(frozen=True)
class Match:
    """A pattern laid on a graph: what its variables stand for, and which nodes it covers.

    root: the node that computes the pattern's value.
    nodes: every node that the pattern names, and the Identity nodes between them; the root first.
    """

    root: str
    nodes: Tuple[str, ...]
    bindings: Dict[str, Tensor]
    graph: GraphIndex = field(repr=False)
    target: Target
    named: Dict[str, str] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        """Whether the alternative that matched has a variable, or a named operation, of that name."""
        return name in self.bindings or name in self.named

    def __getitem__(self, name: str) -> Tensor:
        """The tensor that a variable of the pattern stands for."""
        return self.bindings[name]

    def node(self, name: str) -> NodeDef:
        """The node that an operation of the pattern with that `name` lies on."""
        return self.graph.node(self.named[name])

    def shape(self, name: str) -> Optional[Tuple[int, ...]]:
        """The shape of a variable's tensor, -1 for what is not known of it; None where nothing is."""
        return self.graph.shape(self.bindings[name])

    def dtype_of(self, name: str) -> Optional[tensors.DataType]:
        """The data type of a variable's tensor; None where its node does not tell."""
        number = self.graph.dtype(self.bindings[name])
        return tensors.data_type(number) if number else None

    def constant(self, name: str) -> Optional[np.ndarray]:
        """The value of a variable's tensor where the graph fixes it, else None."""
        return constant_value(self.graph, self.bindings[name])

    def layout(self, name: str) -> Optional[Layout]:
        """Rank and channels of a variable's tensor, where they can be told."""
        return layout_of(self.graph, self.bindings[name])

    @property
    def root_node(self) -> NodeDef:
        """The NodeDef of the root."""
        return self.graph.node(self.root)

    @property
    def dtype(self) -> Optional[tensors.DataType]:
        """The data type that the root computes; None where its attributes do not tell."""
        number = self.graph.dtype(Tensor(self.root))
        return tensors.data_type(number) if number else None

    @property
    def control_inputs(self) -> Tuple[str, ...]:
        """What the covered nodes wait for, each once."""
        found: Dict[str, None] = {}
        for name in self.nodes:
            found.update(dict.fromkeys(self.graph.control_inputs(name)))
        return tuple(name for name in found if name not in self.nodes)

    def shared_node(self) -> Optional[str]:
        """A covered node other than the root that something outside uses or that the model gives out; None if none."""
        covered = frozenset(self.nodes)
        for name in self.nodes[1:]:
            if name in self.graph.kept or not covered.issuperset(self.graph.consumers(name)):
                return name
        return None


class Matcher:
    """Lays one pattern on the nodes of one graph.

    attempts: how often an operation of the pattern was compared with a node: the work done.
    """

    def __init__(self, pattern: Pattern, graph: GraphIndex, target: Target) -> None:
        self.attempts = 0
        self._graph = graph
        self._target = target
        self._roots: Dict[str, Tuple[Operation, ...]] = {}
        for root in roots(pattern):
            for operation in root.operations:
                self._roots[operation] = self._roots.get(operation, ()) + (root,)

    @property
    def operations(self) -> FrozenSet[str]:
        """The operations that a match can end in."""
        return frozenset(self._roots)

    def matches(self, name: str) -> Iterator[Match]:
        """Every way in which the pattern ends in this node."""
        for root in self._roots.get(self._graph.node(name).op, ()):
            for found in self._operation(root, name, _Found()):
                yield Match(name, found.nodes, dict(found.bindings), self._graph, self._target, dict(found.named))

    def _tensor(self, pattern: Pattern, tensor: Tensor, found: _Found) -> Iterator[_Found]:
        if isinstance(pattern, Operation):
            return self._seen_through(pattern, tensor, found)
        if isinstance(pattern, Value):
            return self._value(pattern, tensor, found)
        if isinstance(pattern, Constant):
            return self._constant(pattern, tensor, found)
        assert isinstance(pattern, Either)
        return self._either(pattern, tensor, found)

    def _either(self, pattern: Either, tensor: Tensor, found: _Found) -> Iterator[_Found]:
        for alternative in pattern.alternatives:
            yield from self._tensor(alternative, tensor, found)

    def _value(self, pattern: Value, tensor: Tensor, found: _Found) -> Iterator[_Found]:
        tensor = self._graph.seen_through(tensor)
        bound = found.bound(pattern.name)
        if bound is None:
            yield found.binding(pattern.name, tensor)
        elif bound == tensor:
            yield found

    def _constant(self, pattern: Constant, tensor: Tensor, found: _Found) -> Iterator[_Found]:
        array = constant_value(self._graph, tensor)
        if array is not None and (pattern.holds is None or pattern.holds(array)):
            yield from self._value(Value(pattern.name), tensor, found) if pattern.name else iter([found])

    def _seen_through(self, pattern: Operation, tensor: Tensor, found: _Found) -> Iterator[_Found]:
        """The operation at this tensor, or behind the Identity nodes that hand it on."""
        while self._graph.node(tensor.node).op not in pattern.operations and self._graph.forwards(tensor):
            found = found.passing(tensor.node)
            tensor = self._graph.data_inputs(tensor.node)[0]
        if tensor.output == pattern.output:
            yield from self._operation(pattern, tensor.node, found)

    def _operation(self, pattern: Operation, name: str, found: _Found) -> Iterator[_Found]:
        self.attempts += 1
        node = self._graph.node(name)
        if node.op not in pattern.operations or (pattern.where is not None and not pattern.where(node)):
            return
        operands = self._graph.data_inputs(name)
        if len(operands) < len(pattern.operands) or (len(operands) > len(pattern.operands) and not pattern.open_ended):
            return
        if self._graph.is_fed(name):
            return
        found = found.passing(name, pattern.name)
        yield from self._operands(pattern.operands, operands, found)
        if pattern.commutes:
            yield from self._operands(pattern.operands, operands[::-1], found)

    def _operands(self, patterns: Tuple[Pattern, ...], operands: Tuple[Tensor, ...], found: _Found) -> Iterator[_Found]:
        if not patterns:
            yield found
            return
        for further in self._tensor(patterns[0], operands[0], found):
            yield from self._operands(patterns[1:], operands[1:], further)
