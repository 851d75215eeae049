"""Runs where TensorFlow has an interpreter: in an environment of the farm from 1.9 on, with this project on PYTHONPATH.

The interpreters of 2.3 and 2.4 cannot run this model: see the plug-in's README.
"""

import shutil

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset
from modelmill_worker import StepError
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")

IMAGE = np.random.RandomState(0).uniform(-1, 1, (1, 128, 128, 3)).astype("float32")
SIGNATURE = Signature(
    (Tensor("image", "input", "float32", (1, 128, 128, 3)),),
    (Tensor("classes", "MobilenetV1/Predictions/Reshape_1", "float32", (1, 1001)),),
)
STORED = {
    "image": {"dtype": "uint8", "scale": 0.0078125, "zero_point": 128},
    "classes": {"dtype": "uint8", "scale": 0.00390625, "zero_point": 0},
}


@pytest.fixture
def run(run_edge, tmp_path, corpus):
    def run_model(path, signature=SIGNATURE, values=IMAGE):
        model, inputs = tmp_path / "model", tmp_path / "inputs"
        for folder in (model, inputs):
            shutil.rmtree(str(folder), ignore_errors=True)
            folder.mkdir()
        shutil.copy(str(corpus / "edgetpu-pairs" / path), str(model / "model.tflite"))
        signatures.write(model, signature)
        datasets.write(inputs, Dataset(signature, {signature.inputs[0].name: values}))
        facts, folder = run_edge("run-tflite", {"model": model, "inputs": inputs})
        return facts, datasets.read(folder).arrays

    return run_model


def test_real_numbers_go_in_and_come_out(run):
    facts, made = run("2019/mobilenet_v1_0.25_128_quant.tflite")

    assert facts["quantized"] == STORED
    classes = made["classes"]
    assert classes.dtype == np.float32
    # A softmax, rounded down to 256ths.
    assert 0.8 < classes.sum() < 1.1
    # Real numbers half a step away are stored alike.
    _, moved = run("2019/mobilenet_v1_0.25_128_quant.tflite", values=np.rint(IMAGE * 128).astype("float32") / 128)
    assert np.array_equal(moved["classes"], classes)


def test_an_interpreter_without_an_operator_is_told_from_a_bad_model(run):
    signature = Signature((Tensor("x", "x", "float32", None),), (Tensor("y", "y", "float32", None),))
    with pytest.raises(StepError) as caught:
        run("v16/dense_256_edgetpu.tflite", signature, np.zeros((1, 256), np.float32))
    if tf.__version__.startswith("1.10."):  # the one that never says why
        assert caught.value.reason == "INTERPRETER_FAILED"
    else:
        assert caught.value.reason == "INTERPRETER_LACKS_OPERATOR"
        assert caught.value.details["operator"] == "edgetpu-custom-op"
