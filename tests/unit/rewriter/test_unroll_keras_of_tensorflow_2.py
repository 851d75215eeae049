"""Recurrent layers of Keras, frozen with their While nodes, unrolled. Needs TensorFlow 2."""

from __future__ import annotations  # these tests run on Python 3.7 as well

import numpy as np
import pytest
from modelmill_worker import graph_def

LOOPS = {"While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall"}
LAYERS = ("LSTM", "GRU", "SimpleRNN", "go backwards", "reset before", "two layers", "bidirectional")


@pytest.fixture(scope="module")
def tf():
    tensorflow = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    if tensorflow.__version__.startswith("1."):
        pytest.skip("needs TensorFlow 2")
    return tensorflow


def layers_of(tf, kind):
    layers = tf.keras.layers
    if kind == "go backwards":
        return [layers.LSTM(3, go_backwards=True, return_sequences=True)]
    if kind == "reset before":
        return [layers.GRU(3, reset_after=False)]
    if kind == "two layers":
        return [layers.LSTM(3, return_sequences=True), layers.GRU(2, return_sequences=True)]
    if kind == "bidirectional":
        return [layers.Bidirectional(layers.GRU(3, return_sequences=True))]
    return [getattr(layers, kind)(4)]


def frozen(tf, kind, shape):
    """The GraphDef of the layers over constants, with the names of its input and output."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    tf.keras.utils.set_random_seed(3)
    model = tf.keras.Sequential([tf.keras.Input(batch_size=shape[0], shape=shape[1:]), *layers_of(tf, kind)])
    traced = tf.function(model.__call__).get_concrete_function(tf.TensorSpec(shape, tf.float32, name="x"))
    constant = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    return constant.graph.as_graph_def(), constant.outputs[0].name.split(":")[0]


@pytest.mark.parametrize("batch", [2, None])
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_written_out(tf, new_graph, run_rules, compute, kind, batch):
    message, output = frozen(tf, kind, (batch, 5, 2))
    assert LOOPS & {node.op for node in message.node}
    graph = new_graph(graph_def.copy(message), ["x"], [output])
    rewritten = run_rules(graph, "prune_unused", "unroll_loops", "unpack_arrays", "prune_unused")
    assert rewritten.refused == {}
    operations = set(rewritten.operations)
    assert not operations & LOOPS
    assert not {name for name in operations if name.startswith(("TensorList", "TensorArray"))}
    feeds = {"x": np.random.default_rng(0).normal(size=(2, 5, 2)).astype(np.float32)}
    # TensorFlow's own optimiser fuses either graph differently.
    np.testing.assert_allclose(
        compute(rewritten.message, feeds, [output]), compute(message, feeds, [output]), rtol=2e-6, atol=2e-6
    )
