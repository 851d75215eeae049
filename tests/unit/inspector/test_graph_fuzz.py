"""Whatever a GraphDef says, it is described or refused: no other error, no hang, no runaway memory."""

import json
import re
import resource
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelmill_inspector.graphs import describe_graph, find_endpoints
from modelmill_worker import graph_def
from modelmill_worker.errors import StepError
from modelmill_worker.shapes.operation import RULES, VALUE_RULES

OPERATIONS = sorted(
    set(RULES) | set(VALUE_RULES) | {"Merge", "Enter", "While", "If", "PartitionedCall", "f", "Unheard"}
)
NAMES = [f"n{number}" for number in range(12)]
NUMBERS = st.sampled_from([-(2**63), -3, -1, 0, 1, 2, 3, 7, 300, 2**31, 2**40, 2**63 - 1])
ATTRIBUTES = re.findall(
    r"\w+",
    """
    N DstT T Tidx Tout _output_shapes axis begin_mask block_size body cond data_format dct_coefficient_count depth
    dilations dtype element_shape ellipsis_mask else_branch equation explicit_paddings f k keep_dims ksize
    new_axis_mask num num_split output_shapes padding shape shrink_axis_mask squeeze_dims stride strides then_branch
    transpose_a value window_size
    """,
)

#: The inspector runs in today's Python; in the old ones of the environments it is enough that it does the same.
EXAMPLES = 2000 if sys.version_info >= (3, 11) else 200


def fill_attribute(draw, value):
    kind = draw(st.sampled_from(["i", "b", "s", "type", "shape", "list", "func", "tensor"]))
    if kind == "i":
        value.i = draw(NUMBERS)
    elif kind == "b":
        value.b = draw(st.booleans())
    elif kind == "s":
        value.s = draw(st.sampled_from([b"SAME", b"VALID", b"EXPLICIT", b"NCHW", b"ij,jk->ik", b"->", b"\xff", b""]))
    elif kind == "type":
        value.type = draw(st.sampled_from([0, 1, 3, 7, 9, 101, 999]))
    elif kind == "shape":
        fill_shape(draw, value.shape)
    elif kind == "list":
        value.list.i.extend(draw(st.lists(NUMBERS, max_size=6)))
        for _ in range(draw(st.integers(0, 2))):
            fill_shape(draw, value.list.shape.add())
    elif kind == "func":
        value.func.name = draw(st.sampled_from(["f", "g", "missing"]))
    else:
        dtype = draw(st.sampled_from([np.int32, np.int64, np.float32]))
        items = draw(st.lists(st.integers(-3, 9) | st.just(2**31 - 1), max_size=5))
        value.tensor.CopyFrom(graph_def.new_constant("x", np.array(items, dtype=dtype)).attr["value"].tensor)
        if draw(st.integers(0, 4)) == 0:
            fill_shape(draw, value.tensor.tensor_shape)


def fill_shape(draw, shape):
    shape.unknown_rank = draw(st.integers(0, 5)) == 0
    for size in draw(st.lists(NUMBERS, max_size=5)):
        shape.dim.add().size = size


@st.composite
def nodes(draw, names):
    made = []
    for name in names:
        node = graph_def.new_node(name, draw(st.sampled_from(["Const", "Placeholder"]) | st.sampled_from(OPERATIONS)))
        reference = st.tuples(st.sampled_from(names), st.sampled_from(["", ":1", ":0", ":output:0", ":y:99999"]))
        node.input.extend("".join(pair) for pair in draw(st.lists(reference, max_size=4)))
        node.attr["dtype"].type = node.attr["T"].type = node.attr["value"].tensor.dtype = 1
        for attribute in draw(st.lists(st.sampled_from(ATTRIBUTES), max_size=5)):
            fill_attribute(draw, node.attr[attribute])
        made.append(node)
    return made


