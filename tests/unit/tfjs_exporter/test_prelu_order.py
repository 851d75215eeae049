import numpy as np
import pytest
from modelmill_tfjs_exporter.prelu_order import order_additions
from modelmill_worker import graph_def

NODES = (
    ("x", "Conv2D", ()),
    ("alpha", "Const", ()),
    ("relu", "Relu", ("x",)),
    ("neg", "Neg", ("x",)),
    ("relu_neg", "Relu", ("neg",)),
    ("mul", "Mul", ("relu_neg", "alpha")),
)


def graph_of(*nodes):
    graph = graph_def.new_graph()
    for name, operation, inputs in nodes:
        if operation == "Const":
            graph.node.extend([graph_def.new_constant(name, np.float32([-0.5]))])
        else:
            graph.node.extend([graph_def.new_node(name, operation, inputs)])
    return graph


def inputs_of_sum(graph, *outputs):
    order_additions(graph, frozenset(outputs))
    (node,) = [node for node in graph.node if node.name == "sum"]
    return list(node.input)


@pytest.mark.parametrize("addition", ["Add", "AddV2"])
@pytest.mark.parametrize("order", [("mul", "relu"), ("relu", "mul")])
def test_puts_the_relu_of_a_prelu_first(addition, order):
    graph = graph_of(*NODES, ("sum", addition, order), ("end", "Sigmoid", ("sum",)))
    assert inputs_of_sum(graph, "end") == ["relu", "mul"]


@pytest.mark.parametrize(
    ("further", "outputs"),
    [
        ((), ("sum",)),
        ((), ("end", "x")),
        ((("other", "Sigmoid", ("x",)),), ("end",)),
        ((("other", "Sigmoid", ("relu",)),), ("end",)),
        ((("other", "Sigmoid", ("neg",)),), ("end",)),
        ((("other", "Sigmoid", ("mul",)),), ("end",)),
        ((("other", "Sigmoid", ("alpha",)),), ("end",)),
        ((("other", "NoOp", ("^x",)),), ("end",)),
    ],
)
@pytest.mark.parametrize("order", [("mul", "relu"), ("relu", "mul")])
def test_puts_it_second_where_something_else_would_be_lost(order, further, outputs):
    graph = graph_of(*NODES, ("sum", "Add", order), ("end", "Sigmoid", ("sum",)), *further)
    assert inputs_of_sum(graph, *outputs) == ["mul", "relu"]


def test_puts_it_second_in_a_sum_that_is_no_prelu():
    nodes = (("x", "Conv2D", ()), ("y", "Conv2D", ()), ("c", "Const", ()), ("relu", "Relu", ("x",)))
    graph = graph_of(*nodes, ("mul", "Mul", ("c", "y")), ("sum", "Add", ("relu", "mul")), ("end", "Tanh", ("sum",)))
    assert inputs_of_sum(graph, "end") == ["mul", "relu"]


def test_puts_it_second_where_another_tensor_is_negated():
    nodes = [("neg", "Neg", ("y",)) if name == "neg" else (name, what, of) for name, what, of in NODES]
    graph = graph_of(("y", "Conv2D", ()), *nodes, ("sum", "Add", ("relu", "mul")), ("end", "Tanh", ("sum",)))
    assert inputs_of_sum(graph, "end") == ["mul", "relu"]


def test_leaves_other_sums_alone():
    graph = graph_of(("x", "Conv2D", ()), ("y", "Conv2D", ()), ("sum", "Add", ("y", "x")))
    assert inputs_of_sum(graph, "sum") == ["y", "x"]
