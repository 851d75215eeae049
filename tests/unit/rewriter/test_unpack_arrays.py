"""What takes an array's place, and which arrays stay; by hand-made graphs."""

from __future__ import annotations  # these tests run on Python 3.7 as well

import numpy as np
import pytest
from modelmill_rewriter.rules_api import ShapeOf

VARIANT = 21


def with_dtype(graph, name):
    graph.find(name).attr["dtype"].type = 1
    return name


def array(graph, size="three", **attributes):
    graph.constant("three", 3, "int32")
    for number in range(3):
        graph.constant(f"i{number}", number, "int32")
    given = {"dynamic_size": False, "clear_after_read": False, "element_shape": ShapeOf(None), **attributes}
    return with_dtype(graph, graph.node("array", "TensorArrayV3", size, T=None, tensor_array_name=b"", **given))


def write(graph, name, index, value, flow):
    return graph.node(name, "TensorArrayWriteV3", "array", index, value, flow)


def read(graph, name, index, flow):
    return with_dtype(graph, graph.node(name, "TensorArrayReadV3", "array", index, flow, T=None))


def gather(graph, name, indices, flow, *waiting):
    inputs = ("array", indices, flow, *waiting)
    made = graph.node(name, "TensorArrayGatherV3", *inputs, T=None, element_shape=ShapeOf(None))
    return with_dtype(graph, made)


def scattered(graph, indices=(0, 1, 2)):
    graph.placeholder("x", (3, 2))
    array(graph)
    graph.constant("indices", indices, "int32")
    return graph.node("scatter", "TensorArrayScatterV3", "array", "indices", "x", "array:1")


def two_written(graph):
    graph.placeholder("x", (2,))
    array(graph)
    graph.node("minus", "Neg", "x")
    write(graph, "write0", "i0", "x", "array:1")
    write(graph, "write2", "i2", "minus", "write0")
    graph.constant("all", [0, 1, 2], "int32")


FEEDS = {"x": np.array([[1, -2], [3, 4], [5, 0.5]], np.float32)}


def test_reads_the_parts_that_were_scattered(graph, run_rules, compute):
    scattered(graph, (2, 0, 1))
    for number in range(3):
        read(graph, f"read{number}", f"i{number}", "scatter")
        graph.outputs.append(graph.node(f"y{number}", "Neg", f"read{number}"))
    rewritten = run_rules(graph, "unpack_arrays")
    assert set(rewritten.operations) == {"Neg", "Placeholder", "Unpack"}
    for number, row in enumerate((1, 2, 0)):
        assert list(rewritten.find(f"y{number}").input) == ["scatter/unpack" + ["", ":1", ":2"][row]]
    after = compute(rewritten.message, FEEDS, graph.outputs)
    np.testing.assert_array_equal(after, compute(graph.message, FEEDS, graph.outputs))


def test_an_array_that_is_read_as_it_was_filled_is_the_tensor(graph, run_rules):
    scattered(graph)
    gather(graph, "gather", "indices", "scatter")
    graph.outputs.append(graph.node("y", "Neg", "gather"))
    rewritten = run_rules(graph, "unpack_arrays")
    assert list(rewritten.find("y").input) == ["x"]


def test_what_was_never_written_is_zeros(graph, run_rules, compute):
    two_written(graph)
    gather(graph, "gather", "all", "write2")
    graph.outputs.append(graph.node("y", "Neg", "gather"))
    rewritten = run_rules(graph, "unpack_arrays")
    value = compute(rewritten.message, {"x": np.array([1, 2], np.float32)}, ["y"])[0]
    assert value.tolist() == [[-1, -2], [0, 0], [1, 2]]


def test_the_size_counts_the_elements(graph, run_rules, compute):
    two_written(graph)
    graph.node("size", "TensorArraySizeV3", "array", "write2", T=None)
    graph.constant("start", 0, "int32")
    graph.constant("by", 1, "int32")
    graph.node("range", "Range", "start", "size", "by", T=None, Tidx="int32")
    gather(graph, "gather", "range", "write2")
    graph.outputs.append(graph.node("y", "Neg", "gather"))
    rewritten = run_rules(graph, "unpack_arrays")
    assert rewritten.refused == {}
    assert compute(rewritten.message, {"x": np.ones(2, np.float32)}, ["y"])[0].shape == (3, 2)


