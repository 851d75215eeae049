"""How a quantised input's uint8 values stand for real ones: real = (value - mean) / standard deviation."""

from typing import Any, Dict, List, Optional, Tuple

from modelmill_worker import StepError, graph_def
from modelmill_worker.signature import Signature, Tensor

from modelmill_tflite_quantizer.request import array_of

Stats = Tuple[float, float]

_FAKE_QUANT = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs")
_PASSES = ("Identity", "PlaceholderWithDefault", "StopGradient")
#: The steps between a uint8's smallest value and its largest.
_STEPS = 255.0
#: For an input that is not of floats: its values stand for themselves.
_AS_IT_IS = (0.0, 1.0)


def of_inputs(graph: Any, signature: Signature, given: Optional[Dict[str, Stats]]) -> Dict[str, Stats]:
    """Mean and standard deviation of each float input, by array: as given, else of the range that it was trained with.

    Raises StepError INPUT_STATS_MISSING where neither is there, INVALID_OPTION where an input is named
    that the model does not have.
    """
    given = given or {}
    names = [tensor.name for tensor in signature.inputs]
    for name, stats in given.items():
        if name not in names or len(stats) != 2 or stats[1] <= 0:
            raise StepError(
                "INVALID_OPTION",
                "The option input_stats cannot give {} the values {}: give for inputs among {} a mean and a standard "
                "deviation above 0.".format(name, list(stats), ", ".join(names)),
                {"option": "input_stats", "input": name, "value": list(stats)},
            )
    return {array_of(tensor.tensor): given.get(tensor.name) or _trained(graph, tensor) for tensor in signature.inputs}


def _trained(graph: Any, tensor: Tensor) -> Stats:
    if tensor.dtype != "float32":
        return _AS_IT_IS
    nodes = graph_def.nodes_by_name(graph)
    found = _range_of(graph, nodes, graph_def.node_name(tensor.tensor))
    if found is None:
        raise StepError(
            "INPUT_STATS_MISSING",
            "The input {} of a quantised model takes uint8, and the graph does not tell which real values these stand "
            'for. Say it with the option input_stats, such as {{"{}": [127.5, 127.5]}} for -1 to 1: '
            "the mean and the standard deviation, real = (value - mean) / deviation.".format(tensor.name, tensor.name),
            {"input": tensor.name, "option": "input_stats"},
        )
    low, high = found
    deviation = _STEPS / (high - low)
    return (-low * deviation, deviation)


def _range_of(graph: Any, nodes: Dict[str, Any], name: str) -> Optional[Tuple[float, float]]:
    """The range of the fake quantisation that a node's output goes into, directly or through nodes that pass it on."""
    for node in graph.node:
        if name not in [graph_def.node_name(one) for one in graph_def.data_inputs(node)[:1]]:
            continue
        if node.op in _FAKE_QUANT:
            return _bounds(nodes, node)
        if node.op in _PASSES:
            found = _range_of(graph, nodes, node.name)
            if found is not None:
                return found
    return None


def _bounds(nodes: Dict[str, Any], node: Any) -> Optional[Tuple[float, float]]:
    """A fake quantisation's range, made to hold 0 and moved so that 0 is one of its values, as TensorFlow does."""
    if node.op == "FakeQuantWithMinMaxArgs":
        ends = [node.attr["min"].f, node.attr["max"].f]
    else:
        ends = [_constant(nodes, one) for one in graph_def.data_inputs(node)[1:3]]
    if len(ends) != 2 or None in ends or ends[0] >= ends[1]:
        return None
    low, high = min(0.0, float(ends[0])), max(0.0, float(ends[1]))
    step = (high - low) / _STEPS
    low = -round(-low / step) * step
    return low, low + _STEPS * step


def _constant(nodes: Dict[str, Any], reference: str) -> Optional[float]:
    seen: List[str] = []
    name = graph_def.node_name(reference)
    while name in nodes and name not in seen:
        node = nodes[name]
        if node.op == "Const":
            return float(graph_def.constant_value(node).reshape(-1)[0])
        if node.op not in _PASSES:
            return None
        seen.append(name)
        name = graph_def.node_name(graph_def.data_inputs(node)[0])
    return None
