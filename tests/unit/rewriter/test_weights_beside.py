"""Graphs whose weights lie beside them: what cannot be seen is not rewritten, and is carried along."""

import numpy as np
import pytest
from modelmill_rewriter import modelmill_plugins
from modelmill_worker import graph_def, options, signature, tensors, weights_beside
from modelmill_worker.plugin_api import Step, Tree
from modelmill_worker.signature import Signature, Tensor

FLOAT = tensors.data_type_named("float32")
W = np.arange(600, dtype=np.float32).reshape(1, 600)


@pytest.fixture
def graph():
    """y = w + relu(x) - alpha * relu(-x): a parametric rectifier whose alpha, like w, is large."""
    made = graph_def.new_graph()
    made.versions.producer = 26
    x = made.node.add(name="x", op="Placeholder")
    x.attr["dtype"].type = 1
    tensors.encode_shape((-1, 600), x.attr["shape"].shape)
    for name in ("w", "alpha"):
        made.node.add().ParseFromString(weights_beside.emptied(name, W.shape, FLOAT).SerializeToString())
    for name, operation, inputs in (
        ("positive", "Relu", ["x"]),
        ("minus", "Neg", ["x"]),
        ("negative", "Relu", ["minus"]),
        ("scaled", "Mul", ["alpha", "negative"]),
        ("prelu", "Sub", ["positive", "scaled"]),
        ("same", "Identity", ["prelu"]),
        ("y", "Add", ["same", "w"]),
    ):
        made.node.add(name=name, op=operation, input=inputs).attr["T"].type = 1
    return made


@pytest.mark.parametrize("target", ["", "tflite", "tfjs"])
def test_a_graph_with_weights_beside_is_rewritten_with_them_beside(graph, tmp_path, monkeypatch, target):
    monkeypatch.setattr(graph_def, "LARGEST_GRAPH", graph.ByteSize() + 500)
    model, output = tmp_path / "model", tmp_path / "output"
    model.mkdir()
    output.mkdir()
    assert weights_beside.write(model, graph, {"w": lambda: W, "alpha": lambda: -W})
    ends = (Tensor("x", "x:0", "float32", (-1, 600)),), (Tensor("y", "y:0", "float32", (-1, 600)),)
    signature.write(model, Signature(*ends))
    (plugin,) = modelmill_plugins()
    (edge,) = [edge for edge in plugin.edges if edge.name == "rewrite"]
    tree = Tree("tf.frozen_graph", model, ("graph.pb", "graph.weights", "signature.json"))
    edge.run(Step({"model": tree}, options.parse(edge.options, {"target": target}), output, tmp_path))

    rewritten = graph_def.read(output / "graph.pb")
    contents = weights_beside.contents(output, rewritten)
    np.testing.assert_array_equal(contents["w"](), W)
    np.testing.assert_array_equal(contents["alpha"](), -W)
