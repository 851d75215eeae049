"""Graphs written down as tuples."""

import pytest
from modelmill_worker import graph_def, tensors


@pytest.fixture
def graph_of():
    """Make a GraphDef of (name, operation, inputs) tuples; placeholders are float32 [-1, 3]."""

    def build(*nodes):
        graph = graph_def.new_graph()
        graph.versions.producer = 26
        for name, operation, *inputs in nodes:
            node = graph.node.add()
            node.ParseFromString(graph_def.new_node(name, operation, tuple(inputs)).SerializeToString())
            if operation.startswith("Placeholder"):
                node.attr["dtype"].type = 1
                tensors.encode_shape((-1, 3), node.attr["shape"].shape)
        return graph

    return build
