"""Where a node lies in TensorFlow 1's loops and conditions.

A loop's nodes run in a *frame*: Enter leads into it, Exit out of it, and a node that reads from two frames is an error.
A condition's nodes are dead or alive by the Switch above them, until a Merge joins its two sides
(https://www.tensorflow.org/code/tensorflow/core/common_runtime/executor.cc; "Implementation of control flow in
TensorFlow", 2017). Nodes may be moved freely only outside both.
"""

from dataclasses import dataclass
from typing import Dict, FrozenSet, Tuple

from modelmill_worker.graph_def import NodeDef, is_control, node_name

from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._order import LOOP_OPERATIONS, topological_order
from modelmill_rewriter._tensor import parse_tensor


@dataclass(frozen=True)
class Place:
    """The frames around a node, outermost first, and the sides of conditions, as (predicate, output of its Switch)."""

    frames: Tuple[str, ...] = ()
    conditions: FrozenSet[Tuple[str, int]] = frozenset()


OUTSIDE = Place()

_ENTER = ("Enter", "RefEnter")
_EXIT = ("Exit", "RefExit")
_MERGE = ("Merge", "RefMerge")
_SWITCH = ("Switch", "RefSwitch")


def places(graph: GraphIndex) -> Dict[str, Place]:
    """The nodes that lie inside a loop or a condition, and where; nodes outside are left out."""
    found: Dict[str, Place] = {}
    nodes = {name: graph.node(name) for name in graph.names()}
    if not any(node.op in _ENTER + _SWITCH for node in nodes.values()):
        return found
    for name in topological_order(nodes)[0]:
        place = _place_of(nodes[name], nodes, found)
        if place != OUTSIDE:
            found[name] = place
    return found


def _place_of(node: NodeDef, nodes: Dict[str, NodeDef], found: Dict[str, Place]) -> Place:
    # What comes round a loop through NextIteration has no place yet, and adds none.
    around = [_behind(entry, nodes, found) for entry in node.input if nodes[node_name(entry)].op not in LOOP_OPERATIONS]
    frames = max((place.frames for place in around), key=len, default=())
    conditions = [place.conditions for place in around]
    if node.op in _MERGE:
        return Place(frames, frozenset.intersection(*conditions) if conditions else frozenset())
    joined: FrozenSet[Tuple[str, int]] = frozenset().union(*conditions)
    if node.op in _ENTER:
        return Place(frames + (node.attr["frame_name"].s.decode(),), joined)
    if node.op in _EXIT:
        return _left(Place(frames, joined), found)
    return Place(frames, joined)


def _behind(entry: str, nodes: Dict[str, NodeDef], found: Dict[str, Place]) -> Place:
    """Where a tensor lies, which differs from its node's place behind a Switch."""
    producer = nodes[node_name(entry)]
    place = found.get(producer.name, OUTSIDE)
    if producer.op not in _SWITCH or is_control(entry):
        return place
    side = (node_name(producer.input[1]), parse_tensor(entry).output)
    return Place(place.frames, place.conditions | {side})


def _left(place: Place, found: Dict[str, Place]) -> Place:
    """The place outside the innermost frame, where that frame's own conditions no longer count."""
    kept = [side for side in place.conditions if found.get(side[0], OUTSIDE).frames != place.frames]
    return Place(place.frames[:-1], frozenset(kept))
