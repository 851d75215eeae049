import pytest
from modelmill_inspector.graphs import describe_graph, find_endpoints, named_endpoints
from modelmill_worker import graph_def, tensors

FLOAT = 1


def fill(nodes, described):
    """Add (name, operation, *inputs); placeholders are float32 of the shape given as their only input, a tuple."""
    for name, operation, *inputs in described:
        node = nodes.add(name=name, op=operation)
        if operation == "Placeholder":
            node.attr["dtype"].type = FLOAT
            tensors.encode_shape(inputs[0] if inputs else None, node.attr["shape"].shape)
            continue
        node.input.extend(inputs)
        node.attr["T"].type = FLOAT


@pytest.fixture
def graph_of():
    def make(*described):
        graph = graph_def.new_graph()
        graph.versions.producer = 1087
        fill(graph.node, described)
        return graph

    return make


@pytest.fixture
def function_of():
    """Add a function with one argument and one result: function_of(graph, "f", "a", "out", nodes...)."""

    def add(graph, name, argument, result, *described):
        function = graph.library.function.add()
        function.signature.name = name
        function.signature.input_arg.add(name=argument, type=FLOAT)
        function.signature.output_arg.add(name="result", type=FLOAT)
        function.ret["result"] = result
        fill(function.node_def, described)
        return function

    return add


@pytest.fixture
def describe():
    def call(graph, outputs=(), **shapes):
        ends = named_endpoints(graph, outputs) if outputs else find_endpoints(graph)
        return describe_graph(graph, ends, input_shapes=shapes)

    return call
