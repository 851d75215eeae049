"""Where nodes run, and in which order they are written."""

import pytest
from hypothesis import given, settings, strategies
from modelmill_worker.graph_def import node_name


@pytest.fixture
def net(graph):
    graph.placeholder("x", (-1, 2))
    graph.node("a", "Neg", "x")
    graph.node("b", "Relu", "a")
    graph.outputs.append(graph.node("y", "Abs", "b"))
    graph.find("a").device = "/gpu:0"
    graph.find("b").device = "/cpu:0"
    return graph


def devices(rewritten):
    return [node.device for node in rewritten.message.node]


def test_nodes_are_set_on_a_device(net, run_rules):
    rewritten = run_rules(net, "set_device(device=/cpu:0)")
    assert devices(rewritten) == ["/cpu:0"] * 4
    assert [firing.before for firing in rewritten.reports[0].fired] == [("x", "a", "y")]


def test_only_nodes_without_a_device_are_set_on_one(net, run_rules):
    assert (
        devices(run_rules(net, "set_device(device=/cpu:0, if_default=true)")) == ["/cpu:0", "/gpu:0"] + ["/cpu:0"] * 2
    )


def test_no_device_is_a_device_to_set(net, run_rules):
    assert devices(run_rules(net, "set_device")) == [""] * 4
    assert run_rules(net, "set_device(if_default=true)").fired == 0


def test_devices_are_removed_from_functions_too(net, run_rules):
    function = net.message.library.function.add()
    function.signature.name = "f"
    inner = function.node_def.add()
    inner.name, inner.op, inner.device = "inner", "Neg", "/gpu:0"
    rewritten = run_rules(net, "remove_device")
    assert devices(rewritten) == [""] * 4
    assert rewritten.message.library.function[0].node_def[0].device == ""
    assert [firing.before for firing in rewritten.reports[0].fired] == [("a", "b", "f/inner")]
    assert run_rules(net, "remove_device", "remove_device").fired == 1


# sort_by_execution_order


def test_writes_producers_first_and_else_keeps_the_order(graph, run_rules):
    graph.outputs.append(graph.node("y", "Add", "b", "a", "^c"))
    graph.placeholder("x", (-1, 2))
    graph.node("a", "Neg", "x")
    graph.node("b", "Neg", "a")
    graph.constant("c", 1)
    rewritten = run_rules(graph, "sort_by_execution_order")
    assert rewritten.names == ["x", "a", "b", "c", "y"]
    assert run_rules(graph, "sort_by_execution_order", "sort_by_execution_order").fired == 1


def test_what_comes_round_a_loop_stands_behind_its_merge(graph, run_rules):
    graph.placeholder("x", ())
    graph.node("next", "NextIteration", "body")
    graph.node("enter", "Enter", "x", frame_name=b"loop")
    graph.node("merge", "Merge", "enter", "next", N=2)
    graph.node("less", "Less", "merge", "merge")
    graph.node("cond", "LoopCond", "less", T=None)
    graph.node("switch", "Switch", "merge", "cond")
    graph.node("body", "Neg", "switch:1")
    graph.outputs.append(graph.node("exit", "Exit", "switch"))
    assert run_rules(graph, "sort_by_execution_order").names == [
        "x", "enter", "merge", "less", "cond", "switch", "body", "next", "exit"
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    reads=strategies.lists(strategies.tuples(strategies.integers(0, 30), strategies.integers(0, 30)), max_size=30),
    order=strategies.randoms(use_true_random=False),
)
def test_each_node_stands_behind_what_it_reads(new_graph, run_rules, reads, order):
    graph = new_graph()
    names = [graph.placeholder("x", (2,))]
    for number, (first, second) in enumerate(reads):
        control = ["^" + names[second % len(names)]] if second % 3 == 0 else []
        names.append(graph.node(f"n{number}", "Add", names[first % len(names)], names[second % len(names)], *control))
    graph.outputs.append(names[-1])
    nodes = list(graph.message.node)
    order.shuffle(nodes)
    shuffled = new_graph(inputs=graph.inputs, outputs=graph.outputs)
    shuffled.message.node.extend(nodes)
    rewritten = run_rules(shuffled, "sort_by_execution_order")
    met = set()
    for node in rewritten.message.node:
        assert met >= {node_name(entry) for entry in node.input}
        met.add(node.name)
    assert met == set(names)
