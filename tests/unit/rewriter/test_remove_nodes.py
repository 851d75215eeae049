"""Nodes, attributes and control dependencies that a user wants away; and what stays, with the reason."""

import pytest
from modelmill_worker.errors import StepError


@pytest.fixture
def net(graph):
    graph.placeholder("x", (-1, 2))
    graph.node("checked", "CheckNumerics", "x")
    graph.node("held", "Identity", "checked")
    graph.node("waiting", "Neg", "held", "^held")
    graph.outputs.append(graph.node("y", "Relu", "waiting"))
    return graph


# remove_nodes


def test_whoever_reads_or_awaits_a_node_does_so_with_its_input(net, run_rules):
    rewritten = run_rules(net, "remove_nodes(op=Identity, op=CheckNumerics)")
    assert rewritten.names == ["x", "waiting", "y"]
    assert list(rewritten.find("waiting").input) == ["x", "^x"]
    assert [firing.before for firing in rewritten.reports[0].fired] == [("held",), ("checked",)]


def test_removing_twice_is_removing_once(net, run_rules):
    assert run_rules(net, "remove_nodes(op=Identity)", "remove_nodes(op=Identity)").fired == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("remove_nodes", "give the name of an operation, such as Identity"),
        ("remove_nodes(op=Add, max_inputs=0)", "give 1 or more"),
        ("remove_attribute", "give the name of an attribute"),
    ],
)
def test_says_what_it_needs(net, run_rules, text, message):
    with pytest.raises(StepError) as caught:
        run_rules(net, text)
    assert caught.value.reason == "INVALID_OPTION"
    assert message in caught.value.message


def test_leaves_a_node_alone_when_it_is_an_output(net, run_rules):
    refused = run_rules(net, "remove_nodes(op=Relu, op=Placeholder)").refused
    assert refused == dict.fromkeys(("y", "x"), "it is an input or output of the model")


def test_leaves_a_node_alone_when_it_has_more_inputs_than_are_said(net, run_rules):
    net.node("sum", "Add", "waiting", "x")
    net.constant("c", 1)
    net.outputs.append(net.node("z", "Neg", "sum", "^c"))
    assert run_rules(net, "remove_nodes(op=Add)").refused == {"sum": "it has 2 inputs, and max_inputs is 1"}
    assert run_rules(net, "remove_nodes(op=Const)").refused == {"c": "it has no inputs, and max_inputs is 1"}
    rewritten = run_rules(net, "remove_nodes(op=Add, max_inputs=2)")
    assert list(rewritten.find("z").input) == ["waiting", "^c"]


def test_leaves_a_node_alone_when_it_waits_for_something(net, run_rules):
    assert run_rules(net, "remove_nodes(op=Neg)").refused == {"waiting": "it waits for held"}


def test_leaves_a_node_alone_when_more_than_its_first_output_is_read(net, run_rules):
    net.node("top", "Unique", "x", out_idx="int32")
    net.outputs.append(net.node("z", "Neg", "top:1", dtype="int32"))
    assert run_rules(net, "remove_nodes(op=Unique)").refused == {"top": "more than its first output is read"}


def test_leaves_a_node_alone_when_it_changes_the_type(net, run_rules):
    net.node("cast", "Cast", "x", T=None, SrcT="float32", DstT="int32")
    net.outputs.append(net.node("z", "Neg", "cast", dtype="int32"))
    assert run_rules(net, "remove_nodes(op=Cast)").refused == {"cast": "it gives out another type than it reads"}


def test_leaves_a_node_alone_when_it_says_where_a_condition_begins(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("p", (), "bool")
    graph.node("switch", "Switch", "x", "p")
    graph.node("pivot", "Identity", "switch:1")
    graph.node("inner", "Neg", "pivot")
    graph.node("through", "Identity", "inner")
    graph.node("merge", "Merge", "switch", "through", N=2)
    graph.outputs.append(graph.node("y", "Neg", "merge"))
    rewritten = run_rules(graph, "remove_nodes(op=Identity)")
    assert rewritten.refused == {"pivot": "it says where a part of a loop or a condition begins"}
    assert list(rewritten.find("merge").input) == ["switch", "inner"]


# remove_attribute


def test_an_attribute_is_removed_from_all_nodes_or_those_of_an_operation(net, run_rules):
    for name in ("held", "waiting"):
        net.find(name).attr["_class"].list.s.append(b"loc:@x")
    every = run_rules(net, "remove_attribute(attribute_name=_class)")
    assert not any("_class" in node.attr for node in every.message.node)
    one = run_rules(net, "remove_attribute(attribute_name=_class, op_name=Neg)")
    assert [node.name for node in one.message.node if "_class" in node.attr] == ["held"]


def test_leaves_an_attribute_alone_when_its_operation_needs_it(net, run_rules):
    rewritten = run_rules(net, "remove_attribute(attribute_name=T, op_name=Neg)")
    assert rewritten.refused == {"waiting": "Neg needs T in every TensorFlow"}
    assert rewritten.fired == 0


# remove_control_dependencies(all=true)


def test_waits_for_nothing_any_more(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.node("table", "HashTableV2")
    graph.outputs.append(graph.node("y", "Neg", "x", "^table"))
    assert list(run_rules(graph, "remove_control_dependencies").find("y").input) == ["x", "^table"]
    assert list(run_rules(graph, "remove_control_dependencies(all=true)").find("y").input) == ["x"]


def test_waits_inside_a_condition_even_then(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("p", (), "bool")
    graph.node("switch", "Switch", "x", "p")
    graph.node("pivot", "Identity", "switch:1")
    graph.constant("one", 1)
    graph.find("one").input.append("^pivot")
    graph.node("merge", "Merge", "switch", "one", N=2)
    graph.outputs.append(graph.node("y", "Neg", "merge"))
    rewritten = run_rules(graph, "remove_control_dependencies(all=true)")
    assert rewritten.refused == {"one": "it waits for pivot, which lies inside a loop or a condition"}
