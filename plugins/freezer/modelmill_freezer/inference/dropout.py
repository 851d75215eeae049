"""Dropout, which inference does not do, in every spelling of tf.nn.dropout: it passes its input on.

    Mul(RealDiv(x, keep), Floor(Add(keep, noise)))                   -> x     (up to 1.13)
    Mul(Mul(x, scale), Cast(GreaterEqual(noise, rate)))              -> x     (from 1.14 on)
    SelectV2(GreaterEqual(noise, rate), Mul(x, scale), zeros)        -> x     (from 2.12 on)

The noise is a RandomUniform, scaled and shifted by constants. What is scaled by a tensor that
depends on the data is no dropout, and stays.
"""

import re
from typing import List, Optional

from modelmill_worker import graph_def
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.graph_outputs import FED
from modelmill_worker.reference_run import StandIn

from modelmill_freezer.inference.changes import Change

_UNIFORM = re.compile(r"RandomUniform|StatelessRandomUniform(V2)?")
_SHIFTS = ("Add", "AddV2", "Mul", "Sub", "Identity", "Cast")
#: TensorFlow's own uniform numbers are scaled once and shifted once, and may be cast.
_MOST_SHIFTS = 5
_PRODUCTS = ("Mul", "RealDiv", "Div")
_SELECTIONS = ("Select", "SelectV2")
#: What a rate or its scale is computed with.
_OF_RATES = frozenset(
    ["Const", "Sub", "RealDiv", "Div", "Identity", "Cast", "Reciprocal", "Switch", "Enter", "ReadVariableOp"]
)


def remove_dropout(graph: GraphDef, stand_ins: List[StandIn]) -> List[Change]:
    """Make every dropout pass its input on, in place; what the source must be fed with goes to `stand_ins`."""
    flow = Dataflow(graph)
    removed = []
    for node in graph.node:
        kept = _dropped_tensor(flow, node)
        if kept is None:
            continue
        stand_ins.append(StandIn(node.name + ":0", source=graph_def.tensor_name(kept)))
        del node.input[:]
        node.input.append(kept)
        _become_identity(node)
        removed.append(node.name)
    return [Change("Dropout is gone: each passes its input on.", tuple(removed))] if removed else []


def _become_identity(node: NodeDef) -> None:
    node.op = "Identity"
    for attribute in list(node.attr):
        if attribute not in ("T", "_output_shapes"):
            del node.attr[attribute]


def _dropped_tensor(flow: Dataflow, node: NodeDef) -> Optional[str]:
    """What a node that ends a dropout would pass on in inference; None where it is no such node."""
    if node.op in _SELECTIONS and len(node.input) >= 3:
        mask, scaled = node.input[0], node.input[1]
        return _unscaled(flow, scaled) if _is_comparison(flow, mask) else None
    if node.op != "Mul":
        return None
    first, second = graph_def.data_inputs(node)[:2]
    for mask, scaled in ((second, first), (first, second)):
        if _is_mask(flow, mask):
            return _unscaled(flow, scaled)
    return None


def _node(flow: Dataflow, reference: str) -> NodeDef:
    return flow.nodes[graph_def.node_name(reference)]


def _is_mask(flow: Dataflow, reference: str) -> bool:
    node = _node(flow, reference)
    if node.op == "Cast":
        return _is_comparison(flow, node.input[0])
    if node.op != "Floor":
        return False
    shifted = _node(flow, node.input[0])
    return shifted.op in ("Add", "AddV2") and any(_is_noise(flow, given) for given in shifted.input[:2])


def _is_comparison(flow: Dataflow, reference: str) -> bool:
    node = _node(flow, reference)
    if node.op not in ("GreaterEqual", "Less", "Greater", "LessEqual"):
        return False
    return any(_is_noise(flow, given) for given in node.input[:2])


def _is_noise(flow: Dataflow, reference: str, shifts: int = 0) -> bool:
    """Whether a tensor is uniform noise, scaled and shifted by constants; `shifts`: how often it was already."""
    node = _node(flow, reference)
    if _UNIFORM.fullmatch(node.op):
        return True
    if node.op not in _SHIFTS or shifts > _MOST_SHIFTS:
        return False
    given = graph_def.data_inputs(node)
    noisy = [reference for reference in given if _is_noise(flow, reference, shifts + 1)]
    return len(noisy) == 1 and all(_is_rate(flow, other) for other in given if other not in noisy)


def _unscaled(flow: Dataflow, reference: str) -> Optional[str]:
    node = _node(flow, reference)
    if node.op not in _PRODUCTS:
        return None
    data, scale = graph_def.data_inputs(node)[:2]
    if _is_rate(flow, scale):
        return data
    return scale if node.op == "Mul" and _is_rate(flow, data) else None


def _is_rate(flow: Dataflow, reference: str) -> bool:
    """Whether a tensor depends on constants and settings only, and on no data."""
    waiting = [graph_def.node_name(reference)]
    seen = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        node = flow.nodes[name]
        if node.op in FED:
            if graph_def.shape_of_placeholder(node, producer=0) not in (None, ()):
                return False
        elif node.op in graph_def.VARIABLES:
            continue
        elif node.op not in _OF_RATES:
            return False
        waiting.extend(flow.feeders[name])
    return True
