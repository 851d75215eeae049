"""Which activations of a .tflite are part of another operator, and which are not, and why: the fact `activations`."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from modelmill_inspector.tflite._model import ABSENT, Model, Operator, Subgraph

#: The activations that operators take as part of themselves.
_FUSABLE = frozenset(("RELU", "RELU6", "RELU_N1_TO_1"))
#: The activations that always stay operators of their own.
_OTHERS = frozenset(("ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "PRELU", "RELU_0_TO_1", "TANH"))
#: Into these TensorFlow's converters fuse an activation (measured with 2.15 and 2.21; TOCO takes the same ones). The
#: format has the field for more: TRANSPOSE_CONV and CONV_3D, which stay as they are, CONCATENATION, whose kernel
#: refuses it.
_TAKING = frozenset(
    ("ADD", "AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "DIV", "FULLY_CONNECTED", "MAX_POOL_2D", "MUL", "SUB")
)
#: How many are listed of each kind.
_LISTED = 300


def describe_activations(model: Model) -> Dict[str, Any]:
    """The fact `activations`.

    fused: [{"subgraph", "operator": its index, "op", "activation", "name": of the operator's output}], at most 300
        (`fused_count`); fused_by_operator: {op: {activation: count}}, all of them.
    separate: those that are operators: [{"subgraph", "operator", "op", "name", "behind": the operator that makes its
        input or "", "why", "reason", "could_fuse"}], at most 300 (`separate_count`); could_fuse_count: how many of all
        could be part of the operator that they are behind, if the graph were written otherwise. 0 is as it should be.

    `why` is one of the keys below, `reason` the same as a sentence:

    KIND: no operator takes this kind as a part of itself.
    INPUT: it takes an input of the model, or a constant.
    OPERATOR: the operator before it cannot take one.
    ACTIVATION: the operator before it has one already.
    OUTPUT: what it takes is an output of the model too.
    SHARED: what it takes is also used by another operator.
    FAKE_QUANTISATION: a fake quantisation stands between it and an operator that could take it.
    NOTHING: nothing stands in its way; the converter left it.
    """
    fused: List[Dict[str, Any]] = []
    separate: List[Dict[str, Any]] = []
    for number, graph in enumerate(model.subgraphs):
        neighbours = _Neighbours(graph)
        for operator in graph.operators:
            where = {"subgraph": number, "operator": operator.index, "op": operator.code.name}
            if operator.activation:
                fused.append(dict(where, activation=operator.activation, name=_name(graph, operator)))
            elif operator.code.name in _FUSABLE | _OTHERS and not operator.code.custom:
                verdict = _verdict(operator, neighbours)
                separate.append(dict(where, name=_name(graph, operator), **verdict))
    return {
        "fused": fused[:_LISTED],
        "fused_count": len(fused),
        "fused_by_operator": _by_operator(fused),
        "separate": separate[:_LISTED],
        "separate_count": len(separate),
        "could_fuse_count": sum(one["could_fuse"] for one in separate),
    }


class _Neighbours:
    """Who makes and who takes each tensor of a subgraph."""

    def __init__(self, graph: Subgraph) -> None:
        self.outputs = frozenset(graph.outputs)
        self._makers = {index: one for one in graph.operators for index in one.outputs if index != ABSENT}
        self._takers = Counter(index for operator in graph.operators for index in set(operator.inputs))

    def maker(self, operator: Operator) -> Optional[Operator]:
        """The operator that makes another's first input."""
        return self._makers.get(operator.inputs[0]) if operator.inputs else None

    def takers(self, tensor: int) -> int:
        """How many operators take a tensor."""
        return self._takers[tensor]


@dataclass(frozen=True)
class _Why:
    key: str
    reason: str
    could_fuse: bool = False


def _verdict(operator: Operator, neighbours: _Neighbours) -> Dict[str, Any]:
    maker = neighbours.maker(operator)
    why = _why(operator, maker, neighbours)
    return {
        "behind": maker.code.name if maker else "",
        "why": why.key,
        "reason": why.reason,
        "could_fuse": why.could_fuse,
    }


def _why(operator: Operator, maker: Optional[Operator], neighbours: _Neighbours) -> _Why:
    name = operator.code.name
    if name not in _FUSABLE:
        return _Why("KIND", "no operator takes {} as a part of itself".format(name))
    if maker is None:
        return _Why("INPUT", "it takes an input of the model or a constant")
    behind, quantised = _behind_fake_quantisation(maker, neighbours)
    if behind is None or behind.code.custom or behind.code.name not in _TAKING:
        return _Why("OPERATOR", "{} before it cannot take one".format(maker.code.name))
    hindrance = _hindrance(operator, maker, behind, neighbours)
    if hindrance is not None:
        return hindrance
    if quantised:
        reason = "a fake quantisation stands between it and {}".format(behind.code.name)
        return _Why("FAKE_QUANTISATION", reason, could_fuse=True)
    return _Why("NOTHING", "nothing stands in its way", could_fuse=True)


def _hindrance(operator: Operator, maker: Operator, behind: Operator, neighbours: _Neighbours) -> Optional[_Why]:
    if behind.activation:
        return _Why("ACTIVATION", "{} before it has {} already".format(behind.code.name, behind.activation))
    for tensor in sorted({operator.inputs[0], *maker.outputs[:1], *behind.outputs[:1]}):
        if tensor in neighbours.outputs:
            return _Why("OUTPUT", "what {} makes for it is an output of the model too".format(behind.code.name))
        if neighbours.takers(tensor) > 1:
            return _Why("SHARED", "what {} makes for it is also used by another operator".format(behind.code.name))
    return None


def _behind_fake_quantisation(maker: Operator, neighbours: _Neighbours) -> Tuple[Optional[Operator], bool]:
    """The operator itself, or the one before the fake quantisation that it is, and whether it is one.

    TOCO writes FAKE_QUANT, MLIR a QUANTIZE with a DEQUANTIZE behind it.
    """
    if maker.code.name == "FAKE_QUANT":
        return neighbours.maker(maker), True
    if maker.code.name == "DEQUANTIZE":
        quantize = neighbours.maker(maker)
        if quantize is not None and quantize.code.name == "QUANTIZE":
            return neighbours.maker(quantize), True
    return maker, False


def _name(graph: Subgraph, operator: Operator) -> str:
    return graph.tensors[operator.outputs[0]].name if operator.outputs and operator.outputs[0] != ABSENT else ""


def _by_operator(fused: List[Dict[str, Any]]) -> Dict[str, Dict[str, int]]:
    counted: Dict[str, Dict[str, int]] = {}
    for one in sorted(fused, key=lambda one: (one["op"], one["activation"])):
        kinds = counted.setdefault(one["op"], {})
        kinds[one["activation"]] = kinds.get(one["activation"], 0) + 1
    return counted
