"""Runs where TensorFlow is: in an environment of the farm, with this project on PYTHONPATH."""

import shutil

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset
from modelmill_worker import StepError
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")

SPEECH = np.random.RandomState(0).uniform(-1, 1, (1, 49, 10, 1)).astype("float32")


@pytest.fixture
def model(corpus, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(str(corpus / "kws-dscnn" / "kws_ref_model_float32.tflite"), str(folder / "model.tflite"))
    inputs = (Tensor("speech", "input_1", "float32", (-1, 49, 10, 1)),)
    signatures.write(folder, Signature(inputs, (Tensor("words", "Identity", "float32", (-1, 12)),), 0.125))
    return folder


@pytest.fixture
def run(run_edge, tmp_path, model):
    def run_model(values):
        (tmp_path / "inputs").mkdir(exist_ok=True)
        datasets.write(tmp_path / "inputs", Dataset(signatures.read(model), {"speech": values}))
        _, folder = run_edge("run-tflite", {"model": model, "inputs": tmp_path / "inputs"})
        return datasets.read(folder)

    return run_model


def test_runs_a_model_and_keeps_its_expected_error(run):
    made = run(SPEECH)

    assert made.arrays["words"].shape == (1, 12)
    # A softmax in float32 over twelve words.
    assert made.arrays["words"].sum() == pytest.approx(1.0, abs=1e-5)
    assert made.signature.expected_error == 0.125


def test_resizes_an_unknown_batch(run):
    words = run(np.concatenate([SPEECH, -SPEECH])).arrays["words"]

    assert words.shape == (2, 12)
    # Other kernels may be chosen for another batch; the sums are those of one float32 net.
    np.testing.assert_allclose(words[:1], run(SPEECH).arrays["words"], atol=1e-5)


def test_equal_runs_are_equal(run):
    assert run(SPEECH).arrays["words"].tobytes() == run(SPEECH).arrays["words"].tobytes()


@pytest.mark.parametrize("values", [SPEECH[:, :48], SPEECH[..., 0], SPEECH.astype("int8") * 1j])
def test_refuses_inputs_that_do_not_fit(run, values):
    with pytest.raises(StepError) as caught:
        run(values)
    assert caught.value.reason == "INPUT_MISMATCH"
    assert caught.value.details["input"] == "speech"


def test_a_model_that_is_none_is_typed(run, model):
    (model / "model.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(100))
    with pytest.raises(StepError) as caught:
        run(SPEECH)
    assert caught.value.reason == "MODEL_RUN_FAILED"
