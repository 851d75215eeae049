"""Attributes at their defaults: written out, and left to be understood."""

import numpy as np
import pytest
from modelmill_rewriter.rules_api import Target
from modelmill_worker import graph_def
from modelmill_worker.op_versions_table import FIELDS, NO_DEFAULT, plain_value, table, write_value

ADD, REMOVE = "add_default_attributes", "remove_default_attributes(all=true)"


@pytest.fixture
def net(graph):
    graph.placeholder("x", (1, 4, 4, 2))
    graph.constant("w", np.ones((1, 1, 2, 3)))
    graph.node("conv", "Conv2D", "x", "w", strides=(1, 1, 1, 1), padding=b"SAME")
    graph.node("pool", "MaxPool", "conv", strides=(1, 2, 2, 1), ksize=(1, 2, 2, 1), padding=b"VALID")
    graph.outputs.append(graph.node("y", "Softmax", "pool"))
    return graph


def attributes(rewritten, name):
    return set(rewritten.find(name).attr)


def test_writes_out_what_the_converting_tensorflow_takes_for_granted(net, run_rules):
    rewritten = run_rules(net, ADD, target=Target("", (1, 5)))
    assert attributes(rewritten, "conv") == {"T", "strides", "padding", "data_format", "dilations", "use_cudnn_on_gpu"}
    conv = rewritten.find("conv").attr
    assert conv["data_format"].s == b"NHWC"
    assert list(conv["dilations"].list.i) == [1, 1, 1, 1]
    assert conv["use_cudnn_on_gpu"].b is True
    (firing,) = rewritten.reports[0].fired
    assert firing.before == ("conv", "pool")


def test_writes_out_what_the_newest_tensorflow_takes_for_granted(net, run_rules):
    rewritten = run_rules(net, ADD)
    assert attributes(rewritten, "conv") >= {"explicit_paddings", "dilations"}
    assert rewritten.find("conv").attr["explicit_paddings"].WhichOneof("value") == "list"


def test_leaves_a_node_alone_when_its_operation_is_unknown(net, run_rules):
    net.node("odd", "Odd", "x")
    net.node("newer", "BatchMatMulV2", "x", "x")
    refused = run_rules(net, ADD, target=Target("", (1, 9))).refused
    assert refused == {"odd": "TensorFlow 1.9 does not know Odd", "newer": "TensorFlow 1.9 does not know BatchMatMulV2"}


def test_a_call_of_a_function_is_no_unknown_operation(net, run_rules):
    net.message.library.function.add().signature.name = "f"
    net.node("call", "f", "x")
    assert run_rules(net, ADD).refused == {}


def test_strips_what_has_its_default_and_what_was_written_out(net, run_rules):
    before = {name: attributes(run_rules(net, "prune_unused"), name) for name in ("conv", "pool", "y")}
    rewritten = run_rules(net, f"{ADD} {REMOVE}")
    assert {name: attributes(rewritten, name) for name in before} == before


def test_keeps_what_has_another_value_and_types(net, run_rules):
    net.find("conv").attr["data_format"].s = b"NCHW"
    net.find("conv").attr["use_cudnn_on_gpu"].b = True
    rewritten = run_rules(net, REMOVE)
    assert attributes(rewritten, "conv") == {"T", "strides", "padding", "data_format"}
    assert attributes(rewritten, "pool") >= {"T"}  # Its default is float32, and so it is.


def test_an_input_says_that_its_shape_is_open_and_goes_on_saying_so(graph, run_rules):
    graph.placeholder("x", None)
    graph.outputs.append(graph.node("y", "Neg", "x"))
    del graph.find("x").attr["shape"]
    added = run_rules(graph, ADD)
    assert added.find("x").attr["shape"].shape.unknown_rank
    assert added.interface == graph.interface
    assert "shape" in run_rules(graph, ADD, REMOVE).find("x").attr


def test_without_a_version_nothing_is_removed(net, run_rules):
    net.find("conv").attr["use_cudnn_on_gpu"].b = True
    assert run_rules(net, "remove_default_attributes").fired == 0


def test_every_default_is_written_as_it_is_read():
    written = graph_def.new_node("n", "Any")
    for operation in table().operations():
        for definition in table().history(operation)[-1:]:
            for name, attribute in definition.attributes.items() if definition is not None else ():
                if attribute.default is not NO_DEFAULT:
                    write_value(written.attr[name], attribute.kind, attribute.default)
                    assert plain_value(written.attr[name], attribute.kind) == attribute.default
                    expected = "list" if attribute.kind.startswith("list(") else FIELDS[attribute.kind]
                    assert written.attr[name].WhichOneof("value") == expected


def test_computes_the_same(net, run_rules, compute):
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    feeds = {"x": np.random.RandomState(0).uniform(-1, 1, (1, 4, 4, 2)).astype(np.float32)}
    for rule in (ADD, REMOVE):
        rewritten = run_rules(net, rule, target=Target("", (1, 15)))
        for old, new in zip(compute(net.message, feeds, net.outputs), compute(rewritten.message, feeds, net.outputs)):
            np.testing.assert_array_equal(new, old)
