"""Batch normalisation with the batch's own statistics becomes one with the moving averages that were learnt.

    FusedBatchNorm(x, gamma, beta, [], []){is_training}  -> FusedBatchNorm(x, gamma, beta, mean, variance)
    (x - moments(x)) ...                                  -> (x - mean) ...

Which variables those averages are, the updates of the moving averages say; without them a node stays as it is, which
the report tells.
"""

import re
from typing import Dict, List, Optional, Tuple

from modelmill_worker import graph_def, tensors
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.reference_run import StandIn

from modelmill_freezer.inference.changes import Change
from modelmill_freezer.inference.moving_averages import Averaging, find_averagings
from modelmill_freezer.inference.tensor_uses import canonical, redirect

_FUSED = re.compile(r"FusedBatchNorm(V2|V3|Ex)?|_FusedBatchNormEx")
#: What moments are at last: a mean, or in old versions a sum that was shifted back.
_OF_MOMENTS = re.compile(r"(^|/)(moments|normalize)(_\d+)?/")
_READS = ("Identity", "ReadVariableOp")


def use_moving_averages(graph: GraphDef, stand_ins: List[StandIn]) -> List[Change]:
    """Normalise by moving averages wherever the graph tells them, in place."""
    averagings = find_averagings(graph)
    return _settle_fused(graph, averagings, stand_ins) + _settle_moments(graph, averagings, stand_ins)


def _settle_fused(graph: GraphDef, averagings: List[Averaging], stand_ins: List[StandIn]) -> List[Change]:
    flow = Dataflow(graph)
    reads: Dict[str, str] = {}
    for averaging in averagings:
        for origin in averaging.origins:
            reads.setdefault(origin, averaging.read)
    settled = []
    for node in graph.node:
        if not normalises_batches(node):
            continue
        statistics = _statistics(flow, node, reads)
        if statistics is None:
            continue
        mean, variance = statistics
        stand_ins.append(
            StandIn(
                node.name + ":0",
                source=graph_def.tensor_name(node.input[0]),
                mean=graph_def.tensor_name(mean),
                variance=graph_def.tensor_name(variance),
            )
        )
        node.input[3], node.input[4] = mean, variance
        node.attr["is_training"].b = False
        settled.append(node.name)
    what = "Batch normalisation takes its moving averages instead of the statistics of each batch."
    return [Change(what, tuple(settled))] if settled else []


def normalises_batches(node: NodeDef) -> bool:
    """Whether a node is a fused batch normalisation in training mode, which is the attribute's default."""
    is_fused = _FUSED.fullmatch(node.op) is not None and len(graph_def.data_inputs(node)) >= 5
    return is_fused and ("is_training" not in node.attr or bool(node.attr["is_training"].b))


def _statistics(flow: Dataflow, node: NodeDef, reads: Dict[str, str]) -> Optional[Tuple[str, str]]:
    """The moving mean and variance of a fused batch normalisation, as its updates or its own inputs tell."""
    mean, variance = reads.get(node.name + ":1"), reads.get(node.name + ":2")
    if mean is not None and variance is not None:
        return mean, variance
    given = graph_def.data_inputs(node)[3:5]
    if all(_is_read(flow, reference) for reference in given):
        return canonical(given[0]), canonical(given[1])
    return None


def _is_read(flow: Dataflow, reference: str) -> bool:
    origin = flow.passed_on(graph_def.node_name(reference), _READS)[-1]
    return flow.nodes[origin].op in graph_def.VARIABLES


def _settle_moments(graph: GraphDef, averagings: List[Averaging], stand_ins: List[StandIn]) -> List[Change]:
    """Batch normalisation of single operations: whoever takes the batch's moments takes the averages."""
    flow = Dataflow(graph)
    others: Dict[str, str] = {}
    for averaging in averagings:
        if not _is_moment(flow, averaging):
            continue
        others[averaging.tensor] = averaging.read
        stand_ins.append(StandIn(graph_def.tensor_name(averaging.tensor), source=graph_def.tensor_name(averaging.read)))
    redirect(graph, others)
    if not others:
        return []
    return [Change("Moving averages stand in for the means and variances of each batch.", tuple(sorted(others)))]


def _is_moment(flow: Dataflow, averaging: Averaging) -> bool:
    """Whether what is averaged is a batch's mean or variance by channel, and not a loss or a variable."""
    variable = flow.nodes[averaging.variable]
    shape = tensors.decode_shape(variable.attr["shape"].shape) if "shape" in variable.attr else None
    origin = flow.nodes[graph_def.node_name(averaging.origins[-1])]
    return shape != () and (origin.op == "Mean" or bool(_OF_MOMENTS.search(origin.name)))
