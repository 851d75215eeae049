"""The fake quantisation that stands behind an output: it is no part of what gives it out, and knows its range."""

from typing import Container, Iterable, List

from modelmill_worker import graph_def
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import GraphDef

_FAKE_QUANT = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs")
#: What may hold the ends of a range, where there is a checkpoint and where there is none.
WITH_CHECKPOINT = (*graph_def.VARIABLES, "Const")
WITHOUT_CHECKPOINT = ("Const",)
_PASSING_ON = ("Identity", "ReadVariableOp")


def fake_quant_behind(graph: GraphDef, outputs: Iterable[str], stored: Container[str]) -> List[str]:
    """The nodes that quantise the first output of one of these nodes and whose range is stored: to be frozen too.

    stored: the operations that a range's ends are read from.

    Quantisation-aware training records the range of what the model gives out there. A conversion to uint8 needs it,
    and the rewriter's rule repair_min_max uses it; whatever needs no range prunes the nodes. A range that is still
    being trained (a graph for training updates it) stays out.
    """
    wanted = frozenset(outputs)
    flow = Dataflow(graph)
    found = []
    for node in graph.node:
        inputs = [graph_def.node_name(one) for one in graph_def.data_inputs(node)]
        if node.op in _FAKE_QUANT and inputs and inputs[0] in wanted:
            ends = [flow.passed_on(one, _PASSING_ON)[-1] for one in inputs[1:]]
            if all(flow.nodes[end].op in stored for end in ends):
                found.append(node.name)
    return found
