"""The corpus's keyword spotters with loops of TensorFlow 1, unrolled and converted to TFLite with builtins only."""

from __future__ import annotations  # these tests run on Python 3.7 as well

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from modelmill_worker import graph_def, installed_tensorflow

FEATURES, OUTPUT, SHAPE = "Mfcc", "labels_softmax", (1, 49, 10)


@pytest.fixture
def tf(monkeypatch):
    tensorflow = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    # TensorFlow 1's converter calls a program that lies beside Python.
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return tensorflow


def written_out(corpus, name, new_graph, run_rules):
    message = graph_def.read(corpus / "kws-tf1-frozen" / name)
    graph = new_graph(message, [FEATURES], [OUTPUT])
    rules = ("unroll_loops", "unpack_arrays", "remove_training_nodes", "fold_constants")
    return message, run_rules(graph, *rules)


@pytest.mark.parametrize(("name", "times"), [("Basic_LSTM_S.pb", 49), ("CRNN_S.pb", 20)])
def test_loops_and_arrays_are_gone(corpus, new_graph, run_rules, name, times):
    _, rewritten = written_out(corpus, name, new_graph, run_rules)
    assert rewritten.refused == {}
    operations = rewritten.operations
    assert not {"Enter", "Exit", "Merge", "Switch", "NextIteration", "LoopCond"} & set(operations)
    assert not [operation for operation in operations if operation.startswith("TensorArray")]
    assert operations.count("BiasAdd") % times == 0


@pytest.mark.parametrize("name", ["Basic_LSTM_S.pb", "CRNN_S.pb"])
def test_tflite_computes_the_same_with_builtins_only(tf, corpus, new_graph, run_rules, compute, tmp_path, name):
    message, rewritten = written_out(corpus, name, new_graph, run_rules)
    features = np.random.default_rng(0).normal(scale=3, size=SHAPE).astype(np.float32)
    wanted = compute(message, {FEATURES: features}, [OUTPUT])[0]
    np.testing.assert_allclose(
        compute(rewritten.message, {FEATURES: features}, [OUTPUT])[0], wanted, atol=1e-6 * np.ptp(wanted)
    )
    path = tmp_path / "graph.pb"
    graph_def.write(path, rewritten.message)
    v1 = installed_tensorflow.v1()
    converter = v1.lite.TFLiteConverter.from_frozen_graph(str(path), [FEATURES], [OUTPUT], {FEATURES: list(SHAPE)})
    interpreter = tf.lite.Interpreter(model_content=converter.convert())  # builtins only, unless asked otherwise
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], features)
    interpreter.invoke()
    computed = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.abs(computed - wanted).max() <= 1e-5 * np.ptp(wanted)
