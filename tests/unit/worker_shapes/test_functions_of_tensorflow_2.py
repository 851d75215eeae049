"""Shapes inside the functions of SavedModels, as TensorFlow 2 infers them when it builds the functions."""

import pytest
from agreement import LEAST_SHARE, compare
from modelmill_worker import graph_def, installed_tensorflow, saved_model
from modelmill_worker.shapes import infer

pytestmark = pytest.mark.skipif(not installed_tensorflow.is_installed(), reason="needs TensorFlow 2")


@pytest.mark.parametrize("name", ["basic-pitch/nmp", "kws-dscnn/kws_ref_model", "mtcnn/keras2/pnet_saved_model"])
def test_knows_the_shapes_inside_the_functions_of_real_models(name, corpus):
    import tensorflow as tf
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

    graph = saved_model.read(corpus / name / "saved_model.pb").graph
    functions = {function.signature.name: function for function in graph.library.function}
    nodes = {node.name: node for node in graph.node}
    shapes = infer(graph)
    with tf.Graph().as_default() as outer:  # knows the functions that are called inside
        tf.import_graph_def(graph_def.copy(graph), name="")
    known = whole = 0
    for node, inner in shapes.called.items():
        function = functions[nodes[node].attr["f"].func.name]
        if not node.startswith("StatefulPartitionedCall") or "save" in function.signature.name:
            continue
        arguments = [
            tf.TensorShape(_dims(shapes.of(reference).shape)) for reference in graph_def.data_inputs(nodes[node])
        ]
        with outer.as_default():
            built = function_def_to_graph(
                graph_def_copy(function), input_shapes=arguments, include_library_functions=True
            )
        counted = compare(
            {operation.name: [output.shape for output in operation.outputs] for operation in built.get_operations()},
            inner,
        )
        known, whole = known + counted[0], whole + counted[1]
    assert known >= LEAST_SHARE * whole > 0


def graph_def_copy(function):
    from tensorflow.core.framework import function_pb2

    copy = function_pb2.FunctionDef()
    copy.ParseFromString(function.SerializeToString())
    return copy


def _dims(shape):
    return None if shape is None else [None if size < 0 else size for size in shape]
