import pytest
from modelmill_tfjs_exporter.shared_nodes import leave_shared_nodes
from modelmill_worker import graph_def


@pytest.fixture
def graph():
    made = graph_def.new_graph()
    for name, operation, inputs in (
        ("x", "Placeholder", ()),
        ("conv", "Conv2D", ("x", "x")),
        ("bias", "BiasAdd", ("conv",)),
        ("relu", "Relu", ("bias",)),
        ("other", "Tanh", ("bias",)),
        ("end", "Add", ("relu", "other")),
    ):
        made.node.extend([graph_def.new_node(name, operation, inputs)])
    return made


def seen_by_a_fusion(graph, *outputs):
    seen = {}

    def fuse(given):
        seen.update({node.name: node.op for node in given.node})
        return given

    made = leave_shared_nodes(fuse, frozenset(outputs))(graph)
    return seen, {node.name: node.op for node in made.node}


def test_hides_what_two_nodes_read_and_what_is_an_output(graph):
    seen, _ = seen_by_a_fusion(graph, "end", "relu")
    assert {name for name, operation in seen.items() if ":" in operation} == {"bias", "relu", "end"}


def test_shows_what_one_node_reads(graph):
    seen, _ = seen_by_a_fusion(graph, "end")
    assert (seen["conv"], seen["relu"], seen["x"]) == ("Conv2D", "Relu", "Placeholder")


def test_gives_every_node_its_operation_back(graph):
    before = {node.name: node.op for node in graph.node}
    _, after = seen_by_a_fusion(graph, "end", "relu")
    assert after == before
