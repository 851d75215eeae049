"""Dropout, which inference does not do, in every spelling of tf.nn.dropout: it passes its input on.

    Mul(RealDiv(x, keep), Floor(Add(keep, noise)))                   -> x     (up to 1.13)
    Mul(Mul(x, scale), Cast(GreaterEqual(noise, rate)))              -> x     (from 1.14 on)
    SelectV2(GreaterEqual(noise, rate), Mul(x, scale), zeros)        -> x     (from 2.12 on)

The noise is a RandomUniform, scaled and shifted by constants. Masks that depend on the data, scales that are learnt or
that do not make up for what is dropped, and choices between two things that are computed are no dropout, and stay.
"""

import math
import re
from typing import List, Optional, Tuple

from modelmill_worker import graph_def, tensors
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
#: Comparisons that keep where the noise, on their left, is large, and where it is small.
_ABOVE, _BELOW = ("GreaterEqual", "Greater"), ("LessEqual", "Less")
#: How far a scale may be from making up for what is dropped: rates are float32, or float16.
_SLACK = 2e-3
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
        share = _share_of_comparison(flow, node.input[0]) if _is_zero(flow, node.input[2]) else None
        return None if share is None else _unscaled(flow, node.input[1], share)
    if node.op != "Mul":
        return None
    first, second = graph_def.data_inputs(node)[:2]
    for mask, scaled in ((second, first), (first, second)):
        share = _share_of_mask(flow, mask)
        if share is not None:
            return _unscaled(flow, scaled, share)
    return None


def _node(flow: Dataflow, reference: str) -> NodeDef:
    return flow.nodes[graph_def.node_name(reference)]


def _share_of_mask(flow: Dataflow, reference: str) -> Optional[float]:
    """Which share a mask of ones and zeros keeps: NaN where that is set later; None where it is no mask."""
    node = _node(flow, reference)
    if node.op == "Cast":
        return _share_of_comparison(flow, node.input[0])
    if node.op != "Floor":
        return None
    shifted = _node(flow, node.input[0])
    if shifted.op not in ("Add", "AddV2"):
        return None
    keep = _rate_beside_noise(flow, shifted)
    return None if keep is None else _number(flow, keep[0])


def _share_of_comparison(flow: Dataflow, reference: str) -> Optional[float]:
    """Which share of its elements a comparison of noise with a rate keeps; as `_share_of_mask`."""
    node = _node(flow, reference)
    if node.op not in _ABOVE + _BELOW:
        return None
    found = _rate_beside_noise(flow, node)
    if found is None:
        return None
    rate, is_left = found
    keeps_large = (node.op in _ABOVE) != is_left
    number = _number(flow, rate)
    return 1 - number if keeps_large else number


def _rate_beside_noise(flow: Dataflow, node: NodeDef) -> Optional[Tuple[str, bool]]:
    """Of a node's two inputs the one that is a rate, and whether it is the left one; the other one must be noise."""
    left, right = graph_def.data_inputs(node)[:2]
    for rate, noise in ((right, left), (left, right)):
        if _is_noise(flow, noise) and _is_rate(flow, rate):
            return rate, rate == left
    return None


def _is_zero(flow: Dataflow, reference: str) -> bool:
    """Whether a tensor is zero everywhere."""
    node = _node(flow, reference)
    if node.op in ("Identity", "BroadcastTo"):
        return _is_zero(flow, node.input[0])
    if node.op == "Fill":
        return _is_zero(flow, node.input[1])
    return node.op == "ZerosLike" or (node.op == "Const" and not graph_def.constant_value(node).any())


def _number(flow: Dataflow, reference: str) -> float:
    """What a rate, which `_is_rate` knows as one, comes to; NaN where that is said only when the graph runs."""
    node = _node(flow, reference)
    if node.op == "Const":
        return float(graph_def.constant_value(node).ravel()[0])
    given = [_number(flow, item) for item in graph_def.data_inputs(node)]
    if node.op in ("Identity", "Cast", "Enter"):
        return given[0]
    if node.op == "Sub":
        return given[0] - given[1]
    if node.op in ("RealDiv", "Div", "Reciprocal"):
        above, below = given if len(given) == 2 else (1.0, given[0])
        return above / below if below else math.nan
    return math.nan


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


def _unscaled(flow: Dataflow, reference: str, share: float) -> Optional[str]:
    """What was scaled so that the share that is kept makes up for the rest; None where it was not."""
    node = _node(flow, reference)
    if node.op not in _PRODUCTS:
        return None
    data, scale = graph_def.data_inputs(node)[:2]
    if node.op == "Mul" and not _is_rate(flow, scale):
        data, scale = scale, data
    if not _is_rate(flow, scale):
        return None
    number = _number(flow, scale)
    kept = share * number if node.op == "Mul" else share / number if number else math.nan
    return data if math.isnan(kept) or abs(kept - 1) <= _SLACK else None


def _is_rate(flow: Dataflow, reference: str) -> bool:
    """Whether a tensor is one number that depends on constants and settings only, and on no data."""
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
            if "shape" not in node.attr or tensors.decode_shape(node.attr["shape"].shape) != ():
                return False
        elif node.op == "Const":
            if tensors.element_count(tensors.decode_shape(node.attr["value"].tensor.tensor_shape)) != 1:
                return False
        elif node.op not in _OF_RATES:
            return False
        waiting.extend(flow.feeders[name])
    return True
