"""A Print behind nodes: which, what it writes, and where it cannot be."""

import numpy as np
import pytest
from modelmill_worker import graph_def, installed_tensorflow, tensors


@pytest.fixture
def net(graph):
    graph.placeholder("x", (-1, 2))
    graph.node("a/relu", "Relu", "x")
    graph.constant("axis", 1, "int32")
    graph.node("b/split", "Split", "axis", "a/relu", num_split=2)
    graph.outputs.append(graph.node("y", "Sub", "b/split:1", "b/split"))
    return graph


def text(rewritten, name):
    return rewritten.find(name).attr["message"].s.decode()


def test_whoever_reads_a_node_reads_its_print(net, run_rules):
    rewritten = run_rules(net, "insert_logging(op=Relu)")
    printed = rewritten.find("a/relu__print__")
    assert printed.op == "Print"
    assert list(printed.input) == ["a/relu", "a/relu"]
    assert list(rewritten.find("b/split").input) == ["axis", "a/relu__print__"]
    assert printed.attr["T"].type == 1
    assert list(printed.attr["U"].list.type) == [1]
    assert (printed.attr["first_n"].i, printed.attr["summarize"].i, text(rewritten, printed.name)) == (-1, 1024, "")


def test_every_output_that_is_read_is_shown(net, run_rules):
    rewritten = run_rules(net, "insert_logging(prefix=b/)")
    printed = rewritten.find("b/split__print__")
    assert list(printed.input) == ["b/split", "b/split", "b/split:1"]
    assert list(printed.attr["U"].list.type) == [1, 1]
    assert list(rewritten.find("y").input) == ["b/split:1", "b/split__print__"]


def test_the_text_says_what_is_asked_for(net, run_rules):
    options = 'op=Relu, show_name=true, show_op=true, message="range: ", first_n=3, summarize=7'
    rewritten = run_rules(net, f"insert_logging({options})")
    assert text(rewritten, "a/relu__print__") == ";Relu;;a/relu__print__;range: "
    assert rewritten.find("a/relu__print__").attr["first_n"].i == 3
    assert rewritten.find("a/relu__print__").attr["summarize"].i == 7


def test_nodes_are_meant_by_operation_and_by_name_together(net, run_rules):
    assert run_rules(net, "insert_logging(op=Relu, op=Split, prefix=b, prefix=c)").fired == 1
    assert run_rules(net, "insert_logging(op=Relu, prefix=b)").fired == 0
    assert run_rules(net, "insert_logging").fired == 4


def test_logging_twice_is_logging_once(net, run_rules):
    assert run_rules(net, "insert_logging", "insert_logging").fired == 4


def test_leaves_a_node_alone_when_nothing_reads_it(net, run_rules):
    reason = "nothing reads its first output, so that a Print behind it would not run"
    assert run_rules(net, "insert_logging(op=Sub)").refused == {"y": reason}
    assert run_rules(net, "insert_logging").refused == {}


def test_leaves_a_node_alone_when_it_leads_into_a_condition(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.placeholder("p", (), "bool")
    graph.node("switch", "Switch", "x", "p")
    graph.node("merge", "Merge", "switch", "switch:1", N=2)
    graph.outputs.append(graph.node("y", "Neg", "merge"))
    reason = "it leads into or out of a loop or a condition"
    assert run_rules(graph, "insert_logging(op=Switch, op=Merge)").refused == {"switch": reason, "merge": reason}


def test_leaves_a_node_alone_when_it_gives_out_a_handle(graph, run_rules):
    graph.node("table", "HashTableV2", T=None)
    graph.outputs.append(graph.node("size", "LookupTableSizeV2", "table", T=None))
    graph.find("table").attr["dtype"].type = tensors.RESOURCE.number
    reason = "it gives out a handle, which cannot be printed"
    assert run_rules(graph, "insert_logging(op=HashTableV2)").refused == {"table": reason}


def test_leaves_a_node_alone_when_its_type_is_not_told(graph, run_rules):
    graph.placeholder("x", (-1, 2))
    graph.node("odd", "Odd", "x", T=None)
    graph.outputs.append(graph.node("y", "Neg", "odd"))
    reason = "the graph does not tell the types of what it gives out"
    assert run_rules(graph, "insert_logging(op=Odd)").refused == {"odd": reason}


def test_computes_the_same(net, run_rules, compute):
    feeds = {"x": np.float32([[1, 2], [3, -4]])}
    rewritten = run_rules(net, "insert_logging(first_n=0)")
    for old, new in zip(compute(net.message, feeds, net.outputs), compute(rewritten.message, feeds, net.outputs)):
        np.testing.assert_array_equal(new, old)


def test_tensorflow_prints_it(net, run_rules, capfd):
    pytest.importorskip("tensorflow", reason="needs TensorFlow")
    rewritten = run_rules(net, 'insert_logging(op=Relu, show_name=true, message="range: ")')
    tf = installed_tensorflow.v1()
    with tf.Graph().as_default():
        tf.import_graph_def(graph_def.copy(rewritten.message), name="")
        with tf.Session() as session:
            session.run("y:0", {"x:0": np.float32([[1.5, -2]])})
    assert ";a/relu__print__;range: [[1.5 0]]" in capfd.readouterr().err
