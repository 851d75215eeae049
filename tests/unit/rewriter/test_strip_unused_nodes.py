"""The part of a graph between its inputs and outputs, with Placeholders for inputs that were computed."""

import numpy as np
import pytest
from modelmill_rewriter.rewriting import rewrite_graph
from modelmill_rewriter.rules.removing.strip_unused_nodes import StripUnusedNodes
from modelmill_rewriter.rules_api import Interface, Target, Tensor
from modelmill_worker import tensors
from modelmill_worker.errors import StepError

STRIP = "strip_unused_nodes"


@pytest.fixture
def net(graph):
    """An image is decoded, scaled and weighed; the model is to take the scaled one."""
    graph.placeholder("file", (), "S")
    graph.inputs.clear()
    graph.node("decoded", "DecodeJpeg", "file", T=None, channels=3)
    graph.node("cast", "Cast", "decoded", T=None, SrcT="uint8", DstT="float32")
    graph.constant("scale", 2)
    graph.node("scaled", "Mul", "cast", "scale")
    graph.constant("w", [1, 2, 3])
    graph.outputs.append(graph.node("y", "Mul", "scaled", "w"))
    graph.node("loss", "Neg", "y")
    graph.inputs.append("scaled")
    return graph


def shape(node):
    return tensors.decode_shape(node.attr["shape"].shape)


def test_an_input_that_is_computed_becomes_a_placeholder(net, run_rules):
    rewritten = run_rules(net, STRIP)
    assert rewritten.names == ["scaled", "w", "y"]
    scaled = rewritten.find("scaled")
    assert (scaled.op, list(scaled.input)) == ("Placeholder", [])
    assert (scaled.attr["dtype"].type, shape(scaled)) == (1, (-1, -1, 3))
    assert rewritten.interface == net.interface
    assert [firing.before for firing in rewritten.reports[0].fired] == [
        ("scaled",),
        ("file", "decoded", "cast", "scale", "loss"),
    ]


@pytest.mark.parametrize(
    ("options", "dtype", "expected"),
    [
        ("type=int32", "int32", (-1, -1, 3)),
        ('type=quint8, shape="1,299,299,3"', "quint8", (1, 299, 299, 3)),
        ('type=DT_HALF, shape=""', "float16", ()),
        ('type=int32, name=scaled, type_for_name=double, shape_for_name="-1,2"', "float64", (-1, 2)),
        ('shape="7", name=scaled, type_for_name=float', "float32", (7,)),
    ],
)
def test_types_and_shapes_may_be_told(net, run_rules, options, dtype, expected):
    scaled = run_rules(net, f"{STRIP}({options})").find("scaled")
    assert tensors.data_type(scaled.attr["dtype"].type).name == dtype
    assert shape(scaled) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("type=number", "give a type such as float, int32 or quint8"),
        ("shape=wide", "give sizes such as 1,299,299,3"),
        ("name=y", "the model's inputs are scaled"),
        ("name=scaled, type_for_name=float, type_for_name=int32", "give one for every name, which are 1"),
        ("shape_for_name=3", "give one for every name, which are 0"),
    ],
)
def test_says_what_it_cannot_use(net, run_rules, options, message):
    with pytest.raises(StepError) as caught:
        run_rules(net, f"{STRIP}({options})")
    assert caught.value.reason == "INVALID_OPTION"
    assert message in caught.value.message


def test_a_placeholder_stays_as_it_is_whatever_is_told(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.outputs.append(graph.node("y", "Neg", "x"))
    assert run_rules(graph, f"{STRIP}(type=int32)").fired == 0


def test_an_input_that_no_output_needs_stays(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("unused", (-1, 2))
    graph.outputs.append(graph.node("y", "Neg", "x"))
    assert run_rules(graph, STRIP).names == ["x", "unused", "y"]


def test_stripping_twice_is_stripping_once(net, run_rules):
    assert run_rules(net, STRIP, STRIP).fired == 2


def test_leaves_an_input_alone_when_it_is_an_output_as_well(net, run_rules):
    net.outputs.append("scaled")
    assert run_rules(net, STRIP).refused == {"scaled": "it is an output of the model as well"}


def test_leaves_an_input_alone_when_its_type_is_not_told(graph, run_rules):
    graph.constant("c", 1)
    graph.node("odd", "Odd", "c", T=None)
    graph.outputs.append(graph.node("y", "Neg", "odd"))
    graph.inputs.append("odd")
    assert run_rules(graph, STRIP).refused == {"odd": "the graph does not tell its type; say it with type="}
    assert run_rules(graph, f"{STRIP}(type=float)").names == ["odd", "y"]


def test_leaves_an_input_alone_when_more_of_its_node_is_read(graph, run_rules):
    graph.placeholder("x", (2,))
    graph.inputs.clear()
    graph.constant("axis", 0, "int32")
    graph.node("parts", "Split", "axis", "x", num_split=2)
    graph.outputs.append(graph.node("y", "Add", "parts", "parts:1"))
    graph.inputs.append("parts")
    assert run_rules(graph, STRIP).refused == {"parts": "more than its first output is read"}


def test_leaves_an_input_alone_when_it_is_not_its_nodes_first_output(graph):
    graph.placeholder("x", (2,))
    graph.constant("axis", 0, "int32")
    graph.node("parts", "Split", "axis", "x", num_split=2)
    graph.node("y", "Neg", "parts:1")
    interface = Interface((Tensor("parts", 1),), (Tensor("y"),))
    _, (report,), _ = rewrite_graph(graph.message, interface, [StripUnusedNodes()], Target())
    assert [item.reason for item in report.refused] == ["the input parts:1 is not its node's first output"]


def test_computes_the_same(net, run_rules, compute):
    feeds = {"scaled": np.float32(np.arange(12).reshape(2, 2, 3))}
    rewritten = run_rules(net, STRIP)
    np.testing.assert_array_equal(compute(rewritten.message, feeds, ["y"])[0], feeds["scaled"] * np.float32([1, 2, 3]))
