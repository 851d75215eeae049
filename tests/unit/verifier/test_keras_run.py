"""Runs where TensorFlow brings Keras and h5py: in an environment from 1.11 on, with this project on PYTHONPATH."""

import json
import zipfile

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_worker import StepError

tf = pytest.importorskip("tensorflow", minversion="1.11", reason="needs an environment with TensorFlow from 1.11 on")
layers = tf.keras.layers

VERSION = tuple(int(part) for part in tf.__version__.split(".")[:2])
#: The kinds that this version's Keras writes, with their suffixes.
KINDS = [("keras-h5", ".h5")] + ([("keras-v3", ".keras")] if VERSION >= (2, 12) else [])


def two_by_two():
    """Two inputs, two outputs, and layers that behave differently in training."""
    left = layers.Input([4], name="left")
    right = layers.Input([None, 4], name="right")
    middle = layers.Dropout(0.9)(layers.BatchNormalization()(left))
    total = layers.Add(name="total")([middle, layers.GlobalAveragePooling1D()(right)])
    return tf.keras.Model([left, right], [layers.Dense(3, name="dense")(total), total])


def sequential():
    return tf.keras.Sequential([layers.Dense(3, input_shape=(4,), name="first"), layers.Dense(2, name="last")])


def expected(model, arrays):
    made = model.predict(arrays)
    return made if isinstance(made, list) else [made]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0])
def saved(request, tmp_path):
    """Saves a model under a name without suffix, as an artifact may have it."""
    kind, suffix = request.param

    def save(model):
        (tmp_path / "model").mkdir()
        # From 2.13 on the suffix says it; 2.12 has to be told.
        how = {"save_format": "keras_v3"} if VERSION == (2, 12) and kind == "keras-v3" else {}
        model.save(str(tmp_path / ("model" + suffix)), **how)
        (tmp_path / ("model" + suffix)).rename(tmp_path / "model" / "given")
        return kind, tmp_path / "model"

    return save


@pytest.mark.parametrize(
    ("build", "inputs", "outputs"),
    [(two_by_two, ["left", "right"], ["dense", "total"]), (sequential, ["first_input"], ["last"])],
)
def test_runs_a_model_under_its_layers_names(run_edge, saved, build, inputs, outputs):
    model = build()
    kind, folder = saved(model)
    _, sampled = run_edge("sample-" + kind, {"model": folder})
    given = datasets.read(sampled)
    facts, output = run_edge("run-" + kind, {"model": folder, "inputs": sampled})

    made = datasets.read(output)
    # Keras 3 gives the input of a Sequential a name that it keeps to itself.
    assert len(given.signature.inputs) == len(inputs)
    assert inputs[0] == "first_input" or [tensor.name for tensor in given.signature.inputs] == inputs
    assert [tensor.name for tensor in made.signature.outputs] == outputs
    wanted = expected(model, [given.arrays[tensor.name] for tensor in given.signature.inputs])
    for name, values in zip(outputs, wanted):
        np.testing.assert_allclose(made.arrays[name], values, rtol=1e-5, atol=1e-6)
    assert facts["tensorflow"] == tf.__version__
    assert facts["keras"]


def test_takes_given_inputs_and_equal_runs_are_equal(run_edge, saved, tmp_path):
    kind, folder = saved(two_by_two())
    (tmp_path / "given").mkdir()
    random = np.random.RandomState(0)
    np.savez(
        str(tmp_path / "given" / "a.npz"), left=random.uniform(-1, 1, (2, 4)), right=random.uniform(-1, 1, (2, 7, 4))
    )
    _, inputs = run_edge("adopt-" + kind, {"model": folder, "dataset": tmp_path / "given"})
    runs = [run_edge("run-" + kind, {"model": folder, "inputs": inputs})[1] for _ in range(2)]
    assert datasets.read(runs[0]).arrays["dense"].shape == (2, 3)
    assert (runs[0] / "arrays.npz").read_bytes() == (runs[1] / "arrays.npz").read_bytes()


def test_a_model_that_this_keras_does_not_know_is_typed(run_edge, saved):
    model = two_by_two()
    kind, folder = saved(model)
    path = folder / "given"
    if kind == "keras-v3":
        with zipfile.ZipFile(str(path)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(parts["config.json"].decode())
        config["config"]["layers"][-1]["class_name"] = "NobodyKnowsThis"
        parts["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(str(path), "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
    else:
        path.write_bytes(path.read_bytes().replace(b'"class_name": "Dense"', b'"class_name": "Dunce"'))
    with pytest.raises(StepError) as caught:
        run_edge("sample-" + kind, {"model": folder})
    assert caught.value.reason == "KERAS_MODEL_UNREADABLE"


def test_no_model_is_told(run_edge, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.h5").write_bytes(b"no HDF5 at all")
    with pytest.raises(StepError) as caught:
        run_edge("sample-keras-h5", {"model": tmp_path / "model"})
    assert caught.value.reason == "KERAS_MODEL_MISSING"
