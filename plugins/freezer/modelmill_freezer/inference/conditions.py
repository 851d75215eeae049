"""Conditions whose answer is known: the branch that is taken stays, the other one goes.

    Merge(no(Switch(x, false)), yes(Switch(x, false):1)) -> no(x)
    If(false, x; then_branch=f, else_branch=g) -> PartitionedCall(x; f=g)

A tensor of the branch not taken is dead, and so is whatever takes one, up to the Merge
(tensorflow/core/common_runtime/executor.cc). Loops have no constant predicate and stay as they are.
"""

from typing import Dict, List, Optional, Set

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_freezer.inference.changes import Change
from modelmill_freezer.inference.tensor_uses import become, canonical, redirect

_SWITCHES = ("Switch", "RefSwitch")
_MERGES = ("Merge", "RefMerge")
_NEXT_TURNS = ("NextIteration", "RefNextIteration")
_CALLS = {"If": "StatefulPartitionedCall", "StatelessIf": "PartitionedCall"}
_PASSING_ON = ("Identity", "StopGradient", "Switch", "Enter")


def fold_conditions(graph: GraphDef) -> List[Change]:
    """Decide all conditions of constant predicates, in place; nodes of branches not taken are removed."""
    truths = _Truths(graph)
    calls = _fold_calls(graph, truths)
    switches = {node.name: truths.of(node.input[1]) for node in graph.node if node.op in _SWITCHES}
    known = {name: truth for name, truth in switches.items() if truth is not None}
    if known:
        _fold_switches(graph, known)
    conditions = sorted(calls + list(known))
    if not conditions:
        return []
    return [Change("Conditions with a constant answer were decided; the branch not taken is gone.", tuple(conditions))]


class _Truths:
    """Which tensors are always true or false."""

    def __init__(self, graph: GraphDef) -> None:
        self._nodes = graph_def.nodes_by_name(graph)
        self._known: Dict[str, Optional[bool]] = {}

    def of(self, reference: str) -> Optional[bool]:
        """The tensor's value; None where it depends on something."""
        name = graph_def.node_name(reference)
        if name not in self._known:
            self._known[name] = None  # A loop leads back here.
            self._known[name] = self._find(self._nodes[name])
        return self._known[name]

    def _find(self, node: NodeDef) -> Optional[bool]:
        if node.op == "Const":
            value = node.attr["value"].tensor
            is_truth = tensors.data_type(value.dtype).name == "bool" and not value.tensor_shape.dim
            return bool(graph_def.constant_value(node)) if is_truth else None
        if node.op in _PASSING_ON:
            return self.of(node.input[0])
        if node.op == "LogicalNot":
            truth = self.of(node.input[0])
            return None if truth is None else not truth
        if node.op in ("LogicalAnd", "LogicalOr"):
            return self._joined(node)
        return None

    def _joined(self, node: NodeDef) -> Optional[bool]:
        sides = [self.of(reference) for reference in graph_def.data_inputs(node)]
        deciding = node.op == "LogicalOr"
        if deciding in sides:
            return deciding
        return None if None in sides else not deciding


def _fold_calls(graph: GraphDef, truths: _Truths) -> List[str]:
    """Conditions of TensorFlow 2 become calls of the branch that is taken."""
    folded = []
    for node in graph.node:
        truth = truths.of(node.input[0]) if node.op in _CALLS else None
        if truth is None:
            continue
        call = graph_def.new_node(node.name, _CALLS[node.op], tuple(node.input[1:]))
        for attribute in ("Tin", "Tout", "_output_shapes"):
            if attribute in node.attr:
                call.attr[attribute].ParseFromString(node.attr[attribute].SerializeToString())
        branch = node.attr["then_branch" if truth else "else_branch"]
        call.attr["f"].ParseFromString(branch.SerializeToString())
        become(node, call)
        folded.append(node.name)
    return folded


