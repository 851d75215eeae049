"""Shapes that were inferred against those that TensorFlow says."""

from modelmill_worker import graph_def, installed_tensorflow, tensors
from modelmill_worker.shapes import infer

#: Of the tensors of which TensorFlow knows the whole shape.
LEAST_SHARE = 0.98


def imported(graph):
    tf = installed_tensorflow.v1()
    copy = graph_def.copy(graph)
    with tf.Graph().as_default() as built:
        tf.import_graph_def(copy, name="")
    return {operation.name: [output.shape for output in operation.outputs] for operation in built.get_operations()}


def assert_agrees(graph, expected):
    known, whole = compare(expected, infer(graph))
    assert known >= LEAST_SHARE * whole


def compare(expected, found):
    """How many whole shapes are known of how many; asserts that none is contradicted."""
    known = whole = 0
    for name, shapes in expected.items():
        for index, shape in enumerate(shapes):
            theirs = tensors.decode_shape(shape.as_proto())
            outputs = found.outputs.get(name, ())
            ours = outputs[index].shape if index < len(outputs) else None
            assert tensors.shapes_agree(ours, theirs), (name, index, ours, theirs)
            if theirs is not None and -1 not in theirs:
                whole += 1
                known += ours == theirs
    return known, whole
