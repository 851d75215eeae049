"""How a graph is built: control edges, control flow, functions, devices, quantisation."""

import re
from collections import Counter
from typing import Any, Dict, List, Sequence, Set

from modelmill_worker import graph_def
from modelmill_worker.dataflow import CONTROL_FLOW, Dataflow
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_inspector.graphs.reach import as_graph, needed_functions, needed_nodes

_LISTED = 50
_LOOPS = frozenset(["While", "StatelessWhile", "For", "LoopCond"])
_CONDITIONS = frozenset(["If", "StatelessIf", "Case", "StatelessCase"])
_FAKE_QUANT = frozenset(["FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel"])
_QUANTISED = frozenset(["QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4"])
#: Operations of which the TFLite converter needs the output's range to make an integer kernel.
_RANGED = frozenset(
    re.findall(
        r"\w+",
        """
    Add AddV2 AvgPool BatchMatMul BatchMatMulV2 ConcatV2 Conv2D Conv2DBackpropInput DepthwiseConv2dNative LeakyRelu
    MatMul Mean Mul Relu Relu6 ResizeBilinear Sub Tanh
    """,
    )
)
#: What keeps the values of its input, so that a range before or after it serves.
_KEEPING = frozenset(["Identity", "Reshape", "Squeeze", "ExpandDims", "Transpose", "MaxPool", "Pad"])
#: What the converter joins to the operation before it.
_JOINED = frozenset(["BiasAdd", "Add", "AddV2", "Relu", "Relu6", "FusedBatchNorm", "FusedBatchNormV3", "Mul", "Sub"])


def describe_structure(graph: GraphDef, nodes: Sequence[NodeDef]) -> Dict[str, Any]:
    """`control_edges`, `control_flow`, `functions` and `devices` of a graph; nodes: those that its outputs need.

    `control_flow` counts operations of TensorFlow 1 (v1) and 2 (v2), and how many loops and conditions there are.
    """
    kinds = Counter(node.op for node in nodes)
    version_1 = sum(kinds[name] for name in CONTROL_FLOW)
    version_2 = sum(count for name, count in kinds.items() if name in (_LOOPS | _CONDITIONS) - {"LoopCond"})
    predicates = {
        list(node.input)[1] for node in nodes if node.op in ("Switch", "RefSwitch") and len(node.input) > 1
    } - {node.name for node in nodes if node.op == "LoopCond"}
    functions = list(graph.library.function)
    return {
        "control_edges": sum(graph_def.is_control(reference) for node in graph.node for reference in node.input),
        "control_flow": {
            "v1": version_1,
            "v2": version_2,
            "loops": sum(kinds[name] for name in _LOOPS),
            "conditions": sum(kinds[name] for name in _CONDITIONS) + len(predicates),
        },
        "functions": [
            {"name": function.signature.name, "nodes": len(function.node_def)} for function in functions[:_LISTED]
        ],
        "functions_count": len(functions),
        "devices": dict(sorted(Counter(node.device for node in graph.node if node.device).items())),
    }


def describe_quantisation(graph: GraphDef, needed: Set[str]) -> Dict[str, Any]:
    """How far a graph was trained for quantisation: its FakeQuant nodes, and results that have no range.

    The functions that the needed nodes reach count as well; a node in one is named "function/node".
    `tensors_without_range` (at most 50) has results of operations from which a fully quantised model is made and
    whose range no FakeQuant node tells; it is left out where there is no FakeQuant at all: ranges then come from
    calibration.
    """
    kinds = Counter(node.op for node in needed_nodes(graph, needed))
    fakes = sum(kinds[name] for name in _FAKE_QUANT)
    facts: Dict[str, Any] = {
        "fake_quant_nodes": fakes,
        "quantize_and_dequantize_nodes": sum(kinds[name] for name in _QUANTISED),
    }
    if fakes:
        without = _without_range(graph, needed)
        for function in needed_functions(graph, needed):
            inner = as_graph(function)
            names = _without_range(inner, {node.name for node in inner.node})
            without += ["{}/{}".format(function.signature.name, name) for name in names]
        facts["tensors_without_range"] = without[:_LISTED]
        facts["tensors_without_range_count"] = len(without)
    return facts


def _without_range(graph: GraphDef, needed: Set[str]) -> List[str]:
    flow = Dataflow(graph)
    return [name for name in flow.nodes if name in needed and _lacks_range(flow, name, needed)]


def _lacks_range(flow: Dataflow, name: str, needed: Set[str]) -> bool:
    return flow.nodes[name].op in _RANGED and not _ranged_behind(flow, name, needed, 4)


def _ranged_behind(flow: Dataflow, name: str, needed: Set[str], steps: int) -> bool:
    """Whether every way onwards meets a FakeQuant, an operation that is joined to this one, or a range it keeps."""
    users: List[str] = [user for user in flow.consumers[name] if user in needed]
    if not users:
        return False
    return all(_tells_range(flow, user, needed, steps) for user in users)


def _tells_range(flow: Dataflow, user: str, needed: Set[str], steps: int) -> bool:
    operation = flow.nodes[user].op
    if operation in _FAKE_QUANT:
        return True
    if not steps or operation not in _KEEPING | _JOINED:
        return False
    return operation in _RANGED or _ranged_behind(flow, user, needed, steps - 1)
