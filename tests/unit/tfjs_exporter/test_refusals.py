import numpy as np
import pytest
from modelmill_tfjs_exporter.refusals import export_refused, unregistered_operations, unsupported_operations
from modelmill_worker import graph_def


@pytest.mark.parametrize("when", ["before", "after"])
def test_lists_the_operations_that_tensorflowjs_lacks(when):
    text = f"Unsupported Ops in the model {when} optimization\nSvd, MatrixInverse"
    assert unsupported_operations(text) == ["MatrixInverse", "Svd"]


def test_lists_the_operation_that_tensorflow_lacks():
    text = "Op type not registered 'LeakyRelu' in binary running on here. Make sure the Op and Kernel are registered"
    assert unregistered_operations(text) == ["LeakyRelu"]


def test_other_texts_list_nothing():
    assert unsupported_operations("KeyError: 'no such node'") == []
    assert unregistered_operations("KeyError: 'no such node'") == []


@pytest.fixture
def graph(tmp_path):
    made = graph_def.new_graph()
    made.node.extend(
        [
            graph_def.new_constant("c", np.float32([1])),
            graph_def.new_node("a", "Svd", ("c",)),
            graph_def.new_node("b", "LeakyRelu", ("c",)),
        ]
    )
    (tmp_path / "graph.pb").write_bytes(made.SerializeToString())
    return tmp_path / "graph.pb"


def test_names_the_nodes_that_tensorflowjs_has_no_operator_for(graph):
    refusal = export_refused(ValueError("Unsupported Ops in the model before optimization\nSvd"), graph, "4.22.0")
    assert refusal.reason == "UNSUPPORTED_OPERATION"
    assert refusal.details["nodes"] == [{"node": "a", "operation": "Svd"}]
    assert "newer" not in refusal.message


def test_advises_a_newer_exporter_where_there_is_one(graph):
    refusal = export_refused(ValueError("Unsupported Ops in the model before optimization\nSvd"), graph, "1.7.4")
    assert "newer tensorflowjs than 1.7.4" in refusal.message


def test_tells_an_operation_that_the_exporters_tensorflow_does_not_know(graph):
    refusal = export_refused(ValueError("Op type not registered 'LeakyRelu' in binary"), graph, "0.8.0")
    assert refusal.reason == "UNSUPPORTED_OPERATION"
    assert refusal.message.startswith("The TensorFlow that tensorflowjs exports with does not know LeakyRelu at b ")


def test_anything_else_is_told_by_its_last_line(graph):
    refusal = export_refused(KeyError("The name 'x' refers to no node"), graph, "0.8.0")
    assert refusal.reason == "CONVERTER_REFUSED"
    assert "The name 'x' refers to no node" in refusal.message
    assert refusal.fault == "TOOL"
