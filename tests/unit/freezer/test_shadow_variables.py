import numpy as np
import pytest
from modelmill_freezer._freezing import freeze_graph
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError

W = np.arange(6, dtype=np.float32).reshape(3, 2)
AVERAGE = W + 10


@pytest.fixture
def net(graph_of):
    """y = x w + b, with an average of w under a name of its own; b has a momentum slot."""

    def build(average, variable="VariableV2", read="Identity", update="AssignSub"):
        graph = graph_of(
            ("x", "Placeholder"),
            ("w", variable),
            ("w/read", read, "w"),
            ("b", variable),
            ("b/read", read, "b"),
            ("product", "MatMul", "x", "w/read"),
            ("y", "BiasAdd", "product", "b/read"),
            (average, variable),
            (average + "/read", read, average),
            ("difference", "Sub", average + "/read", "w/read"),
            ("rate", "Const"),
            ("step", "Mul", "difference", "rate"),
            ("update", update, average, "step"),
        )
        nodes = graph_def.nodes_by_name(graph)
        for name, shape in (("w", (3, 2)), ("b", (2,)), (average, (3, 2))):
            nodes[name].attr["dtype"].type = 1
            tensors.encode_shape(shape, nodes[name].attr["shape"].shape)
        return graph

    return build


def constant(frozen, name):
    return graph_def.constant_value(graph_def.nodes_by_name(frozen.graph)[name])


def values(average):
    b = np.zeros(2, np.float32)
    return {"w": W, "b": b, "b/Momentum": b + 1, average: AVERAGE}


@pytest.mark.parametrize("average", ["w/ExponentialMovingAverage", "tower/w/polyak"])
@pytest.mark.parametrize(
    "operations", [("VariableV2", "Identity", "AssignSub"), ("VarHandleOp", "ReadVariableOp", "AssignSubVariableOp")]
)
def test_variables_take_their_moving_averages(net, average, operations):
    frozen = freeze_graph(net(average, *operations), values(average), ["y"], use_moving_averages=True)
    np.testing.assert_array_equal(constant(frozen, "w"), AVERAGE)
    np.testing.assert_array_equal(constant(frozen, "b"), np.zeros(2))
    assert (frozen.shadows, frozen.without_shadow) == ({"w": average}, ("b",))


def test_an_average_is_found_by_its_default_name_in_a_graph_without_updates(net):
    graph = net("unrelated")
    del graph.node[7:]
    frozen = freeze_graph(graph, values("w/ExponentialMovingAverage"), ["y"], use_moving_averages=True)
    np.testing.assert_array_equal(constant(frozen, "w"), AVERAGE)


def test_averages_are_not_taken_unless_asked_for(net):
    name = "w/ExponentialMovingAverage"
    frozen = freeze_graph(net(name), values(name), ["y"])
    np.testing.assert_array_equal(constant(frozen, "w"), W)
    assert (frozen.shadows, frozen.without_shadow) == ({}, ())


def test_says_so_where_no_variable_has_an_average(net):
    given = values("w/ExponentialMovingAverage")
    del given["w/ExponentialMovingAverage"]
    with pytest.raises(StepError) as caught:
        freeze_graph(net("w/ExponentialMovingAverage"), given, ["y"], use_moving_averages=True)
    assert caught.value.reason == "MOVING_AVERAGES_MISSING"
    assert caught.value.details == {"variables": ["w", "b"]}
