import pytest
from modelmill_worker import graph_def, tensors
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.tensor_types import find_shape, output_dtype


def node_of(operation, **types):
    node = graph_def.new_node("n", operation)
    for key, value in types.items():
        if isinstance(value, list):
            node.attr[key].list.type.extend(value)
        else:
            node.attr[key].type = value
    return node


@pytest.mark.parametrize(
    ("node", "index", "dtype"),
    [
        (node_of("Relu", T=1), 0, "float32"),
        (node_of("Cast", SrcT=1, DstT=4), 0, "uint8"),
        (node_of("Less", T=1), 0, "bool"),
        (node_of("ResizeBilinear", T=4), 0, "float32"),
        (node_of("DecodeJpeg"), 0, "uint8"),
        (node_of("DecodePng", dtype=17), 0, "uint16"),
        (node_of("ReadFile"), 0, "string"),
        (node_of("TopKV2", T=1), 1, "int32"),
        (node_of("IteratorGetNext", output_types=[1, 9]), 1, "int64"),
        (node_of("ParseExample", sparse_types=[1], Tdense=[7, 9]), 1, "float32"),
        (node_of("ParseExample", sparse_types=[1], Tdense=[7, 9]), 3, "string"),
        (node_of("DecodeWav"), 0, "float32"),
        (node_of("DecodeWav"), 1, "int32"),
        (node_of("Mfcc"), 0, "float32"),
        (node_of("Dequantize", T=12), 0, "float32"),
        (node_of("QuantizeV2", T=12), 0, "quint8"),
        (node_of("QuantizedAdd", T1=12, T2=12, Toutput=13), 0, "qint32"),
        (node_of("QuantizedAdd", T1=12, T2=12, Toutput=13), 2, "float32"),
        (node_of("RequantizationRange", Tinput=13), 1, "float32"),
        (node_of("Mystery"), 0, "unknown"),
    ],
)
def test_nodes_tell_the_types_of_their_outputs(node, index, dtype):
    assert output_dtype(node, index) == dtype


def flow_of(graph, shapes=()):
    nodes = graph_def.nodes_by_name(graph)
    for name, shape in shapes:
        tensors.encode_shape(shape, nodes[name].attr["shape"].shape)
    return Dataflow(graph)


@pytest.mark.parametrize(
    ("operation", "weights", "shape"),
    [
        ("Conv2D", (3, 3, 4, 8), (-1, -1, -1, 4)),
        ("DepthwiseConv2dNative", (3, 3, 4, 1), (-1, -1, -1, 4)),
        ("Conv3D", (3, 3, 3, 2, 8), (-1, -1, -1, -1, 2)),
        ("MatMul", (5, 7), (-1, 5)),
    ],
)
def test_weights_tell_the_shape_of_what_they_multiply(graph_of, operation, weights, shape):
    graph = graph_of(
        ("m", "Mystery"),
        ("near", "Cast", "m"),
        ("w", "VariableV2"),
        ("w/read", "Identity", "w"),
        ("y", operation, "near", "w/read"),
    )
    assert find_shape(flow_of(graph, [("w", weights)]), "m") == shape


def test_channels_come_second_where_the_layout_says_so(graph_of):
    graph = graph_of(("m", "Mystery"), ("w", "VariableV2"), ("y", "Conv2D", "m", "w"))
    graph.node[2].attr["data_format"].s = b"NCHW"
    assert find_shape(flow_of(graph, [("w", (3, 3, 4, 8))]), "m") == (-1, 4, -1, -1)


def test_a_tensor_that_nothing_tells_of_has_no_shape(graph_of):
    assert find_shape(flow_of(graph_of(("m", "Mystery"), ("y", "Relu", "m"))), "m") is None


def test_parsed_features_have_the_shapes_of_the_request(graph_of):
    graph = graph_of(("p", "ParseExample"), ("q", "ParseSingleExample"))
    for node in graph.node:
        node.attr["Tdense"].list.type.append(1)
        tensors.encode_shape((4,), node.attr["dense_shapes"].list.shape.add())
    flow = flow_of(graph)
    assert (find_shape(flow, "p"), find_shape(flow, "q")) == ((-1, 4), (4,))