def _fold_switches(graph: GraphDef, known: Dict[str, bool]) -> None:
    dead = _dead_nodes(graph, known)
    others: Dict[str, str] = {}
    fresh: List[NodeDef] = []
    for node in graph.node:
        if node.name in dead:
            continue
        if node.name in known:
            others[node.name + ":1"] = node.name
            _become_identity(node, node.input[0])
        elif node.op in _MERGES:
            _fold_merge(node, dead, known, others, fresh)
    for position in reversed(range(len(graph.node))):  # A copy of what stays would hold all weights twice.
        if graph.node[position].name in dead:
            del graph.node[position]
    graph.node.extend(fresh)
    redirect(graph, others)
    for node in graph.node:
        _drop_control_inputs(node, dead)


def _fold_merge(
    node: NodeDef, dead: Set[str], known: Dict[str, bool], others: Dict[str, str], fresh: List[NodeDef]
) -> None:
    """A Merge of which one input is left passes that on, and says always the same about which it was."""
    given = graph_def.data_inputs(node)
    living = [position for position, reference in enumerate(given) if not _is_dead(reference, dead, known)]
    if len(living) == len(given) or not living:
        return
    if len(living) > 1:
        _drop_dead_inputs(node, given, living)
        return
    index = graph_def.new_constant(node.name + "/value_index", np.array(living[0], np.int32))
    others[node.name + ":1"] = index.name
    fresh.append(index)
    _become_identity(node, given[living[0]])


def _drop_dead_inputs(node: NodeDef, given: List[str], living: List[int]) -> None:
    """A Merge of several branches loses those that never run; it tells the others by new numbers from then on."""
    controls = [reference for reference in node.input if graph_def.is_control(reference)]
    del node.input[:]
    node.input.extend([given[position] for position in living] + controls)
    node.attr["N"].i = len(living)


def _become_identity(node: NodeDef, reference: str) -> None:
    operation = "RefIdentity" if node.op.startswith("Ref") else "Identity"
    kind = node.attr["T"].type
    controls = [given for given in node.input if graph_def.is_control(given)]
    become(node, graph_def.new_node(node.name, operation, (reference, *controls)))
    node.attr["T"].type = kind


def _drop_control_inputs(node: NodeDef, gone: Set[str]) -> None:
    left = [name for name in node.input if not (graph_def.is_control(name) and graph_def.node_name(name) in gone)]
    if len(left) != len(node.input):
        del node.input[:]
        node.input.extend(left)


def _dead_nodes(graph: GraphDef, known: Dict[str, bool]) -> Set[str]:
    """The nodes that only run in branches not taken."""
    nodes = graph_def.nodes_by_name(graph)
    takers: Dict[str, List[NodeDef]] = {}
    for node in graph.node:
        for reference in node.input:
            takers.setdefault(graph_def.node_name(reference), []).append(node)
    dead: Set[str] = set()
    waiting = [user for name in known for user in takers.get(name, [])]
    while waiting:
        node = waiting.pop()
        if node.name not in dead and _dies(node, nodes, dead, known):
            dead.add(node.name)
            waiting.extend(takers.get(node.name, []))
    return dead


def _dies(node: NodeDef, nodes: Dict[str, NodeDef], dead: Set[str], known: Dict[str, bool]) -> bool:
    if node.op not in _MERGES:
        return any(_is_dead(reference, dead, known) for reference in node.input)
    # A loop's next turn lives only if the first one did.
    given = [
        reference
        for reference in graph_def.data_inputs(node)
        if nodes[graph_def.node_name(reference)].op not in _NEXT_TURNS
    ]
    return bool(given) and all(_is_dead(reference, dead, known) for reference in given)


def _is_dead(reference: str, dead: Set[str], known: Dict[str, bool]) -> bool:
    name = graph_def.node_name(reference)
    if name in dead:
        return True
    if name not in known or graph_def.is_control(reference):
        return False
    return canonical(reference) == (name if known[name] else name + ":1")
