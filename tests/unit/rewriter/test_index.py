"""What passes ask of a graph and change in it: shapes, names, the interface."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from modelmill_rewriter.interfaces import interface_of, signature_after
from modelmill_rewriter.rules_api import (
    YES,
    Dtype,
    Firing,
    GraphIndex,
    Interface,
    Pass,
    Report,
    Rule,
    ShapeOf,
    Tensor,
    op,
    value,
)
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.signature import Signature
from modelmill_worker.signature import Tensor as Entry


@dataclass(frozen=True)
class Renaming(Pass):
    """Gives the nodes of a net other names."""

    name: ClassVar[str] = "renaming"
    summary: ClassVar[str] = "For these tests."
    changes_interface: ClassVar[bool] = True

    def apply(self, graph, target):
        graph.rename({name: "new/" + name for name in graph.names()})
        return Report(self.name, (Firing(("x",), ("new/x",)),))


@dataclass(frozen=True)
class Widening(Pass):
    """Gives the input another shape without saying that it changes the interface."""

    name: ClassVar[str] = "widening"
    summary: ClassVar[str] = "For these tests."

    def apply(self, graph, target):
        tensors.encode_shape((7, 7), graph.edit("x").attr["shape"].shape)
        return Report(self.name, (Firing(("x",), ("x",)),))


@dataclass(frozen=True)
class Flattening(Pass):
    """Gives out another shape."""

    name: ClassVar[str] = "flattening"
    summary: ClassVar[str] = "For these tests."

    def apply(self, graph, target):
        graph.edit("wide").attr["value"].CopyFrom(graph_def.new_constant("c", np.float32([[1, 2, 3]])).attr["value"])
        return Report(self.name, (Firing(("wide",), ("wide",)),))


@dataclass(frozen=True)
class Fixing(Pass):
    """Gives the input a batch of 1 and says so."""

    name: ClassVar[str] = "fixing"
    summary: ClassVar[str] = "For these tests."
    changes_interface: ClassVar[bool] = True

    def apply(self, graph, target):
        tensors.encode_shape((1, 2), graph.edit("x").attr["shape"].shape)
        return Report(self.name, (Firing(("x",), ("x",)),))


@dataclass(frozen=True)
class Padding(Rule):
    """reshape(x) -> pad(reshape(x)) to see what a rule is told of nodes that it has built."""

    name: ClassVar[str] = "padding"
    summary: ClassVar[str] = "For these tests."

    def pattern(self):
        return op("Neg", value("x"), name="neg")

    def check(self, match):
        return YES

    def rewrite(self, match, make):
        shape = make.constant("shape", [1, -1], "int32")
        return make.node("Reshape", match["x"], shape, attributes={"T": Dtype(1), "Tshape": Dtype(3)}, label="flat")


def net(graph):
    graph.placeholder("x", (-1, 2))
    graph.constant("wide", [[1, 2], [3, 4]])
    graph.node("product", "MatMul", "x", "wide")
    graph.node("waiting", "Relu", "product", "^x")
    graph.find("waiting").attr["_class"].list.s.append(b"loc:@product")
    graph.outputs.append("waiting")
    return graph


def test_knows_shapes_of_what_is_there_and_of_what_is_added(graph):
    index = GraphIndex(net(graph).message, graph.interface)
    assert index.shape(Tensor("waiting")) == (-1, 2)
    index.add([graph_def.new_constant("axes", np.int32([1, 0]))], beside="product")
    node = graph_def.new_node("turned", "Transpose", ("product", "axes"))
    index.add([node], beside="product")
    assert index.shape(Tensor("turned")) == (2, -1)
    assert index.names().index("turned") < index.names().index("waiting")


def test_shapes_follow_when_an_input_gets_another(graph):
    index = GraphIndex(net(graph).message, graph.interface)
    assert index.shape(Tensor("product")) == (-1, 2)
    tensors.encode_shape((5, 2), index.edit("x").attr["shape"].shape)
    index.forget_shapes()
    assert index.shape(Tensor("product")) == (5, 2)


def test_a_renamed_node_is_followed_by_all_who_know_it(graph, run_rules):
    rewritten = run_rules(net(graph), Renaming())
    assert rewritten.names == ["new/x", "new/wide", "new/product", "new/waiting"]
    waiting = rewritten.find("new/waiting")
    assert list(waiting.input) == ["new/product", "^new/x"]
    assert list(waiting.attr["_class"].list.s) == [b"loc:@new/product"]
    assert rewritten.interface == Interface((Tensor("new/x"),), (Tensor("new/waiting"),))
    assert rewritten.index.first_name("new/waiting") == "waiting"
    assert rewritten.index.shape(Tensor("new/waiting")) == (-1, 2)


def test_a_signature_keeps_the_names_that_people_use(graph, run_rules):
    entries = (Entry("image", "x:0", "float32", (-1, 2)),), (Entry("scores", "waiting:0", "float32", (-1, 2)),)
    named = Signature(*entries, expected_error=0.5)
    graph = net(graph)
    assert interface_of(named) == graph.interface
    renamed = signature_after(named, run_rules(graph, Renaming()).index)
    assert renamed.inputs == (Entry("image", "new/x:0", "float32", (-1, 2)),)
    assert renamed.outputs == (Entry("scores", "new/waiting:0", "float32", (-1, 2)),)
    assert renamed.expected_error == 0.5
    fixed = signature_after(named, run_rules(graph, Fixing()).index)
    assert (fixed.inputs[0].shape, fixed.outputs[0].shape) == ((1, 2), (1, 2))
    assert signature_after(named, run_rules(graph, "remove_identities").index) is named


def test_holds_a_pass_to_the_shapes_of_the_inputs(graph, run_rules):
    with pytest.raises(StepError, match="The rule 'widening' changed the shape of x") as raised:
        run_rules(net(graph), Widening())
    assert raised.value.reason == "RULE_CHANGED_INTERFACE"


def test_holds_passes_to_the_shapes_of_the_outputs(graph, run_rules):
    with pytest.raises(StepError, match="The rule 'flattening' changed the shape of waiting"):
        run_rules(net(graph), Flattening())


def test_a_rule_builds_what_it_says(graph, run_rules):
    graph.placeholder("x", (2, 2))
    graph.node("inner", "Neg", "x")
    graph.node("shape", "Shape", "inner")
    graph.outputs.append("shape")
    rewritten = run_rules(graph, Padding())
    flat = rewritten.find("inner")
    assert (flat.op, list(flat.input)) == ("Reshape", ["x", "inner/shape"])
    assert flat.attr["Tshape"].type == 3
    assert rewritten.find("inner/shape").attr["dtype"].type == 3


def test_leaves_alone_when_another_output_is_used(graph, run_rules):
    graph.placeholder("x", (2, 2))
    graph.node("inner", "Neg", "x")
    graph.outputs.append(graph.node("other", "Relu", "inner:1"))
    assert run_rules(graph, Padding()).refused == {"inner": "its output 1 is also used"}


def test_sets_attributes_of_every_kind(graph):
    name = graph.node("x", "NoOp", a=(1, 2), b=b"text", c=ShapeOf((1, -1)), d=True, e=0.5, f=(0.5,), g=(), h="int32")
    attributes = graph.find(name).attr
    assert list(attributes["a"].list.i) == [1, 2]
    assert attributes["b"].s == b"text"
    assert tensors.decode_shape(attributes["c"].shape) == (1, -1)
    assert attributes["d"].b is True
    assert attributes["e"].f == 0.5
    assert list(attributes["f"].list.f) == [0.5]
    assert attributes["g"].WhichOneof("value") == "list"
    assert attributes["h"].type == 3


def test_shows_what_nodes_were_and_what_they_are(graph, run_rules):
    graph.placeholder("x", (1, 4))
    graph.node("one", "Neg", "x")
    graph.outputs.append(graph.node("two", "Neg", "one"))
    (report,) = run_rules(graph, Padding()).reports
    assert report.to_json()["pictures"] == [
        {
            "fired": 0,
            "before": [["one", "Neg", ["x"]]],
            "after": [["one/shape", "Const", []], ["one", "Reshape", ["x", "one/shape"]]],
        },
        {
            "fired": 1,
            "before": [["two", "Neg", ["one"]]],
            "after": [["two/shape", "Const", []], ["two", "Reshape", ["one", "two/shape"]]],
        },
    ]


def test_shows_names_as_they_were_and_as_they_are(graph, run_rules):
    (report,) = run_rules(net(graph), Renaming()).reports
    assert report.to_json()["pictures"] == [
        {"fired": 0, "before": [["x", "Placeholder", []]], "after": [["new/x", "Placeholder", []]]}
    ]


def test_takes_a_few_pictures_only(graph, run_rules):
    graph.placeholder("x", (1, 4))
    for number in range(50):
        graph.outputs.append(graph.node(f"n{number}", "Neg", "x"))
    (report,) = run_rules(graph, Padding()).reports
    assert (len(report.fired), len(report.pictures)) == (50, 20)
