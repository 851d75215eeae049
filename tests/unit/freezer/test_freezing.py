import numpy as np
import pytest
from modelmill_freezer._freezing import freeze_graph
from modelmill_worker import graph_def, tensors, weights_beside
from modelmill_worker.errors import StepError

RESOURCE = 20
W = np.arange(6, dtype=np.float32).reshape(3, 2)


def declare(graph, name, shape, dtype=1):
    """Give a variable its attributes."""
    node = graph_def.nodes_by_name(graph)[name]
    node.attr["dtype"].type = dtype
    tensors.encode_shape(shape, node.attr["shape"].shape)


def set_types(graph, **by_name):
    nodes = graph_def.nodes_by_name(graph)
    for name, dtype in by_name.items():
        nodes[name].attr["T"].type = dtype


def operations(graph):
    return {node.name: node.op for node in graph.node}


@pytest.fixture
def net(graph_of):
    """y = x w, with an initialiser and a saver."""
    graph = graph_of(
        ("x", "Placeholder"),
        ("w", "VariableV2"),
        ("w/Initializer", "Const"),
        ("w/Assign", "Assign", "w", "w/Initializer"),
        ("w/read", "Identity", "w"),
        ("y", "MatMul", "x", "w/read"),
        ("init", "NoOp", "^w/Assign"),
    )
    declare(graph, "w", (3, 2))
    return graph


def test_a_variable_becomes_a_constant_of_its_name(net):
    frozen = freeze_graph(net, {"w": W, "unused": W}, ["y"])
    assert operations(frozen.graph) == {"x": "Placeholder", "w": "Const", "w/read": "Identity", "y": "MatMul"}
    np.testing.assert_array_equal(graph_def.constant_value(frozen.graph.node[1]), W)
    assert (frozen.variables, frozen.parameters, frozen.notes) == (1, 6, ())


def test_the_graph_that_was_given_stays_as_it_was(net):
    before = net.SerializeToString(deterministic=True)
    freeze_graph(net, {"w": W}, ["y"])
    assert net.SerializeToString(deterministic=True) == before


def test_names_all_missing_variables_and_the_nearest_names(net):
    with pytest.raises(StepError) as caught:
        freeze_graph(net, {"model/w": W, "bias": W}, ["y"])
    assert caught.value.reason == "VARIABLE_NOT_IN_CHECKPOINT"
    assert caught.value.details == {"missing": ["w"], "nearest": ["model/w"]}


@pytest.mark.parametrize("value", [W.T, W.astype(np.float64), W[0]])
def test_refuses_a_value_of_another_shape_or_type(net, value):
    with pytest.raises(StepError) as caught:
        freeze_graph(net, {"w": value}, ["y"])
    assert caught.value.reason == "VARIABLE_MISMATCH"
    assert caught.value.details["variable"] == "w"


def test_an_open_dimension_takes_any_size(net):
    declare(net, "w", (-1, 2))
    assert freeze_graph(net, {"w": W}, ["y"]).parameters == 6


def test_reads_no_variable_that_the_outputs_do_not_need(net):
    assert freeze_graph(net, {}, ["x"]).variables == 0


@pytest.fixture
def resource_net(graph_of):
    """y = x w and z = rows of w, through a handle that passes an Identity."""
    graph = graph_of(
        ("x", "Placeholder"),
        ("ids", "Placeholder"),
        ("w", "VarHandleOp"),
        ("handle", "Identity", "w"),
        ("read", "ReadVariableOp", "handle"),
        ("y", "MatMul", "x", "read"),
        ("rows", "ResourceGather", "w", "ids"),
        ("shape", "VariableShape", "handle"),
        ("there", "VarIsInitializedOp", "w"),
    )
    declare(graph, "w", (3, 2))
    set_types(graph, handle=RESOURCE)
    graph.node[6].attr["Tindices"].type = 3
    return graph


def test_handles_give_way_to_values(resource_net):
    frozen = freeze_graph(resource_net, {"w": W}, ["y", "rows", "shape", "there"]).graph
    assert operations(frozen) == {
        "x": "Placeholder",
        "ids": "Placeholder",
        "w": "Const",
        "handle": "Identity",
        "read": "Identity",
        "y": "MatMul",
        "rows": "Gather",
        "shape": "Shape",
        "there": "Const",
    }
    nodes = graph_def.nodes_by_name(frozen)
    assert nodes["handle"].attr["T"].type == nodes["read"].attr["T"].type == 1
    assert {key: value.type for key, value in nodes["rows"].attr.items()} == {"Tparams": 1, "Tindices": 3}
    assert graph_def.constant_value(nodes["there"])


