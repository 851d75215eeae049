"""The plain rules against TensorFlow 1's own TransformGraph: the same nodes or fewer, and the same numbers."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_rewriter.rules_api import Target
from modelmill_worker import graph_def

INT = {"dtype": "int32"}


@pytest.fixture(scope="module")
def transform_graph():
    tool = pytest.importorskip("tensorflow.tools.graph_transforms", reason="needs the tool, of TensorFlow before 2.0")

    def transform(graph, *rules):
        return tool.TransformGraph(graph_def.copy(graph.message), graph.inputs, graph.outputs, list(rules))

    return transform


def by_name(message):
    return {node.name: node for node in message.node}


def require_same_numbers(compute, before, after, feeds, outputs):
    for old, new in zip(compute(before, feeds, outputs), compute(after, feeds, outputs)):
        span = float(np.max(old) - np.min(old)) or 1.0
        # Sums of float32 products in another order, relative to the range.
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-5 * span)


# -- by hand -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def net(graph):
    """What inference graphs compute of constants: folded normalisation, shapes on the way to Reshape, duplicates."""
    random = np.random.RandomState(0)
    graph.placeholder("x", (1, 8, 8, 3))
    graph.constant("w", random.normal(size=(3, 3, 3, 4)))
    graph.node("w/read", "Identity", "w")
    graph.node("conv", "Conv2D", "x", "w/read", strides=(1, 2, 2, 1), padding=b"SAME")
    for name, low in (("mean", -1), ("variance", 0.5), ("gamma", 0.5), ("beta", -1)):
        graph.constant(name, random.uniform(low, 2, 4))
    graph.constant("epsilon", 1e-3)
    graph.node("stable", "Add", "variance", "epsilon")
    graph.node("rsqrt", "Rsqrt", "stable")
    graph.node("factor", "Mul", "rsqrt", "gamma")
    graph.node("scaled", "Mul", "conv", "factor")
    graph.node("shift", "Mul", "mean", "factor")
    graph.node("offset", "Sub", "beta", "shift")
    graph.node("normed", "Add", "scaled", "offset")
    for side in ("left", "right"):
        graph.node(f"{side}/relu", "Relu", "normed", "^epsilon")
        graph.constant(f"{side}/six", 6)
        graph.node(f"{side}/relu6", "Minimum", f"{side}/relu", f"{side}/six")
    graph.node("sum", "Add", "left/relu6", "right/relu6")
    graph.node("checked", "CheckNumerics", "sum", message=b"odd")
    graph.node("shape", "Shape", "checked", out_type="int32")
    for name, value in (("zero", [0]), ("one", [1]), ("rest", -1)):
        graph.constant(name, value, "int32")
    graph.node("batch", "StridedSlice", "shape", "zero", "one", "one", shrink_axis_mask=1, Index="int32", **INT)
    graph.node("flat_shape", "Pack", "batch", "rest", N=2, axis=0, **INT)
    graph.node("flat", "Reshape", "checked", "flat_shape", Tshape="int32")
    graph.outputs.append(graph.node("y", "Identity", "flat"))
    graph.node("loss", "Neg", "y")
    return graph


RULES = [
    "fold_constants",
    "fold_constants(ignore_errors=true, clear_output_shapes=true)",
    "merge_duplicate_nodes",
    "obfuscate_names",
    "remove_attribute(attribute_name=out_type, op_name=Shape)",
    "remove_control_dependencies",
    "remove_device",
    "remove_nodes(op=Identity, op=CheckNumerics)",
    "rename_attribute(old_attribute_name=N, new_attribute_name=N)",
    "rename_op(old_op_name=Add, new_op_name=AddV2)",
    'set_device(device="/cpu:0", if_default=true)',
    "sort_by_execution_order",
    "strip_unused_nodes",
    "add_default_attributes",
    "insert_logging(op=Relu, show_name=true, first_n=0)",
    "backport_concatv2",
]


@pytest.mark.parametrize("rule", RULES)
def test_leaves_no_more_and_computes_the_same(net, run_rules, compute, transform_graph, rule):
    theirs = transform_graph(net, rule)
    ours = run_rules(net, rule, target=Target("", (1, 15)))
    assert len(ours.names) <= len(theirs.node)
    feeds = {"x": np.random.RandomState(1).normal(size=(1, 8, 8, 3)).astype(np.float32)}
    require_same_numbers(compute, theirs, ours.message, feeds, ["y"])
    require_same_numbers(compute, net.message, ours.message, feeds, ["y"])


@pytest.mark.parametrize(
    "rule",
    [
        "remove_attribute(attribute_name=out_type, op_name=Shape)",
        "remove_device",
        "rename_op(old_op_name=Add, new_op_name=AddV2)",
        "rename_attribute(old_attribute_name=strides, new_attribute_name=steps)",
        'set_device(device="/cpu:0", if_default=true)',
        "remove_nodes(op=Identity, op=CheckNumerics)",
        "add_default_attributes",
        'strip_unused_nodes(type=float, shape="1,8,8,3")',
    ],
)
def test_writes_the_same_nodes(net, run_rules, transform_graph, rule):
    net.find("conv").device = "/gpu:0"
    theirs = by_name(transform_graph(net, rule))
    ours = by_name(run_rules(net, rule, target=Target("", (1, 15))).message)
    assert set(ours) == set(theirs)
    for name, node in ours.items():
        assert spelled(node) == spelled(theirs[name])


def spelled(node):
    """A node to compare, with "x" and "x:0" as one."""
    inputs = [entry[:-2] if entry.endswith(":0") else entry for entry in node.input]
    return node.op, inputs, node.device, {key: node.attr[key].SerializeToString() for key in node.attr}


def test_writes_the_same_print(net, run_rules, transform_graph):
    call = 'insert_logging(op=Relu, show_name=true, show_op=true, message="range: ", summarize=5)'
    theirs, ours = by_name(transform_graph(net, call)), by_name(run_rules(net, call).message)
    assert set(theirs) == set(ours)
    for name, node in ours.items():
        assert spelled(node) == spelled(theirs[name])


def test_writes_the_same_names(net, run_rules, transform_graph):
    theirs, ours = transform_graph(net, "obfuscate_names"), run_rules(net, "obfuscate_names")
    # The tool gives out "x" and "y" no second time either, as both are in use.
    assert [node.name for node in theirs.node] == ours.names


def test_writes_the_same_concat(graph, run_rules, transform_graph):
    graph.placeholder("x", (2, 3))
    graph.constant("axis", 1, "int32")
    graph.outputs.append(graph.node("y", "ConcatV2", "x", "x", "axis", N=2, Tidx="int32"))
    # Of a node that waits for something the tool takes that for the axis; this one waits for nothing.
    theirs = by_name(transform_graph(graph, "backport_concatv2"))
    assert theirs == by_name(run_rules(graph, "backport_concatv2").message)


def test_strips_the_same_at_an_input_that_is_computed(net, run_rules, transform_graph):
    net.inputs = ["checked"]
    call = 'strip_unused_nodes(name=checked, type_for_name=float, shape_for_name="1,4,4,4")'
    assert by_name(transform_graph(net, call)) == by_name(run_rules(net, call).message)


# -- generated ---------------------------------------------------------------------------------------------------------

UNARY = ["Neg", "Abs", "Square", "Relu", "Identity", "Floor", "Sign"]
BINARY = ["Add", "Sub", "Mul", "Maximum", "Minimum"]
STEPS = strategies.lists(
    strategies.tuples(strategies.sampled_from(UNARY + BINARY), strategies.integers(0, 99), strategies.integers(0, 99)),
    min_size=3,
    max_size=25,
)
TOGETHER = [
    "fold_constants",
    "merge_duplicate_nodes",
    "remove_nodes(op=Identity)",
    "fold_constants, merge_duplicate_nodes, strip_unused_nodes",
]


@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("rules", TOGETHER)
@given(steps=STEPS, seed=strategies.integers(0, 2**31))
def test_leaves_no_more_of_any_graph(new_graph, run_rules, compute, transform_graph, rules, steps, seed):
    random = np.random.RandomState(seed)
    graph = new_graph()
    names = [graph.placeholder("x", (2, 3))]
    names += [graph.constant("a", random.uniform(-1.5, 1.5, (2, 3))), graph.constant("b", random.uniform(-1.5, 1.5, 3))]
    for number, (operation, first, second) in enumerate(steps):
        inputs = [names[first % len(names)]] + ([names[second % len(names)]] if operation in BINARY else [])
        names.append(graph.node(f"n{number}", operation, *inputs))
    graph.outputs = [graph.node("y", "Add", names[-1], "x"), names[-2]]
    theirs = transform_graph(graph, *rules.split(", "))
    # The tool drops what no output needs wherever it folds.
    ours = run_rules(graph, rules, *(["prune_unused"] if rules == "fold_constants" else []))
    assert len(ours.names) <= len(theirs.node)
    feeds = {"x": random.uniform(-1, 1, (2, 3)).astype(np.float32)}
    require_same_numbers(compute, theirs, ours.message, feeds, graph.outputs)


# -- the corpus --------------------------------------------------------------------------------------------------------

POSES = [f"MobilenetV1/{name}_2/BiasAdd" for name in ("heatmap", "offset", "displacement_fwd", "displacement_bwd")]
#: A file of the corpus, what is fed and its shape, and what comes out.
FROZEN = [
    ("mtcnn/tf1.9.0/pnet/frozen.pb", "pnet/input", (1, 24, 24, 3), ["prob", "bbox"]),
    ("mtcnn/tf1.15.5/onet/frozen.pb", "onet/input", (2, 48, 48, 3), ["prob", "bbox", "landmarks"]),
    ("kws-tf1-frozen/DS_CNN_S.pb", "Mfcc", (1, 49, 10), ["labels_softmax"]),
    ("kws-tf1-frozen/CRNN_S.pb", "Mfcc", (1, 49, 10), ["labels_softmax"]),
    ("posenet/frozen.pb", "image", (1, 129, 129, 3), POSES),
]
SEQUENCES = [
    "strip_unused_nodes",
    "strip_unused_nodes fold_constants",
    "strip_unused_nodes merge_duplicate_nodes",
    "strip_unused_nodes fold_constants merge_duplicate_nodes sort_by_execution_order",
]


@pytest.mark.parametrize("rules", SEQUENCES)
@pytest.mark.parametrize("file", FROZEN, ids=[file[0] for file in FROZEN])
def test_leaves_no_more_of_a_trained_net(corpus, new_graph, run_rules, compute, transform_graph, file, rules):
    path, fed, shape, outputs = file
    graph = new_graph(graph_def.read(corpus / path), [fed], outputs)
    # The tool knows no shape for what becomes an input but one that it is told.
    strip = 'strip_unused_nodes(type=float, shape="{}")'.format(",".join(map(str, shape)))
    calls = [rule.replace("strip_unused_nodes", strip) for rule in rules.split(" ")]
    theirs = transform_graph(graph, *calls)
    ours = run_rules(graph, *calls)
    assert len(ours.names) <= len(theirs.node)
    feeds = {fed: np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)}
    require_same_numbers(compute, theirs, ours.message, feeds, outputs)
