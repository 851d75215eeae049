"""TensorFlow's 8-bit operations on CPUs: which float operation each stands for, and what it cannot do.

The limits are those of the kernels, tensorflow/core/kernels/quantized_*.cc.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from modelmill_worker import tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules.quantization._about_eight_bits import QINT32, QUINT8
from modelmill_rewriter.rules_api import Dtype, GraphIndex, Tensor

Shape = Optional[Tuple[int, ...]]


class Form(NamedTuple):
    """The 8-bit form of a float operation.

    copied: attributes that both have.
    types: the attributes that tell the types of its inputs and of its result.
    wide: whether the result has 32 bits, which are made 8 again.
    plain: the inputs that are no floats, such as a shape.
    """

    operation: str
    copied: Tuple[str, ...]
    types: Dict[str, Dtype]
    wide: bool = False
    plain: Tuple[int, ...] = ()


def _wide(operation: str, first: str, second: str, result: str, copied: Tuple[str, ...] = ()) -> Form:
    return Form(operation, copied, {first: QUINT8, second: QUINT8, result: QINT32}, wide=True)


_POOLING = ("ksize", "strides", "padding")

FORMS: Dict[str, Form] = {
    "Add": _wide("QuantizedAdd", "T1", "T2", "Toutput"),
    "AddV2": _wide("QuantizedAdd", "T1", "T2", "Toutput"),
    "AvgPool": Form("QuantizedAvgPool", _POOLING, {"T": QUINT8}),
    "BiasAdd": _wide("QuantizedBiasAdd", "T1", "T2", "out_type"),
    "Concat": Form("QuantizedConcat", ("N",), {"T": QUINT8}, plain=(0,)),
    "ConcatV2": Form("QuantizedConcat", ("N",), {"T": QUINT8}, plain=(-1,)),
    "Conv2D": _wide("QuantizedConv2D", "Tinput", "Tfilter", "out_type", ("strides", "padding")),
    "MatMul": _wide("QuantizedMatMul", "T1", "T2", "Toutput", ("transpose_a", "transpose_b")),
    "MaxPool": Form("QuantizedMaxPool", _POOLING, {"T": QUINT8}),
    "Mul": _wide("QuantizedMul", "T1", "T2", "Toutput"),
    "Relu": Form("QuantizedRelu", (), {"Tinput": QUINT8, "out_type": QUINT8}),
    "Relu6": Form("QuantizedRelu6", (), {"Tinput": QUINT8, "out_type": QUINT8}),
    "Reshape": Form("QuantizedReshape", ("Tshape",), {"T": QUINT8}, plain=(1,)),
    "ResizeBilinear": Form(
        "QuantizedResizeBilinear", ("align_corners", "half_pixel_centers"), {"T": QUINT8}, plain=(1,)
    ),
}


def quantized_inputs(graph: GraphIndex, node: NodeDef) -> Tuple[Tensor, ...]:
    """The inputs that an operation's 8-bit form takes in 8 bits."""
    inputs = graph.data_inputs(node.name)
    plain = [position % len(inputs) for position in FORMS[node.op].plain]
    return tuple(tensor for position, tensor in enumerate(inputs) if position not in plain)


def reason_against(graph: GraphIndex, node: NodeDef) -> str:
    """Why a node, of an operation that has an 8-bit form, cannot have it; empty where it can."""
    for tensor in quantized_inputs(graph, node) + (Tensor(node.name),):
        number = graph.dtype(tensor)
        name = tensors.data_type(number).name if number else "what is not known"
        if name != "float32":
            return "it computes {}, and 8-bit operations are for float32".format(name)
    data_format = _text(node, "data_format")
    if data_format not in ("", "NHWC"):
        return "its data format is {}, and 8-bit operations are for NHWC".format(data_format)
    return _BY_OPERATION[node.op](graph, node) if node.op in _BY_OPERATION else ""


def _against_convolution(graph: GraphIndex, node: NodeDef) -> str:
    strides, dilations = _numbers(node, "strides"), _numbers(node, "dilations")
    if any(rate != 1 for rate in dilations):
        return "it is dilated, which no 8-bit convolution is"
    if _text(node, "padding") not in ("SAME", "VALID"):
        return "its padding is explicit, which no 8-bit convolution's is"
    if strides[1] != strides[2]:
        return "its strides differ, which those of 8-bit convolutions may not"
    image, weights = (graph.shape(tensor) for tensor in graph.data_inputs(node.name))
    if image and weights and -1 not in (image[-1], weights[2]) and image[-1] != weights[2]:
        return "it works on groups of channels, which no 8-bit convolution does"
    return ""


def _against_pooling(graph: GraphIndex, node: NodeDef) -> str:
    del graph
    if _text(node, "padding") not in ("SAME", "VALID"):
        return "its padding is explicit, which that of 8-bit pooling is not"
    window, strides = _numbers(node, "ksize"), _numbers(node, "strides")
    if [window[0], window[-1], strides[0], strides[-1]] != [1, 1, 1, 1]:
        return "it pools over the batch or the channels, which 8-bit pooling does not"
    return ""


def _against_arithmetic(graph: GraphIndex, node: NodeDef) -> str:
    first, second = (graph.shape(tensor) for tensor in graph.data_inputs(node.name))
    if first is None or second is None:
        return "the shapes of what it combines are not known"
    if _combines(first, second):
        return ""
    small, large = sorted((list(first), list(second)), key=len)
    return "it stretches the shape {} over {}, which no 8-bit operation does".format(small, large)


def _combines(first: Tuple[int, ...], second: Tuple[int, ...]) -> bool:
    """Whether two shapes are alike, or one is a single element or the last dimensions of the other."""
    small, large = sorted((_without_leading_ones(first), _without_leading_ones(second)), key=len)
    return all(size == 1 for size in small) or small == large[len(large) - len(small) :]


def _without_leading_ones(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _against_concatenation(graph: GraphIndex, node: NodeDef) -> str:
    return "" if axis_of(graph, node) is not None else "its axis is computed, or counts from the end of no known rank"


def axis_of(graph: GraphIndex, node: NodeDef) -> Optional[int]:
    """The axis of a Concat or ConcatV2, counted from the first; None where it cannot be told."""
    inputs = graph.data_inputs(node.name)
    value = graph.constant(inputs[FORMS[node.op].plain[0]])
    if value is None or value.size != 1:
        return None
    axis = int(value.reshape(-1)[0])
    if axis >= 0:
        return axis
    ranks = [len(shape) for shape in map(graph.shape, quantized_inputs(graph, node)) if shape is not None]
    return axis + ranks[0] if ranks else None


def _text(node: NodeDef, key: str) -> str:
    return str(node.attr[key].s.decode("ascii", "replace")) if key in node.attr else ""


def _numbers(node: NodeDef, key: str) -> List[int]:
    return list(node.attr[key].list.i) if key in node.attr else []


_BY_OPERATION: Dict[str, Callable[[GraphIndex, NodeDef], str]] = {
    "Add": _against_arithmetic,
    "AddV2": _against_arithmetic,
    "AvgPool": _against_pooling,
    "Concat": _against_concatenation,
    "ConcatV2": _against_concatenation,
    "Conv2D": _against_convolution,
    "MaxPool": _against_pooling,
    "Mul": _against_arithmetic,
}
