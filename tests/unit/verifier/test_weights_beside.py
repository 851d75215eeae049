"""A frozen graph whose weights lie beside it runs as one that has them inside; runs where TensorFlow is."""

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset
from modelmill_worker import graph_def, installed_tensorflow, tensors, weights_beside
from modelmill_worker import signature as signatures
from modelmill_worker.errors import StepError
from modelmill_worker.signature import Signature, Tensor

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
v1 = installed_tensorflow.v1()

SIGNATURE = Signature((Tensor("x", "x:0", "float32", (-1, 20)),), (Tensor("y", "y:0", "float32", (-1, 30)),))
W = np.random.RandomState(0).normal(size=(20, 30)).astype(np.float32)
INPUT = np.random.RandomState(1).normal(size=(4, 20)).astype(np.float32)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """y = relu(x w) in a loop of TensorFlow 1's, so that w is read in a frame."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 20], name="x")
        w = tf.constant(W, name="w")
        _, y = v1.while_loop(lambda i, _: i < 2, lambda i, t: (i + 1, t + tf.matmul(x, w)), [0, tf.matmul(x, w)])
        tf.nn.relu(y, name="y")
    definition = graph_def.copy(graph.as_graph_def())
    (node,) = [node for node in definition.node if node.name == "w"]
    kind = tensors.data_type_named("float32")
    node.ParseFromString(weights_beside.emptied("w", W.shape, kind).SerializeToString())
    (tmp_path / "frozen").mkdir()
    monkeypatch.setattr(graph_def, "LARGEST_GRAPH", definition.ByteSize() + 100)
    assert weights_beside.write(tmp_path / "frozen", definition, {"w": lambda: W})
    signatures.write(tmp_path / "frozen", SIGNATURE)
    (tmp_path / "inputs").mkdir()
    datasets.write(tmp_path / "inputs", Dataset(SIGNATURE, {"x": INPUT}))
    return {"model": tmp_path / "frozen", "inputs": tmp_path / "inputs"}


def test_runs_with_its_weights(run_edge, model):
    _, output = run_edge("run-frozen-graph", model)
    expected = np.maximum(3 * (INPUT @ W), 0)
    np.testing.assert_allclose(datasets.read(output).arrays["y"], expected, rtol=1e-4, atol=1e-5)


def test_does_not_run_without_them(run_edge, model):
    (model["model"] / "graph.weights").unlink()
    with pytest.raises(StepError) as caught:
        run_edge("run-frozen-graph", model)
    assert caught.value.reason == "WEIGHTS_MISSING"