def test_refuses_a_handle_where_only_a_handle_will_do(resource_net):
    resource_net.node[4].op = "PartitionedCall"
    with pytest.raises(StepError) as caught:
        freeze_graph(resource_net, {"w": W}, ["y"])
    assert caught.value.reason == "UNSUPPORTED_VARIABLE_USE"
    assert caught.value.details == {"node": "read", "operation": "PartitionedCall"}


def test_finds_a_resource_variable_by_its_shared_name(resource_net):
    resource_net.node[2].attr["shared_name"].s = b"scope/w"
    assert freeze_graph(resource_net, {"scope/w": W}, ["y"]).variables == 1


def test_operations_on_references_become_operations_on_values(graph_of):
    graph = graph_of(
        ("x", "Placeholder"),
        ("w", "VariableV2"),
        ("switched", "RefSwitch", "w", "x"),
        ("less", "AssignSub", "w", "x"),
        ("set", "Assign", "w", "less"),
        ("y", "Pack", "switched", "set"),
    )
    declare(graph, "w", (3, 2))
    set_types(graph, switched=1, less=1, set=1)
    graph.node[3].attr["use_locking"].b = True
    frozen = freeze_graph(graph, {"w": W}, ["y"])
    found = operations(frozen.graph)
    assert (found["switched"], found["less"], found["set"]) == ("Switch", "Sub", "Identity")
    nodes = graph_def.nodes_by_name(frozen.graph)
    assert "use_locking" not in nodes["less"].attr
    assert list(nodes["set"].input) == ["less"]
    assert "built for training" in frozen.notes[0]


def add_saver(graph, names, slices, variables):
    for name, values in (("save/names", names), ("save/slices", slices), ("save/file", ["model"])):
        node = graph.node.add()
        constant = graph_def.new_constant(name, np.array(values, dtype=object))
        node.ParseFromString(constant.SerializeToString())
    inputs = ("save/file", "save/names", "save/slices", *variables)
    saver = graph_def.new_node("save/SaveV2", "SaveV2", inputs)
    graph.node.add().ParseFromString(saver.SerializeToString())


def test_the_graphs_saver_says_where_a_variable_lies(net):
    add_saver(net, ["w/ExponentialMovingAverage"], [""], ["w"])
    frozen = freeze_graph(net, {"w": W, "w/ExponentialMovingAverage": W + 1}, ["y"]).graph
    np.testing.assert_array_equal(graph_def.constant_value(frozen.node[1]), W + 1)


def test_savers_that_disagree_leave_the_variables_own_name(net):
    add_saver(net, ["average", "w"], ["", ""], ["w", "w"])
    frozen = freeze_graph(net, {"w": W, "average": W + 1}, ["y"]).graph
    np.testing.assert_array_equal(graph_def.constant_value(frozen.node[1]), W)


def test_takes_its_slice_of_a_partitioned_variable(net):
    add_saver(net, ["whole"], ["5 2 2,3:0,2"], ["w"])
    whole = np.arange(10, dtype=np.float32).reshape(5, 2)
    frozen = freeze_graph(net, {"whole": whole}, ["y"]).graph
    np.testing.assert_array_equal(graph_def.constant_value(frozen.node[1]), whole[2:])


def test_half_precision_variables_stay_half(net):
    declare(net, "w", (3, 2), dtype=19)
    frozen = freeze_graph(net, {"w": W.astype(np.float16)}, ["y"]).graph
    assert graph_def.constant_value(frozen.node[1]).dtype == np.float16


@pytest.mark.parametrize("version", ["tf1.9.0", "tf1.15.5"])
@pytest.mark.parametrize(
    ("net_name", "outputs"),
    [("pnet", ["prob", "bbox"]), ("rnet", ["prob", "bbox"]), ("onet", ["prob", "bbox", "landmarks"])],
)
def test_freezes_real_nets_as_tensorflow_does(corpus, tmp_path, version, net_name, outputs):
    """With the values that TensorFlow's own frozen graph holds, the result is that graph."""
    folder = corpus / "mtcnn" / version / net_name
    graph = graph_def.read(folder / "graph.pb")
    expected = graph_def.nodes_by_name(graph_def.read(folder / "frozen.pb"))
    values = {
        node.name: graph_def.constant_value(expected[node.name]) for node in graph.node if node.op == "VariableV2"
    }
    result = freeze_graph(graph, values, outputs)
    weights_beside.write(tmp_path, result.graph, result.contents)
    frozen = graph_def.nodes_by_name(graph_def.read(tmp_path / "graph.pb"))
    assert {name: node.op for name, node in frozen.items()} == {name: node.op for name, node in expected.items()}
    assert all(list(node.input) == list(expected[name].input) for name, node in frozen.items())
    for name, value in values.items():
        np.testing.assert_array_equal(graph_def.constant_value(frozen[name]), value)