@st.composite
def graphs(draw):
    graph = graph_def.new_graph()
    graph.node.extend(draw(nodes(NAMES[: draw(st.integers(1, 12))])))
    for name in ("f", "g"):
        function = graph.library.function.add()
        function.signature.name = name
        function.signature.input_arg.add().name = "a"
        function.signature.output_arg.add().name = "out"
        function.node_def.extend(draw(nodes(["m0", "m1", "a"])))
        function.ret["out"] = draw(st.sampled_from(["m1:output:0", "m0", "a", "missing:0", ""]))
    return graph


def describe(graph, input_shapes=None):
    try:
        facts = describe_graph(graph, find_endpoints(graph), input_shapes=input_shapes)
    except StepError:
        return None
    json.dumps(facts)
    return facts


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(graph=graphs(), shape=st.lists(st.sampled_from([1, 3, 2**31]), max_size=5))
def test_describes_or_refuses_any_graph(graph, shape):
    describe(graph, {"n0": tuple(shape)})


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_describes_or_refuses_changed_bytes(data):
    content = bytearray(data.draw(graphs()).SerializeToString())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        graph = graph_def.parse(bytes(content))
    except StepError:
        return
    describe(graph)


def placeholder(name):
    node = graph_def.new_node(name, "Placeholder")
    node.attr["dtype"].type = 1
    return node


def calls_upon_calls(depth):
    """Each function calls the next one twice: 2**depth calls in a few kilobytes."""
    graph = graph_def.new_graph()
    for level in range(depth):
        function = graph.library.function.add()
        function.signature.name = f"f{level}"
        function.signature.input_arg.add().name = "a"
        function.signature.output_arg.add().name = "out"
        for name, fed in (("one", "a"), ("two", "one:output:0")):
            node = graph_def.new_node(name, "PartitionedCall", (fed,))
            node.attr["f"].func.name = f"f{level + 1}"
            node.attr["Tout"].list.type.append(1)
            function.node_def.append(node)
        function.ret["out"] = "two:output:0"
    graph.node.append(placeholder("x"))
    call = graph_def.new_node("call", "PartitionedCall", ("x",))
    call.attr["f"].func.name = "f0"
    graph.node.append(call)
    return graph


def claims_of_many_outputs():
    graph = graph_def.new_graph()
    graph.node.append(placeholder("n0"))
    for number in range(3000):
        node = graph_def.new_node(f"s{number}", "Unpack", ("n0",))
        node.attr["num"].i = 2**40
        graph.node.append(node)
    return graph


def growing_numbers():
    """Each node squares the number before it."""
    graph = graph_def.new_graph()
    graph.node.append(graph_def.new_constant("m0", np.array(3, np.int64)))
    for number in range(1, 200):
        before = f"m{number - 1}"
        graph.node.append(graph_def.new_node(f"m{number}", "Mul", (before, before)))
    return graph


def huge_claims():
    """Constants, reshapes and ranges that claim 2**40 dimensions or elements."""
    graph = graph_def.new_graph()
    size = graph_def.new_constant("size", np.array([2**40], np.int64))
    limit = graph_def.new_constant("limit", np.array(2**40, np.int64))
    one = graph_def.new_constant("one", np.array(1, np.int64))
    filler = graph_def.new_constant("vector", np.array([1], np.int64))
    filler.attr["value"].tensor.tensor_shape.dim[0].size = 2**40
    graph.node.extend([size, limit, one, filler, placeholder("x")])
    for name, operation, inputs in (
        ("reshape", "Reshape", ("x", "vector")),
        ("fill", "Fill", ("size", "one")),
        ("range", "Range", ("one", "limit", "one")),
        ("broadcast", "BroadcastTo", ("one", "size")),
    ):
        graph.node.append(graph_def.new_node(name, operation, inputs))
    return graph


@pytest.mark.parametrize(
    "make",
    [lambda: calls_upon_calls(30), claims_of_many_outputs, growing_numbers, huge_claims],
    ids=["calls-upon-calls", "many-outputs", "growing-numbers", "huge"],
)
def test_takes_little_for_what_claims_much(make):
    graph = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert describe(graph) is not None

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 << 10  # KiB
