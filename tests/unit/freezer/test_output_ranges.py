"""The fake quantisation behind an output is frozen with it where its range is stored, and nothing else is."""

import numpy as np
import pytest
from modelmill_freezer._output_ranges import WITH_CHECKPOINT, WITHOUT_CHECKPOINT, fake_quant_behind
from modelmill_worker import graph_def


@pytest.fixture
def graph():
    """An output `scores`, a fake quantisation behind it whose range has variables, and one behind something else."""
    message = graph_def.new_graph()
    nodes = [
        ("x", "Placeholder", ()),
        ("scores", "Relu6", ("x",)),
        ("min", "VariableV2", ()),
        ("min/read", "Identity", ("min",)),
        ("max", "VariableV2", ()),
        ("max/read", "Identity", ("max",)),
        ("behind", "FakeQuantWithMinMaxVars", ("scores", "min/read", "max/read")),
        ("elsewhere", "FakeQuantWithMinMaxVars", ("x", "min/read", "max/read")),
    ]
    message.node.extend(graph_def.new_node(*node) for node in nodes)
    return message


def replace(graph, name, node):
    next(one for one in graph.node if one.name == name).ParseFromString(node.SerializeToString())


def test_finds_what_stands_behind_an_output(graph):
    assert fake_quant_behind(graph, ["scores"], WITH_CHECKPOINT) == ["behind"]
    assert fake_quant_behind(graph, ["x"], WITH_CHECKPOINT) == ["elsewhere"]


def test_a_range_of_variables_needs_a_checkpoint(graph):
    assert fake_quant_behind(graph, ["scores"], WITHOUT_CHECKPOINT) == []
    for name, value in (("min", 0), ("max", 6)):
        replace(graph, name, graph_def.new_constant(name, np.float32(value)))
    assert fake_quant_behind(graph, ["scores"], WITHOUT_CHECKPOINT) == ["behind"]


def test_a_range_that_is_still_being_trained_stays_out(graph):
    replace(graph, "max/read", graph_def.new_node("max/read", "AssignSub", ("max", "x")))
    assert fake_quant_behind(graph, ["scores"], WITH_CHECKPOINT) == []
