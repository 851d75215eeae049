"""Which variable is the moving average of which tensor, as the operations that keep it say.

    AssignSub(average, Mul(Sub(read(average), tensor), 1 - decay))
    AssignSub(unbiased, Sub(read(unbiased), RealDiv(read(average), correction)))

and the same of resource variables, with AssignSubVariableOp. The second one is there where an average that starts at
zero is corrected for that (tensorflow/python/training/moving_averages.py, assign_moving_average and _zero_debias).
"""

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from modelmill_worker import graph_def
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_freezer.inference.tensor_uses import canonical

_DECREMENTS = ("AssignSub", "AssignSubVariableOp")
_READS = ("Identity", "ReadVariableOp", "Switch", "RefSwitch", "RefIdentity")
#: What a statistic may pass before it is averaged, its first input being the statistic.
_PASSING_ON = ("Identity", "Squeeze", "Reshape", "StopGradient", "Cast", "Mul", "ExpandDims")


@dataclass(frozen=True)
class Averaging:
    """A tensor, and the variable that averages it.

    tensor, read: canonical names; `read` is where the variable's value is read.
    origins: the tensors that `tensor` passes on, itself first.
    """

    tensor: str
    variable: str
    read: str
    origins: Tuple[str, ...]


def find_averagings(graph: GraphDef) -> List[Averaging]:
    """All tensors of which the graph keeps moving averages."""
    flow = Dataflow(graph)
    kept: Dict[str, Tuple[str, str]] = {}
    unbiased: Dict[str, Tuple[str, str]] = {}
    found = []
    for node in graph.node:
        step = _decrement(flow, node)
        if step is None:
            continue
        variable, read, other = step
        divided = flow.nodes[graph_def.node_name(other)]
        biased = _variable_of(flow, divided.input[0]) if divided.op in ("RealDiv", "Div") else ""
        if biased:
            unbiased[biased] = (variable, read)
        else:
            found.append((other, variable))
            kept[variable] = (variable, read)
    return [
        Averaging(tensor, *unbiased.get(variable, kept[variable]), origins=tuple(_origins(flow, tensor)))
        for tensor, variable in found
    ]


def _decrement(flow: Dataflow, node: NodeDef) -> Optional[Tuple[str, str, str]]:
    """Variable, its reading and the tensor that it moves towards, where a node does that."""
    if node.op not in _DECREMENTS:
        return None
    variable = _variable_of(flow, node.input[0])
    step = flow.nodes[graph_def.node_name(node.input[1])]
    differences = [step] if step.op == "Sub" else []
    if step.op == "Mul":
        factors = [flow.nodes[name] for name in flow.feeders[step.name]]
        differences = [factor for factor in factors if factor.op == "Sub"]
    for difference in differences:
        read, tensor = graph_def.data_inputs(difference)
        if variable and variable == _variable_of(flow, read):
            return variable, canonical(read), canonical(tensor)
    return None


def _variable_of(flow: Dataflow, reference: str) -> str:
    """The variable that a tensor is, or is read from; empty where it is another."""
    node = flow.nodes[flow.passed_on(graph_def.node_name(reference), _READS)[-1]]
    return node.name if node.op in graph_def.VARIABLES else ""


def _origins(flow: Dataflow, tensor: str) -> List[str]:
    chain = flow.passed_on(graph_def.node_name(tensor), _PASSING_ON)
    return [tensor] + [canonical(graph_def.data_inputs(flow.nodes[name])[0]) for name in chain[:-1]]