def test_an_output_that_was_read_keeps_its_name(graph, run_rules):
    scattered(graph)
    graph.outputs.append(read(graph, "read", "i1", "scatter"))
    rewritten = run_rules(graph, "unpack_arrays")
    assert (rewritten.find("read").op, list(rewritten.find("read").input)) == ("Identity", ["scatter/unpack:1"])


def test_a_read_that_waits_goes_on_waiting(graph, run_rules):
    scattered(graph)
    graph.node("fill", "HashTableV2", T=None)
    read(graph, "read", "i1", "scatter")
    graph.find("read").input.append("^fill")
    graph.outputs.append(graph.node("y", "Neg", "read"))
    rewritten = run_rules(graph, "unpack_arrays")
    assert list(rewritten.find("read").input) == ["scatter/unpack:1", "^fill"]


def test_what_is_read_from_one_array_is_written_to_another(graph, run_rules, compute):
    scattered(graph)
    read(graph, "read", "i2", "scatter")
    with_dtype(graph, graph.node("other", "TensorArrayV3", "three", T=None, element_shape=ShapeOf(None)))
    graph.node("kept", "TensorArrayWriteV3", "other", "i0", "read", "other:1")
    with_dtype(graph, graph.node("again", "TensorArrayReadV3", "other", "i0", "kept", T=None))
    graph.outputs.append(graph.node("y", "Neg", "again"))
    rewritten = run_rules(graph, "unpack_arrays")
    assert list(rewritten.find("y").input) == ["scatter/unpack:2"]


def listed(graph, operation, *inputs, **attributes):
    graph.placeholder("x", (3, 2))
    graph.constant("shape", [2], "int32")
    for number in range(3):
        graph.constant(f"i{number}", number, "int32")
    return list_node(graph, "list", operation, *inputs, **attributes)


def list_node(graph, name, operation, *inputs, **attributes):
    given = {"element_dtype": "float32", "shape_type": "int32", **attributes}
    return graph.node(name, operation, *inputs, T=None, **given)


def test_lists_are_taken_apart_and_put_together(graph, run_rules, compute):
    listed(graph, "TensorListFromTensor", "x", "shape")
    list_node(graph, "first", "TensorListGetItem", "list", "i0", "shape", shape_type=None)
    graph.node("minus", "Neg", "first")
    list_node(graph, "set", "TensorListSetItem", "list", "i2", "minus", shape_type=None)
    graph.node("handed", "Identity", "set", T=None)
    graph.find("handed").attr["T"].type = VARIANT
    list_node(graph, "stacked", "TensorListStack", "handed", "shape", shape_type=None, num_elements=3)
    graph.outputs.append(graph.node("y", "Neg", "stacked"))
    rewritten = run_rules(graph, "unpack_arrays")
    assert set(rewritten.operations) == {"Const", "Neg", "Pack", "Placeholder", "Unpack"}
    after = compute(rewritten.message, FEEDS, ["y"])
    np.testing.assert_array_equal(after, compute(graph.message, FEEDS, ["y"]))


def test_lists_that_grow_and_shrink(graph, run_rules, compute):
    listed(graph, "EmptyTensorList", "shape", "i0")
    graph.constant("row", [7, 8])
    list_node(graph, "push1", "TensorListPushBack", "list", "row", shape_type=None)
    graph.node("minus", "Neg", "row")
    list_node(graph, "push2", "TensorListPushBack", "push1", "minus", shape_type=None)
    list_node(graph, "pop", "TensorListPopBack", "push2", "shape", shape_type=None)
    list_node(graph, "length", "TensorListLength", "pop", element_dtype=None, shape_type=None)
    list_node(graph, "stacked", "TensorListStack", "pop", "shape", shape_type=None, num_elements=-1)
    graph.outputs += [graph.node("y", "Neg", "pop:1"), graph.node("z", "Neg", "stacked")]
    graph.outputs.append(graph.node("n", "Neg", "length", dtype="int32"))
    rewritten = run_rules(graph, "unpack_arrays")
    assert not [name for name in rewritten.operations if "List" in name]
    values = compute(rewritten.message, FEEDS, graph.outputs)
    assert [value.tolist() for value in values] == [[7, 8], [[-7, -8]], -1]


