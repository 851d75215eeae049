"""The type and shape of a tensor in a GraphDef, as far as the graph's own nodes tell; nothing is run or inferred.

A node tells its type in an attribute, and its shape where the graph was written with shapes. Queues, iterators,
parsers and decoders tell what they hand over. Where no node before the tensor tells, the weights that it
is multiplied by may.
"""

import re
from typing import Dict, List, Optional, Sequence, Tuple

from modelmill_worker import graph_def, tensors
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import NodeDef

Shape = Optional[Tuple[int, ...]]

_COMPARISONS = frozenset(
    ["Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "LogicalAnd", "LogicalOr", "LogicalNot"]
)
#: Attributes that hold an operation's output type, the telling ones first.
_TYPE_ATTRIBUTES = ("DstT", "output_type", "out_type", "Toutput", "Tparams", "dtype", "T", "Tout", "type", "out_idx")
#: Lists of the types of all outputs.
_TYPE_LISTS = ("_output_types", "Tout", "component_types", "output_types")

_OUTPUT_COUNTS: Dict[str, int] = {
    "RequantizationRange": 2,
    "TopK": 2,
    "TopKV2": 2,
    "Unique": 2,
    "NonMaxSuppressionV4": 2,
    "NonMaxSuppressionV5": 3,
    "CombinedNonMaxSuppression": 4,
    "TFLite_Detection_PostProcess": 4,
}
#: Types that no attribute tells, or that attributes leave out where they are the default.
_DEFAULT_TYPES: Dict[str, str] = {
    "Dequantize": "float32",
    "ArgMax": "int64",
    "ArgMin": "int64",
    "Shape": "int32",
    "Size": "int32",
    "Rank": "int32",
    "Where": "int64",
    "DecodeImage": "uint8",
    "DecodePng": "uint8",
    "ReadFile": "string",
}
#: Types that do not follow the input's, which is what the attribute T tells of them.
_FIXED_TYPES: Dict[str, str] = {
    "RequantizationRange": "float32",
    "AudioSpectrogram": "float32",
    "DecodeWav": "float32",
    "Mfcc": "float32",
    "ResizeBilinear": "float32",
    "ResizeBicubic": "float32",
    "ResizeArea": "float32",
    "CropAndResize": "float32",
    "DecodeJpeg": "uint8",
    "DecodeAndCropJpeg": "uint8",
    "DecodeBmp": "uint8",
    "DecodeGif": "uint8",
    # These have no attribute with a type at all.
    "FakeQuantWithMinMaxArgs": "float32",
    "FakeQuantWithMinMaxVars": "float32",
    "FakeQuantWithMinMaxVarsPerChannel": "float32",
}
#: Operations on 8-bit codes: what they give, and the two ends of its range.
_WITH_RANGE = re.compile(r"QuantizeV2|Requantize|Quantized\w+")
_DECODED_IMAGE = re.compile(r"Decode(AndCrop)?(Jpeg|Png|Image|Bmp)")
_DEQUEUES = re.compile(r"QueueDequeue(Many|UpTo)?(V2)?")
_SINGLE_DEQUEUES = ("QueueDequeue", "QueueDequeueV2")
_PASSING_ON = frozenset(
    ["Identity", "Cast", "Relu", "Relu6", "StopGradient", "CheckNumerics", "Pad", "MirrorPad", "MaxPool", "AvgPool"]
)
_WITH_CONSTANT = frozenset(["Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "Maximum", "Minimum"])


#: A few bytes can claim any number.
_MOST_OUTPUTS = 64


def output_count(node: NodeDef) -> int:
    """How many outputs a node has, 1 where it does not tell; at most 64, whatever a damaged one claims."""
    if node.op in ("Split", "SplitV"):
        return max(0, min(int(node.attr["num_split"].i), _MOST_OUTPUTS))
    if node.op == "Unpack":
        return max(0, min(int(node.attr["num"].i), _MOST_OUTPUTS))
    if "Tout" in node.attr and node.attr["Tout"].WhichOneof("value") == "list":
        return len(node.attr["Tout"].list.type)
    if "_output_types" in node.attr:
        return len(node.attr["_output_types"].list.type)
    return 3 if _WITH_RANGE.fullmatch(node.op) else _OUTPUT_COUNTS.get(node.op, 1)


def output_dtype(node: NodeDef, index: int) -> str:
    """NumPy's name of the type that the node tells; "unknown" where it tells none."""
    if node.op in _COMPARISONS:
        return "bool"
    if _gives_indices(node, index) or (node.op == "DecodeWav" and index == 1):  # The sample rate.
        return "int32"
    if node.op in _FIXED_TYPES:
        return _FIXED_TYPES[node.op]
    if index and _WITH_RANGE.fullmatch(node.op):
        return "float32"
    listed = _parsed_types(node) if node.op in _PARSERS else _listed_types(node)
    return listed[index] if index < len(listed) else _dtype_by_attribute(node)


def _gives_indices(node: NodeDef, index: int) -> bool:
    is_ranking = node.op in ("TopK", "TopKV2") and index == 1
    return is_ranking or (node.op.startswith("NonMaxSuppression") and index != 1)


def _listed_types(node: NodeDef) -> List[str]:
    for attribute in _TYPE_LISTS:
        if attribute in node.attr and node.attr[attribute].list.type:
            return [tensors.data_type(number).name for number in node.attr[attribute].list.type]
    return []


def _dtype_by_attribute(node: NodeDef) -> str:
    if node.op in _DEFAULT_TYPES:  # There T is the type of what comes in.
        told = [node.attr[name].type for name in ("output_type", "out_type", "dtype") if name in node.attr]
        return tensors.data_type(told[0]).name if told else _DEFAULT_TYPES[node.op]
    for attribute in _TYPE_ATTRIBUTES:
        if attribute in node.attr and node.attr[attribute].WhichOneof("value") == "type":
            return tensors.data_type(node.attr[attribute].type).name
    return "unknown"


def told_shape(node: NodeDef, index: int) -> Shape:
    """What shape inference left in the node when the graph was written, where it was asked to."""
    shapes = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else ()
    return tensors.decode_shape(shapes[index]) if index < len(shapes) else None


def find_shape(flow: Dataflow, reference: str) -> Shape:
    """The shape of a tensor, -1 for what is open, from its node or from those that take it; None where none tells."""
    node = flow.nodes[graph_def.node_name(reference)]
    index = graph_def.output_index(reference)
    found = told_shape(node, index)
    if found is None:
        found = _handed_over(flow, node, index)
    return shape_for_users(flow, reference) if found is None else found


def _handed_over(flow: Dataflow, node: NodeDef, index: int) -> Shape:
    """What the ends of input pipelines declare."""
    if _DEQUEUES.fullmatch(node.op) and len(flow.feeders[node.name]) > (node.op not in _SINGLE_DEQUEUES):
        return _dequeued(flow, node, index)
    if _DECODED_IMAGE.fullmatch(node.op):
        channels = int(node.attr["channels"].i) if "channels" in node.attr else 0
        return (-1, -1, channels or 3)
    if node.op in _PARSERS:
        shapes = _parsed_shapes(node)
        return shapes[index] if index < len(shapes) else None
    return _listed_shape(node, "output_shapes", index)


def _listed_shape(node: NodeDef, attribute: str, index: int) -> Shape:
    listed = node.attr[attribute].list.shape if attribute in node.attr else ()
    return tensors.decode_shape(listed[index]) if index < len(listed) else None


def _dequeued(flow: Dataflow, node: NodeDef, index: int) -> Shape:
    queue = flow.nodes[flow.feeders[node.name][0]]
    shape = _listed_shape(queue, "shapes", index)
    if shape is None or node.op in _SINGLE_DEQUEUES:
        return shape
    count = flow.nodes[flow.feeders[node.name][1]]
    size = int(graph_def.constant_value(count)) if count.op == "Const" and "Many" in node.op else -1
    return (size, *shape)


_PARSERS = ("ParseExample", "ParseSingleExample")


def _parsed_types(node: NodeDef) -> List[str]:
    """Indices, values and shapes of sparse features, then dense features (tensorflow/core/ops/parsing_ops.cc)."""
    sparse = [tensors.data_type(number).name for number in node.attr["sparse_types"].list.type]
    dense = [tensors.data_type(number).name for number in node.attr["Tdense"].list.type]
    return ["int64"] * len(sparse) + sparse + ["int64"] * len(sparse) + dense


def _parsed_shapes(node: NodeDef) -> List[Shape]:
    sparse = len(node.attr["sparse_types"].list.type)
    dense = [tensors.decode_shape(shape) for shape in node.attr["dense_shapes"].list.shape]
    batch = (-1,) if node.op == "ParseExample" else ()
    rank = 2 if batch else 1
    sparse_shapes: Sequence[Shape] = [(-1, rank)] * sparse + [(-1,)] * sparse + [(rank,)] * sparse
    return list(sparse_shapes) + [None if shape is None else batch + shape for shape in dense]


def shape_for_users(flow: Dataflow, reference: str) -> Shape:
    """The shape that one of the nodes taking a tensor needs, looking through operations that keep it."""
    waiting = [reference]
    seen = set()
    while waiting:
        tensor = waiting.pop(0)
        name = graph_def.node_name(tensor)
        if tensor in seen:
            continue
        seen.add(tensor)
        for user in flow.consumers[name]:
            node = flow.nodes[user]
            if not any(graph_def.tensor_name(given) == graph_def.tensor_name(tensor) for given in node.input[:1]):
                continue
            wanted = _shape_for_weights(flow, node)
            if wanted is not None:
                return wanted
            if node.op in _PASSING_ON or node.op in _WITH_CONSTANT:
                waiting.append(user)
    return None


def _shape_for_weights(flow: Dataflow, node: NodeDef) -> Shape:
    """What a convolution's or a product's weights leave of its input's shape."""
    given = graph_def.data_inputs(node)
    if node.op not in ("Conv2D", "DepthwiseConv2dNative", "MatMul", "Conv3D") or len(given) < 2:
        return None
    weights = flow.nodes[flow.passed_on(graph_def.node_name(given[1]), ("Identity", "ReadVariableOp"))[-1]]
    shape = _weight_shape(weights)
    if shape is None:
        return None
    if node.op == "MatMul":
        return None if node.attr["transpose_a"].b else (-1, shape[1] if node.attr["transpose_b"].b else shape[0])
    rank = len(shape)
    layout = node.attr["data_format"].s.decode("ascii") if "data_format" in node.attr else ""
    open_dimensions = (-1,) * (rank - 2)
    if layout.startswith("NC"):
        return (-1, shape[-2], *open_dimensions)
    return (-1, *open_dimensions, shape[-2])


def _weight_shape(weights: NodeDef) -> Shape:
    if weights.op in graph_def.VARIABLES:
        return tensors.decode_shape(weights.attr["shape"].shape) if "shape" in weights.attr else None
    return tensors.decode_shape(weights.attr["value"].tensor.tensor_shape) if weights.op == "Const" else None
