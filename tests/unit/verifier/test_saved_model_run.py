"""Runs where TensorFlow is: in an environment of the farm, with this project on PYTHONPATH."""

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_worker import StepError, installed_tensorflow

tf = pytest.importorskip("tensorflow", reason="needs an environment with TensorFlow")
v1 = installed_tensorflow.v1()

X = np.float32([[1, 2, 3], [4, 5, 6]])
WORDS = ["cat", "horse", "parrot"]


def add(x):
    """A graph with a variable, and a table whose values come with its initialiser."""
    number = v1.get_variable("number", initializer=np.float32(10))
    if hasattr(v1, "lookup"):
        table = v1.lookup.StaticHashTable(v1.lookup.KeyValueTensorInitializer(WORDS, np.int64([7, 8, 9])), -1)
    else:
        table = tf.contrib.lookup.HashTable(
            tf.contrib.lookup.KeyValueTensorInitializer(WORDS, tf.constant([7, 8, 9], tf.int64)), -1
        )
    return x + number, table.lookup(tf.constant(["horse"]))


def save(folder, *keys):
    """A SavedModel of TensorFlow 1 with a signature for each key."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        total, found = add(x)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        tensor = v1.saved_model.utils.build_tensor_info
        signature = v1.saved_model.signature_def_utils.build_signature_def(
            {"value": tensor(x)}, {"sum": tensor(total), "found": tensor(found)}
        )
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        how = {"signature_def_map": dict.fromkeys(keys, signature)}
        # 1.5 knows it under its old name, the others know both.
        how["legacy_init_op"] = v1.tables_initializer()
        builder.add_meta_graph_and_variables(session, ["serve", "mine"], **how)
        builder.save()
    return folder


@pytest.fixture
def run(run_edge, tmp_path):
    def run_model(folder, values):
        (tmp_path / "given").mkdir()
        np.savez(str(tmp_path / "given" / "given.npz"), **values)
        _, inputs = run_edge("adopt-saved-model", {"model": folder, "dataset": tmp_path / "given"})
        facts, output = run_edge("run-saved-model", {"model": folder, "inputs": inputs})
        return facts, datasets.read(output)

    return run_model


@pytest.mark.parametrize("keys", [["serving_default", "other"], ["only"]])
def test_runs_a_saved_model_of_tensorflow_1_with_its_variables_and_tables(run, tmp_path, keys):
    facts, made = run(save(tmp_path / "model", *keys), {"value": X})
    assert made.arrays["sum"].tolist() == (X + 10).tolist()
    assert made.arrays["found"].tolist() == [8]
    assert [tensor.name for tensor in made.signature.outputs] == ["found", "sum"]
    assert facts["signature"] == keys[0]
    assert facts["tensorflow"] == tf.__version__


def test_runs_the_signature_that_is_asked_for(run_edge, tmp_path):
    folder = tmp_path / "model"
    with tf.Graph().as_default(), v1.Session() as session:
        info = v1.saved_model.utils.build_tensor_info
        signatures = {}
        for key, factor in (("serving_default", 2.0), ("other", 3.0)):
            x = v1.placeholder(tf.float32, [None, len(key)], name="x_" + key)
            signatures[key] = v1.saved_model.signature_def_utils.build_signature_def(
                {"value": info(x)}, {"product": info(x * factor)}
            )
        builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    part = {"signature_key": "other", "tags": ["serve"]}
    _, inputs = run_edge("sample-saved-model", {"model": folder}, part)
    facts, output = run_edge("run-saved-model", {"model": folder, "inputs": inputs}, part)
    given = datasets.read(inputs).arrays["value"]
    assert given.shape == (1, len("other"))
    assert datasets.read(output).arrays["product"].tolist() == (given * np.float32(3)).tolist()
    assert facts["signature"] == "other"


@pytest.mark.parametrize(("keys", "told"), [([], "none at all"), (["one", "other"], "one, other")])
def test_a_model_without_a_signature_to_choose_says_so(run, tmp_path, keys, told):
    with pytest.raises(StepError) as caught:
        run(save(tmp_path / "model", *keys), {"value": X})
    assert caught.value.reason == "SIGNATURE_NOT_FOUND"
    assert told in caught.value.message


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_damaged_variables_are_told(run, tmp_path, harm):
    folder = save(tmp_path / "model", "serving_default")
    (data,) = (folder / "variables").glob("*.data-*")
    (index,) = (folder / "variables").glob("*.index")
    if harm == "cut":
        data.write_bytes(data.read_bytes()[:2])
    else:
        data.unlink()
        index.unlink()
    with pytest.raises(StepError) as caught:
        run(folder, {"value": X})
    assert caught.value.reason == "CHECKPOINT_UNREADABLE"


def test_a_run_that_fails_is_typed(run, tmp_path, run_edge):
    folder = save(tmp_path / "model", "serving_default")
    graph = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(graph.replace(b"LookupTableFindV2", b"LookupTableFindX2"))
    with pytest.raises(StepError) as caught:
        run(folder, {"value": X})
    assert caught.value.reason == "GRAPH_NOT_READABLE"
    assert "LookupTableFindX2" in caught.value.message


def test_agrees_with_the_session_that_wrote_a_real_model(run, corpus):
    folder = corpus / "mtcnn" / "tf1.9.0" / "pnet"
    golden = np.load(str(folder / "golden.npz"))
    (key,) = [name for name in golden.files if "input" in name]
    _, made = run(folder / "saved_model", {"input": golden[key]})
    for name in ("prob", "bbox"):
        # Sums of float32 in another order, relative to outputs of the size of 1.
        np.testing.assert_allclose(made.arrays[name], golden[name], atol=5e-6)