def test_leaves_alone_when_an_index_is_not_constant(graph, run_rules):
    scattered(graph)
    graph.placeholder("which", (), "int32")
    graph.outputs.append(read(graph, "read", "which", "scatter"))
    rewritten = run_rules(graph, "unpack_arrays")
    assert rewritten.fired == 0
    assert rewritten.refused == {"array": "its 'read' reads 'which', which is not constant"}


def test_leaves_alone_when_nothing_was_written(graph, run_rules):
    graph.placeholder("x", (2,))
    array(graph)
    graph.outputs.append(read(graph, "read", "i1", "array:1"))
    assert run_rules(graph, "unpack_arrays").refused == {"array": "its element 1 is read before it is written"}


def test_leaves_alone_when_an_element_is_outside(graph, run_rules):
    scattered(graph)
    graph.outputs.append(read(graph, "read", "three", "scatter"))
    assert run_rules(graph, "unpack_arrays").refused == {"array": "its element 3 is read before it is written"}


def test_leaves_alone_when_a_function_gets_it(graph, run_rules):
    listed(graph, "TensorListFromTensor", "x", "shape")
    graph.node("call", "PartitionedCall", "list", T=None)
    graph.outputs.append("call")
    assert run_rules(graph, "unpack_arrays").refused == {"list": "its 'call' (PartitionedCall) hands it on"}


def test_leaves_alone_when_it_is_an_output(graph, run_rules):
    graph.outputs.append(scattered(graph))
    assert run_rules(graph, "unpack_arrays").refused == {"array": "its 'scatter' is an output of the model"}


def test_leaves_alone_when_the_number_of_elements_is_not_known(graph, run_rules):
    listed(graph, "TensorListFromTensor", "open", "shape")
    graph.placeholder("open", (-1, 2))
    list_node(graph, "first", "TensorListGetItem", "list", "i0", "shape", shape_type=None)
    graph.outputs.append("first")
    assert run_rules(graph, "unpack_arrays").refused == {"list": "how many elements 'open' has is not known"}


def test_leaves_alone_when_it_is_read_whole_and_empty(graph, run_rules):
    listed(graph, "EmptyTensorList", "shape", "i0")
    graph.outputs.append(list_node(graph, "all", "TensorListStack", "list", "shape", shape_type=None))
    assert run_rules(graph, "unpack_arrays").refused == {"list": "it is read as a whole where it has no element"}


def test_leaves_alone_when_the_lengths_of_its_parts_are_read(graph, run_rules):
    scattered(graph)
    with_dtype(graph, graph.node("joined", "TensorArrayConcatV3", "array", "scatter", T=None))
    graph.outputs.append(graph.node("lengths", "Neg", "joined:1", dtype="int64"))
    assert run_rules(graph, "unpack_arrays").refused == {"array": "'lengths' reads the lengths of its parts"}


@pytest.mark.parametrize("inside", ["Enter", "Switch"])
def test_leaves_alone_when_a_loop_or_condition_uses_it(graph, run_rules, inside):
    scattered(graph)
    if inside == "Enter":
        graph.node("into", "Enter", "scatter", frame_name=b"loop")
        graph.node("out", "Exit", "into")
        reason = "its 'into' lies inside the loop 'loop'"
    else:
        graph.placeholder("p", (), "bool")
        graph.node("side", "Switch", "scatter", "p")
        graph.node("out", "Identity", "side:1")
        reason = "its 'side' (Switch) hands it on"
    graph.outputs.append("out")
    assert run_rules(graph, "unpack_arrays").refused == {"array": reason}
