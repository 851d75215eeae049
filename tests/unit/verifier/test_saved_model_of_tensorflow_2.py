"""Runs where TensorFlow 2 is: in an environment of the farm, with this project on PYTHONPATH."""

import numpy as np
import pytest
from modelmill_verifier import datasets

tf = pytest.importorskip("tensorflow", minversion="2.0", reason="needs an environment with TensorFlow 2")

INPUTS = [tf.TensorSpec([None, 2], tf.float32, name="x"), tf.TensorSpec([], tf.int32, name="n")]


class Doubler(tf.Module):
    """A variable, a table and a function with a loop: what a TF2 SavedModel may have that is not in its graph."""

    def __init__(self):
        super().__init__()
        self.factor = tf.Variable(2.0)
        words = tf.lookup.KeyValueTensorInitializer(["cat", "horse"], tf.constant([1, 2], tf.int64))
        self.table = tf.lookup.StaticHashTable(words, -1)

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x"), tf.TensorSpec([], tf.int32, name="n")]
    )
    def power(self, x, n):
        for _ in tf.range(n):
            x = x * self.factor
        return {"product": x, "horse": self.table.lookup(tf.constant(["horse"]))}


def test_runs_a_saved_model_of_tensorflow_2(run_edge, tmp_path):
    model = Doubler()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures=model.power)
    _, inputs = run_edge("sample-saved-model", {"model": tmp_path / "model"}, {"input_shapes": {"x": [3, 2]}})
    given = datasets.read(inputs).arrays
    facts, output = run_edge("run-saved-model", {"model": tmp_path / "model", "inputs": inputs})

    made = datasets.read(output).arrays
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(made["product"], given["x"] * np.float32(2.0) ** np.float32(given["n"]))
    assert made["horse"].tolist() == [2]
    assert facts["signature"] == "serving_default"
