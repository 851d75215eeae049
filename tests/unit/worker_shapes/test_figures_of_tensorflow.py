"""Counts as TensorFlow 1's profiler and its graph's own interface give them."""

import pytest
from modelmill_inspector.graphs import describe_graph, find_endpoints
from modelmill_worker import graph_def, installed_tensorflow

pytestmark = pytest.mark.skipif(not installed_tensorflow.is_installed(), reason="needs TensorFlow")

GRAPHS = {
    **{
        f"mtcnn/{version}/{net}/frozen.pb": (1, size, size, 3)
        for version in ("tf1.9.0", "tf1.15.5")
        for net, size in (("pnet", 36), ("rnet", 24), ("onet", 48))
    },
    "posenet/frozen.pb": (1, 257, 257, 3),
    "kws-tf1-frozen/DS_CNN_S.pb": None,
}
MULTIPLYING = ("Conv2D", "DepthwiseConv2dNative", "MatMul")


def imported(graph, shape):
    """The graph in TensorFlow, its input's shape settled where one is given."""
    tf = installed_tensorflow.v1()
    copy = graph_def.copy(graph)
    name = find_endpoints(graph).inputs[0].name
    with tf.Graph().as_default() as built:
        replaced = {name + ":0": tf.placeholder(tf.float32, shape, "fed")} if shape else {}
        tf.import_graph_def(copy, replaced, name="")
    return built, {name: shape} if shape else {}


@pytest.mark.parametrize("name", GRAPHS)
def test_counts_half_of_the_profilers_float_operations(name, corpus):
    tf = installed_tensorflow.v1()
    graph = graph_def.read(corpus / name)
    built, shapes = imported(graph, GRAPHS[name])
    options = tf.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    profile = tf.profiler.profile(built, cmd="op", options=options)
    expected = {child.name: child.total_float_ops for child in everything(profile) if child.name in MULTIPLYING}

    costs = describe_graph(graph, find_endpoints(graph), input_shapes=shapes)["costs"]

    assert sum(expected.values()) > 0
    assert 2 * costs["multiply_adds"] == sum(expected.values())


def everything(profile):
    """The profiler nests one kind of operation in the other; each one's own count is what its children lack."""
    seen, waiting = [], list(profile.children)
    while waiting:
        child = waiting.pop()
        inner = list(child.children)
        child.total_float_ops -= sum(item.total_float_ops for item in inner)
        seen.append(child)
        waiting.extend(inner)
    return seen


@pytest.mark.parametrize("name", [*GRAPHS, "kws-tf1-frozen/CRNN_S.pb", "kws-tf1-frozen/Basic_LSTM_S.pb"])
def test_counts_what_summarize_graph_counts(name, corpus):
    graph = graph_def.read(corpus / name)
    built, _ = imported(graph, None)
    operations = built.get_operations()
    kinds = {operation.type for operation in operations}
    needed = feeding([built.get_tensor_by_name(tensor.tensor).op for tensor in find_endpoints(graph).outputs])
    constants = [operation for operation in needed if operation.type == "Const"]

    facts = describe_graph(graph, find_endpoints(graph))

    assert facts["operations"] == {kind: sum(item.type == kind for item in operations) for kind in kinds}
    assert facts["control_edges"] == sum(len(operation.control_inputs) for operation in operations)
    elements = sum(constant.outputs[0].shape.num_elements() for constant in constants)
    assert facts["constant_elements"] == elements
    placeholders = {item.name: item.outputs[0] for item in operations if item.type == "Placeholder"}
    for tensor in facts["inputs"]:
        theirs = placeholders[tensor["name"]]
        assert tensor["dtype"] == theirs.dtype.name
        if theirs.shape.rank is not None:
            assert list(tensor["shape"]) == [-1 if size is None else size for size in theirs.shape.as_list()]
    assert sum(facts["devices"].values()) == sum(bool(operation.device) for operation in operations)


def feeding(operations):
    """These operations and all whose data reach them."""
    found, waiting = set(), list(operations)
    while waiting:
        operation = waiting.pop()
        if operation not in found:
            found.add(operation)
            waiting.extend(tensor.op for tensor in operation.inputs)
    return found
