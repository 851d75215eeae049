"""What is predicted for graphs, without a TensorFlow."""

import json

import pytest
from modelmill_inspector.graphs.facts import describe_graph, find_endpoints
from modelmill_worker import graph_def

FLOAT = 1


def graph_of(*nodes):
    """Nodes as (name, op, inputs); every one of float32, an `image` of 1x8x8x3 is fed."""
    graph = graph_def.new_graph()
    image = graph.node.add(name="image", op="Placeholder")
    image.attr["dtype"].type = FLOAT
    for size in (1, 8, 8, 3):
        image.attr["shape"].shape.dim.add(size=size)
    for name, op, inputs in nodes:
        node = graph.node.add(name=name, op=op, input=inputs)
        node.attr["T"].type = FLOAT
    return graph


def support_of(graph):
    return describe_graph(graph, find_endpoints(graph))["support"]


def verdict(support, target, version):
    (found,) = [row for row in support["targets"] if row["target"] == target and version in row["versions"]]
    return found


def test_builtin_operations_need_nothing():
    support = support_of(graph_of(("relu", "Relu", ["image"])))
    assert verdict(support, "tflite", "2.15")["needs"] == "builtin"
    assert verdict(support, "tfjs", "4.22")["convertible"] is True
    assert verdict(support, "edgetpu", "16")["convertible"] is True
    assert support["nodes"] == []


def test_select_and_custom_operations_are_named():
    support = support_of(graph_of(("erf", "Erf", ["image"]), ("svd", "Svd", ["erf"])))
    found = verdict(support, "tflite", "2.15")
    assert (found["needs"], found["select"], found["custom"]) == ("custom", {"Erf": 1}, {"Svd": 1})
    assert verdict(support, "tfjs", "4.22")["missing"] == {"Svd": 1}
    assert [node["name"] for node in support["nodes"]] == ["erf", "svd"]


def test_a_version_without_the_operation_does_not_convert():
    support = support_of(graph_of(("leaky", "LeakyRelu", ["image"])))
    assert verdict(support, "tflite", "1.9")["convertible"] is False
    assert verdict(support, "tflite", "1.13")["needs"] == "builtin"


def test_each_version_stands_in_one_entry():
    support = support_of(graph_of(("erf", "Erf", ["image"])))
    versions = [version for row in support["targets"] if row["target"] == "tflite" for version in row["versions"]]
    assert len(versions) == len(set(versions)) == 33


def test_what_is_computed_from_constants_is_not_counted():
    graph = graph_of(("svd", "Svd", ["weights"]), ("sum", "Add", ["image", "svd"]))
    weights = graph.node.add(name="weights", op="Const")
    weights.attr["dtype"].type = FLOAT
    weights.attr["value"].tensor.dtype = FLOAT
    assert verdict(support_of(graph), "tflite", "2.15")["needs"] == "builtin"


@pytest.mark.parametrize("call", ["f", "PartitionedCall", "StatefulPartitionedCall"])
def test_functions_are_looked_into_and_calls_are_inlined(call):
    graph = graph_of(("call", call, ["image"]))
    if call != "f":
        del graph.node[1].attr["T"]
        graph.node[1].attr["f"].func.name = "f"
        for name in ("Tin", "Tout"):
            graph.node[1].attr[name].list.type.append(FLOAT)
    function = graph.library.function.add()
    function.signature.name = "f"
    function.signature.input_arg.add(name="x", type=FLOAT)
    function.signature.output_arg.add(name="y", type=FLOAT)
    inner = function.node_def.add(name="inner", op="Erf", input=["x"])
    inner.attr["T"].type = FLOAT
    function.ret["y"] = "inner:y:0"
    support = support_of(graph)
    found = verdict(support, "tflite", "2.15")
    assert (found["needs"], found["select"], found["missing"]) == ("select", {"Erf": 1}, {})
    assert [node["name"] for node in support["nodes"]] == ["f/inner"]


def test_the_facts_are_bounded_and_plain():
    names = ["image"] + [f"erf_{number}" for number in range(250)]
    support = support_of(graph_of(*((name, "Erf", [before]) for before, name in zip(names, names[1:]))))
    assert len(support["nodes"]) == 100
    assert support["nodes_count"] == 250
    assert json.loads(json.dumps(support)) == support
