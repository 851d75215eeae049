"""Operations of a later version written as an earlier one, which compute the same."""

import numpy as np
import pytest
from modelmill_worker import graph_def, installed_tensorflow, tensors

ARRAYS = "backport_tensor_array_v3"


# backport_concatv2


def joined(graph, axis, dtype="int32"):
    graph.placeholder("x", (2, 3))
    graph.constant("a", np.ones((2, 3)))
    graph.constant("axis", axis, dtype)
    graph.outputs.append(graph.node("y", "ConcatV2", "x", "a", "axis", "^a", N=2, Tidx=dtype))
    return graph


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_joins_along_the_same_axis(graph, run_rules, compute, axis, dtype):
    rewritten = run_rules(joined(graph, axis, dtype), "backport_concatv2")
    y = rewritten.find("y")
    assert y.op == "Concat"
    assert list(y.input)[1:] == ["x", "a", "^a"]
    assert "Tidx" not in y.attr
    assert graph_def.constant_value(rewritten.find(y.input[0])).dtype == np.int32
    assert len(rewritten.names) == len(graph.message.node)
    feeds = {"x": np.random.RandomState(0).uniform(-1, 1, (2, 3)).astype(np.float32)}
    (before,), (after,) = (compute(message, feeds, ["y"]) for message in (graph.message, rewritten.message))
    np.testing.assert_array_equal(after, before)


def test_leaves_a_node_alone_when_its_axis_is_an_int64_that_is_computed(graph, run_rules):
    joined(graph, 0, "int64")
    graph.placeholder("where", (), "int64")
    graph.find("y").input[2] = "where"
    rewritten = run_rules(graph, "backport_concatv2")
    assert rewritten.refused == {"y": "its axis is an int64, and Concat takes an int32"}
    assert rewritten.fired == 0


# backport_tensor_array_v3


def arrays(graph):
    """A vector is written into an array, and one of its elements read."""
    graph.placeholder("x", (3,))
    graph.placeholder("index", (), "int32")
    graph.constant("size", 3, "int32")
    graph.constant("all", [0, 1, 2], "int32")
    graph.node("array", "TensorArrayV3", "size", T=None, identical_element_shapes=True)
    graph.node("filled", "TensorArrayScatterV3", "array", "all", "x", "array:1")
    graph.outputs.append(graph.node("y", "TensorArrayReadV3", "array", "index", "filled", T=None))
    for name in ("array", "y"):
        graph.find(name).attr["dtype"].type = 1
    return graph


def test_every_operation_on_tensor_arrays_is_of_the_second_version(graph, run_rules):
    rewritten = run_rules(arrays(graph), ARRAYS)
    assert [rewritten.find(name).op for name in ("array", "filled", "y")] == [
        "TensorArrayV2",
        "TensorArrayScatterV2",
        "TensorArrayReadV2",
    ]
    assert "identical_element_shapes" not in rewritten.find("array").attr
    assert list(rewritten.find("filled").input) == ["array", "all", "x", "array/replacement_flow_node"]
    assert graph_def.constant_value(rewritten.find("array/replacement_flow_node")) == 1
    assert run_rules(graph, ARRAYS, ARRAYS).fired == 2


def test_says_which_graphs_may_have_the_second_version(graph, run_rules):
    arrays(graph)
    graph.message.versions.producer = 134
    (report,) = run_rules(graph, ARRAYS).reports
    assert report.note == (
        "TensorFlow from 1.0 on reads tensor arrays of the second version only in graphs of a version below 26, and "
        "this one is of version 134."
    )
    graph.message.versions.producer = 24
    assert run_rules(graph, ARRAYS).reports[0].note == ""


def test_a_handle_inside_a_loop_is_a_string_there_too(graph, run_rules):
    arrays(graph)
    graph.node("enter", "Enter", "array", T=None, frame_name=b"loop")
    graph.find("enter").attr["T"].type = tensors.RESOURCE.number
    graph.node("size2", "TensorArraySizeV3", "enter", "filled", T=None)
    graph.outputs.append(graph.node("left", "Exit", "size2", dtype="int32"))
    rewritten = run_rules(graph, ARRAYS)
    assert rewritten.find("enter").attr["T"].type == tensors.STRING.number
    assert rewritten.find("left").attr["T"].type == 3


def test_leaves_arrays_alone_when_something_else_reads_a_handle(graph, run_rules):
    arrays(graph)
    graph.node("other", "TensorArrayV3", "size", T=None)
    graph.outputs.append(graph.node("called", "PartitionedCall", "other", T=None))
    rewritten = run_rules(graph, ARRAYS)
    assert rewritten.fired == 0
    assert rewritten.refused == {
        "other": "its handle is read by called, a PartitionedCall",
        "array": "another must stay as it is: other (its handle is read by called, a PartitionedCall)",
    }


def test_leaves_arrays_alone_when_a_handle_is_an_output(graph, run_rules):
    arrays(graph)
    graph.outputs.append("array")
    assert run_rules(graph, ARRAYS).refused == {"array": "its handle is an output of the model"}


def test_leaves_arrays_alone_when_they_lie_inside_a_condition(graph, run_rules):
    graph.placeholder("n", (), "int32")
    graph.placeholder("p", (), "bool")
    graph.node("switch", "Switch", "n", "p", dtype="int32")
    graph.node("array", "TensorArrayV3", "switch:1", T=None, dtype="float32")
    graph.node("size", "TensorArraySizeV3", "array", "array:1", T=None)
    graph.outputs.append(graph.node("y", "Merge", "switch", "size", N=2, dtype="int32"))
    reason = "it lies inside a loop or a condition, where a constant flow would not run when it does"
    assert run_rules(graph, ARRAYS).refused == {"array": reason}


def test_computes_the_same(graph, run_rules, compute):
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    arrays(graph)
    graph.message.versions.producer = 24
    rewritten = run_rules(graph, ARRAYS)
    feeds = {"x": np.float32([1.5, 2.5, 3.5]), "index": np.int32(1)}
    before, after = (compute(message, feeds, ["y"]) for message in (graph.message, rewritten.message))
    assert before == after == [2.5]


def test_a_whole_loop_computes_the_same(new_graph, run_rules, compute):
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    tf = installed_tensorflow.v1()
    with tf.Graph().as_default() as built:
        tf.disable_control_flow_v2()
        x = tf.placeholder(tf.float32, [4, 2], name="x")
        array = tf.TensorArray(tf.float32, 4).unstack(x)
        squares = tf.TensorArray(tf.float32, 4)
        result = tf.while_loop(
            lambda step, _: step < 4,
            lambda step, kept: (step + 1, kept.write(step, tf.square(array.read(step)))),
            (0, squares),
        )
        tf.identity(result[1].stack(), name="y")
        graph = new_graph(graph_def.copy(built.as_graph_def()), ["x"], ["y"])
    graph.message.versions.producer = 24
    for node in graph.message.node:
        if node.op == "Placeholder":
            assert tensors.decode_shape(node.attr["shape"].shape) == (4, 2)
    rewritten = run_rules(graph, ARRAYS)
    assert not [operation for operation in rewritten.operations if operation.endswith("V3")]
    feeds = {"x": np.float32(np.arange(8).reshape(4, 2))}
    (after,) = compute(rewritten.message, feeds, ["y"])
    np.testing.assert_array_equal(after, np.square(feeds["x"]))
