"""Nodes, operations and attributes under other names."""

import pytest
from modelmill_rewriter.rules_api import Tensor
from modelmill_worker.errors import StepError


@pytest.fixture
def net(graph):
    graph.placeholder("x", (-1, 2))
    graph.constant("w", [1, 2])
    graph.node("tower/mul", "Mul", "x", "w")
    graph.node("tower/relu", "Relu", "tower/mul:0", "^w")
    graph.node("tower/held", "Identity", "tower/mul")
    graph.find("tower/held").attr["_class"].list.s.append(b"loc:@tower/relu")
    graph.outputs.append(graph.node("y", "Add", "tower/relu", "tower/held"))
    return graph


def refused(run_rules, graph, text):
    with pytest.raises(StepError) as caught:
        run_rules(graph, text)
    return caught.value


# rename_node


def test_a_renamed_node_is_followed_by_whoever_reads_awaits_or_lies_beside_it(net, run_rules):
    net.node("waiting", "Neg", "x", "^tower/relu")
    rewritten = run_rules(net, "rename_node(old_node_name=tower/relu, new_node_name=relu)")
    assert list(rewritten.find("y").input) == ["relu", "tower/held"]
    assert list(rewritten.find("waiting").input) == ["x", "^relu"]
    assert list(rewritten.find("tower/held").attr["_class"].list.s) == [b"loc:@relu"]
    assert rewritten.names == ["x", "w", "tower/mul", "relu", "tower/held", "y", "waiting"]


def test_an_output_may_be_renamed(net, run_rules):
    rewritten = run_rules(net, "rename_node(old_node_name=y, new_node_name=logits)")
    assert rewritten.interface.outputs == (Tensor("logits"),)


def test_renaming_a_node_twice_is_renaming_it_once(net, run_rules):
    text = "rename_node(old_node_name=tower/relu, new_node_name=relu)"
    assert run_rules(net, f"{text} {text}").fired == 1


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        ("rename_node(new_node_name=a)", "INVALID_OPTION", "give the name of a node"),
        ("rename_node(old_node_name=w)", "INVALID_OPTION", "give the name of a node"),
        ("rename_node(old_node_name=tower/reul, new_node_name=a)", "NODE_NOT_FOUND", "Did you mean tower/relu"),
        ("rename_node(old_node_name=w, new_node_name=x)", "EDIT_IMPOSSIBLE", "there is a node 'x' already"),
        ("rename_op(new_op_name=a)", "INVALID_OPTION", "give the name of an operation"),
        ("rename_op(old_op_name=a)", "INVALID_OPTION", "give the name of an operation"),
        ("rename_attribute(old_attribute_name=T)", "INVALID_OPTION", "give the name of an attribute"),
        ("rename_attribute(new_attribute_name=T)", "INVALID_OPTION", "give the name of an attribute"),
    ],
)
def test_says_what_is_missing(net, run_rules, text, reason, message):
    error = refused(run_rules, net, text)
    assert error.reason == reason
    assert message in error.message


# rename_op


def test_every_node_of_an_operation_gets_another(net, run_rules):
    rewritten = run_rules(net, "rename_op(old_op_name=Mul, new_op_name=Multiply)")
    assert rewritten.operations == ["Placeholder", "Const", "Multiply", "Relu", "Identity", "Add"]
    assert rewritten.find("tower/mul").attr["T"].type == 1
    assert [firing.after for firing in rewritten.reports[0].fired] == [("tower/mul",)]


def test_an_operation_that_no_node_has_is_not_renamed(net, run_rules):
    assert run_rules(net, "rename_op(old_op_name=Div, new_op_name=RealDiv)").fired == 0


# rename_attribute


def test_an_attribute_is_renamed_at_all_nodes_or_those_of_an_operation(net, run_rules):
    every = run_rules(net, "rename_attribute(old_attribute_name=T, new_attribute_name=U, op_name=*)")
    assert [name for name in every.names if "U" in every.find(name).attr] == [
        "tower/mul",
        "tower/relu",
        "tower/held",
        "y",
    ]
    one = run_rules(net, "rename_attribute(old_attribute_name=T, new_attribute_name=U, op_name=Mul)")
    assert [name for name in one.names if "U" in one.find(name).attr] == ["tower/mul"]
    assert one.find("tower/mul").attr["U"].type == 1
    assert "T" not in one.find("tower/mul").attr


def test_leaves_an_attribute_alone_when_the_new_name_is_taken(net, run_rules):
    net.find("tower/mul").attr["U"].i = 3
    rewritten = run_rules(net, "rename_attribute(old_attribute_name=T, new_attribute_name=U, op_name=Mul)")
    assert rewritten.refused == {"tower/mul": "it has an attribute U already"}
    assert rewritten.fired == 0


# obfuscate_names


def test_names_tell_nothing_but_inputs_and_outputs_keep_theirs(net, run_rules):
    rewritten = run_rules(net, "obfuscate_names")
    assert rewritten.names == ["x", "0", "1", "2", "3", "y"]
    assert [list(node.input) for node in rewritten.message.node] == [
        [],
        [],
        ["x", "0"],
        ["1:0", "^0"],
        ["1"],
        ["2", "3"],
    ]
    assert list(rewritten.find("3").attr["_class"].list.s) == [b"loc:@2"]
    assert rewritten.interface == net.interface


def test_short_names_that_inputs_have_are_passed_over(graph, run_rules):
    graph.placeholder("0", (-1, 2))
    graph.node("first", "Neg", "0")
    graph.node("2", "Neg", "first")
    graph.node("3", "Neg", "2")
    graph.outputs.append(graph.node("1", "Neg", "3"))
    assert run_rules(graph, "obfuscate_names").names == ["0", "2", "3", "4", "1"]


def test_names_get_longer_where_letters_end(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    last = "x"
    for number in range(64):
        last = graph.node(f"long/name/{number}", "Neg", last)
    graph.outputs.append(graph.node("y", "Neg", last))
    assert run_rules(graph, "obfuscate_names").names[-5:] == ["10", "11", "12", "13", "y"]


def test_obfuscating_twice_is_obfuscating_once(net, run_rules):
    assert run_rules(net, "obfuscate_names", "obfuscate_names").fired == 1
