"""The quantising rules against TensorFlow 1's own TransformGraph: the same numbers, and not more nodes."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from modelmill_worker import graph_def

ONES = (1, 1, 1, 1)
#: How an output may differ, relative to its range: sums of float32 products in another order.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def transform_graph():
    tool = pytest.importorskip("tensorflow.tools.graph_transforms", reason="needs the tool, of TensorFlow before 2.0")

    def transform(message, inputs, outputs, rules):
        """As the tool leaves the graph, without what no output needs."""
        transformed = tool.TransformGraph(message, inputs, outputs, [*rules, "strip_unused_nodes"])
        return graph_def.parse(transformed.SerializeToString())

    return transform


def network(new_graph, seed):
    """A net with one of each operation that both know."""
    random = np.random.default_rng(seed)
    graph = new_graph()
    graph.placeholder("x", (2, 12, 12, 3))
    graph.constant("w", random.normal(size=(3, 3, 3, 8)))
    graph.constant("b", random.normal(size=8))
    graph.node("conv", "Conv2D", "x", "w", strides=ONES, padding=b"SAME")
    graph.node("bias", "BiasAdd", "conv", "b")
    graph.node("relu", "Relu", "bias")
    graph.node("pool", "MaxPool", "relu", ksize=(1, 2, 2, 1), strides=(1, 2, 2, 1), padding=b"SAME")
    graph.constant("w2", random.normal(size=(1, 1, 8, 8)))
    graph.node("conv2", "Conv2D", "pool", "w2", strides=ONES, padding=b"SAME")
    graph.node("sum", "Add", "conv2", "pool")
    graph.node("relu6", "Relu6", "sum")
    graph.constant("axis", 3, "int32")
    graph.node("both", "Concat", "axis", "relu6", "pool", N=2)
    graph.constant("size", [8, 8], "int32")
    graph.node("resized", "ResizeBilinear", "both", "size", align_corners=False)
    graph.node("mean", "AvgPool", "resized", ksize=(1, 2, 2, 1), strides=(1, 2, 2, 1), padding=b"VALID")
    graph.constant("rows", [-1, 256], "int32")
    graph.node("flat", "Reshape", "mean", "rows", Tshape="int32")
    graph.constant("w3", random.normal(size=(256, 5)))
    graph.node("product", "MatMul", "flat", "w3", transpose_a=False, transpose_b=False)
    graph.constant("k", random.normal(size=5))
    graph.node("scaled", "Mul", "product", "k")
    graph.outputs.append(graph.node("y", "Softmax", "scaled"))
    return graph


#: Through quantize_weights the constants are the same; without it the tool quantises them when the model runs, over no
#: range below a hundredth, and the numbers are the same where no constant's range is smaller.
RULES = {
    "round_weights": ["round_weights"],
    "round_weights to 50": ["round_weights(num_steps=50)"],
    "quantize_weights": ["quantize_weights"],
    "quantize_weights of all": ["quantize_weights(minimum_size=1)"],
    "quantize_nodes": ["quantize_nodes"],
    "quantize_nodes, some not": ["quantize_nodes(ignore_op=Relu, ignore_op=Conv2D)"],
    "quantize_nodes, 8-bit weights": ["quantize_weights(minimum_size=1)", "quantize_nodes"],
    "quantize_nodes, given ranges": ["quantize_nodes(fallback_min=-64, fallback_max=64)"],
}


@pytest.mark.parametrize("name", RULES)
@given(seed=strategies.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_computes_the_same_numbers_with_not_more_nodes(name, seed, new_graph, run_rules, transform_graph, compute):
    graph = network(new_graph, seed)
    ours = run_rules(graph, *RULES[name])
    theirs = transform_graph(graph_def.copy(graph.message), ["x"], ["y"], RULES[name])
    assert len(ours.names) <= len(theirs.node)
    x = np.random.default_rng(seed).normal(size=(2, 12, 12, 3)).astype(np.float32)
    computed, expected = (compute(message, {"x": x}, ["y"])[0] for message in (ours.message, theirs))
    np.testing.assert_allclose(computed, expected, rtol=0, atol=TOLERANCE * np.ptp(expected))


MTCNN = {
    "pnet": ((1, 40, 40, 3), ["prob", "bbox"]),
    "rnet": ((2, 24, 24, 3), ["prob", "bbox"]),
    "onet": ((2, 48, 48, 3), ["prob", "bbox", "landmarks"]),
}


@pytest.mark.parametrize(
    "name", ["round_weights", "quantize_weights", "quantize_nodes", "quantize_nodes, 8-bit weights"]
)
@pytest.mark.parametrize("net", MTCNN)
def test_computes_the_same_numbers_for_trained_nets(name, net, corpus, new_graph, run_rules, transform_graph, compute):
    shape, outputs = MTCNN[net]
    graph = new_graph(graph_def.read(corpus / "mtcnn" / "tf1.15.5" / net / "frozen.pb"), [net + "/input"], outputs)
    ours = run_rules(graph, *RULES[name])
    theirs = transform_graph(graph_def.copy(graph.message), graph.inputs, outputs, RULES[name])
    assert len(ours.names) <= len(theirs.node)
    feeds = {net + "/input": np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)}
    for computed, expected in zip(*(compute(message, feeds, outputs) for message in (ours.message, theirs))):
        np.testing.assert_allclose(computed, expected, rtol=0, atol=TOLERANCE * np.ptp(expected))


@pytest.mark.parametrize("model", ["posenet/frozen.pb", "kws-tf1-frozen/DS_CNN_S.pb"])
def test_weights_are_rounded_alike_but_for_what_the_tool_spoils(model, corpus, new_graph, run_rules, transform_graph):
    """The tool moves constants of one value by a step of their own, and stretches ranges below 0 up to 0."""
    graph = new_graph(graph_def.read(corpus / model))
    outputs = [graph.message.node[-1].name]
    theirs = transform_graph(graph_def.copy(graph.message), [], outputs, ["round_weights"])
    graph.outputs = outputs
    ours = {node.name: node for node in run_rules(graph, "round_weights").message.node}
    for node in theirs.node:
        if node.op != "Const" or node.attr["dtype"].type != 1:
            continue
        given = graph_def.constant_value(graph.find(node.name))
        rounded, expected = graph_def.constant_value(ours[node.name]), graph_def.constant_value(node)
        if np.ptp(given) == 0 or given.max() < 0:
            assert np.abs(rounded - given).max() <= np.abs(expected - given).max()
        else:
            np.testing.assert_array_equal(rounded, expected, err_msg=node.name)


def test_freezes_the_ranges_that_the_tool_freezes(new_graph, run_rules, transform_graph, tmp_path):
    graph = network(new_graph, 0)
    message = transform_graph(graph_def.copy(graph.message), ["x"], ["y"], ["quantize_nodes"])
    ranges = [node.name for node in message.node if node.op == "RequantizationRange"]
    random = np.random.default_rng(0)
    log = "".join(
        f";{name}__print__;__requant_min_max:[{-random.uniform(1, 9):.6g}][{random.uniform(1, 9):.6g}]\n"
        for name in ranges
        for _ in range(37)
    )
    (tmp_path / "log.txt").write_text("started\n" + log)
    rule = "freeze_requantization_ranges({})"
    options = "min_percentile=10, max_percentile=20"
    theirs = transform_graph(
        graph_def.copy(message), ["x"], ["y"], [rule.format(f'min_max_log_file="{tmp_path}/log.txt", {options}')]
    )
    ours = run_rules(new_graph(message, ["x"], ["y"]), rule.format(f"min_max_log='{log}', {options}")).message
    assert len(ranges) == 6
    for name in ranges:
        for end in ("/frozen_min", "/frozen_max"):
            mine, other = (
                next(graph_def.constant_value(node) for node in frozen.node if node.name == name + end)
                for frozen in (ours, theirs)
            )
            assert mine == other
