"""Models are written by hand as TensorFlow.js reads them, and run by a real Node."""

import base64
import json
import shutil

import numpy as np
import pytest
from modelmill_verifier import datasets, tfjs_run
from modelmill_verifier.datasets import Dataset
from modelmill_worker import StepError
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

needs_node = pytest.mark.skipif(
    tfjs_run.why_not_here() is not None, reason=tfjs_run.why_not_here() or "everything is there"
)
FLOAT = {"type": "DT_FLOAT"}


def placeholder(name, dtype="DT_FLOAT"):
    return {
        "name": name,
        "op": "Placeholder",
        "attr": {"dtype": {"type": dtype}, "shape": {"shape": {"unknownRank": True}}},
    }


def node(name, operation, *inputs, **attributes):
    return {"name": name, "op": operation, "input": list(inputs), "attr": {"T": FLOAT, **attributes}}


def floats(name, shape=(-1,), dtype="float32"):
    return Tensor(name, name if ":" in name else name + ":0", dtype, shape)


@pytest.fixture
def run(run_edge, tmp_path):
    """Run nodes, with the weight w = [10, 20, 30] in two shards, on arrays."""

    def run_model(nodes, inputs, outputs, arrays, expected_error=0.25):
        weight = {"name": "w", "op": "Const", "attr": {"dtype": FLOAT, "value": {"tensor": {"dtype": "DT_FLOAT"}}}}
        model = {
            "format": "graph-model",
            "modelTopology": {"node": [*nodes, weight], "versions": {"producer": 1000}},
            "weightsManifest": [
                {"paths": ["one.bin", "two.bin"], "weights": [{"name": "w", "shape": [3], "dtype": "float32"}]}
            ],
        }
        signature = Signature(tuple(inputs), tuple(outputs), expected_error)
        for name in ("model", "inputs"):
            (tmp_path / name).mkdir()
        (tmp_path / "model" / "model.json").write_text(json.dumps(model))
        content = np.float32([10, 20, 30]).tobytes()
        (tmp_path / "model" / "one.bin").write_bytes(content[:5])
        (tmp_path / "model" / "two.bin").write_bytes(content[5:])
        signatures.write(tmp_path / "model", signature)
        datasets.write(tmp_path / "inputs", Dataset(signature, arrays))
        facts, folder = run_edge("run-tfjs", {"model": tmp_path / "model", "inputs": tmp_path / "inputs"})
        return facts, datasets.read(folder)

    return run_model


@needs_node
def test_runs_a_model_on_wasm_and_keeps_the_names_apart(run):
    nodes = [placeholder("x"), node("sum", "AddV2", "x", "w"), node("less", "Sub", "x", "w")]
    facts, made = run(
        nodes, [floats("x")], [Tensor("minus", "less:0", "float32", (3,)), floats("sum")], {"x": np.float32([1, 2, 3])}
    )

    assert made.arrays["sum"].tolist() == [11, 22, 33]
    assert made.arrays["minus"].tolist() == [-9, -18, -27]
    assert made.signature.expected_error == 0.25
    assert facts["backend"] == "wasm"
    assert "skipped" not in facts


@needs_node
def test_chooses_an_output_of_a_node_by_its_number(run):
    nodes = [placeholder("x"), node("parts", "Unpack", "x", num={"i": "3"}, axis={"i": "0"})]
    _, made = run(
        nodes,
        [floats("x", (3, 2))],
        [floats("parts:2", (2,)), floats("parts:0", (2,))],
        {"x": np.float32([[1, 2], [3, 4], [5, 6]])},
    )

    assert made.arrays["parts:2"].tolist() == [5, 6]
    assert made.arrays["parts:0"].tolist() == [1, 2]


@needs_node
@pytest.mark.parametrize(("flag", "wanted"), [(True, [11, 22, 33]), (False, [-9, -18, -27])])
def test_runs_control_flow(run, flag, wanted):
    nodes = [
        placeholder("x"),
        placeholder("flag", "DT_BOOL"),
        node("switch", "Switch", "x", "flag"),
        node("sum", "AddV2", "switch:1", "w"),
        node("less", "Sub", "switch:0", "w"),
        node("merge", "Merge", "less", "sum", N={"i": "2"}),
    ]
    arrays = {"x": np.float32([1, 2, 3]), "flag": np.array(flag)}
    _, made = run(nodes, [floats("x"), floats("flag", (), "bool")], [floats("merge")], arrays)

    assert made.arrays["merge"].tolist() == wanted


@needs_node
def test_runs_on_cpu_what_wasm_lacks_and_says_so(run):
    equation = {"s": base64.b64encode(b"i,i->i").decode()}
    nodes = [placeholder("x"), node("product", "Einsum", "x", "w", N={"i": "2"}, equation=equation)]
    facts, made = run(nodes, [floats("x")], [floats("product")], {"x": np.float32([1, 2, 3])})

    assert made.arrays["product"].tolist() == [10, 40, 90]
    assert facts["backend"] == "cpu"
    assert "Einsum" in facts["notes"][0]


@needs_node
def test_whole_numbers_and_truth_values_arrive_as_they_are(run):
    nodes = [
        placeholder("i", "DT_INT32"),
        node("same", "Identity", "i", T={"type": "DT_INT32"}),
        node("equal", "Equal", "i", "i", T={"type": "DT_INT32"}),
    ]
    outputs = [floats("same", dtype="int32"), floats("equal", dtype="bool")]
    _, made = run(nodes, [floats("i", dtype="int32")], outputs, {"i": np.int32([-5, 2**31 - 1])})

    assert made.arrays["same"].tolist() == [-5, 2**31 - 1]
    assert made.arrays["same"].dtype == np.int32
    assert made.arrays["equal"].tolist() == [True, True]
    assert made.arrays["equal"].dtype == np.bool_


@needs_node
def test_an_input_that_was_optimised_away_is_not_fed(run):
    arrays = {"x": np.float32([1, 2, 3]), "gone": np.float32([1])}
    _, made = run([placeholder("x"), node("y", "Relu", "x")], [floats("x"), floats("gone")], [floats("y")], arrays)
    assert made.arrays["y"].tolist() == [1, 2, 3]


@needs_node
def test_an_unknown_operation_is_a_typed_failure(run):
    with pytest.raises(StepError) as caught:
        run([placeholder("x"), node("y", "Svd", "x")], [floats("x")], [floats("y")], {"x": np.float32([1])})
    assert caught.value.reason == "MODEL_RUN_FAILED"
    assert "Svd" in caught.value.message
    assert caught.value.fault == "TOOL"


@needs_node
def test_a_real_model_gives_finite_outputs(run_edge, corpus, tmp_path):
    folder = tmp_path / "posenet"
    shutil.copytree(corpus / "tfjs" / "posenet", folder)
    (model_json,) = [path for path in folder.iterdir() if path.suffix == ".json"]
    model_json.rename(folder / "model.json")
    image = json.loads((folder / "model.json").read_text())["signature"]["inputs"]
    (name,) = image
    heatmap = "MobilenetV1/heatmap_2/BiasAdd"
    signature = Signature((Tensor("image", image[name]["name"], "float32", None),), (floats(heatmap, None),))
    signatures.write(folder, signature)
    (tmp_path / "inputs").mkdir()
    datasets.write(tmp_path / "inputs", Dataset(signature, {"image": np.zeros((1, 385, 385, 3), np.float32)}))
    _, output = run_edge("run-tfjs", {"model": folder, "inputs": tmp_path / "inputs"})

    values = datasets.read(output).arrays[heatmap]
    assert values.shape[-1] == 17
    assert np.isfinite(values).all()


def test_says_what_to_install_where_node_is_absent(run, monkeypatch):
    monkeypatch.setenv("PATH", "")
    facts, made = run([placeholder("x")], [floats("x")], [floats("x")], {"x": np.float32([1])})
    assert "Install Node" in facts["skipped"]
    assert made.skipped == facts["skipped"]
    assert made.arrays == {}


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node on PATH")
@pytest.mark.parametrize("value", [None, "", "/nonexistent"])
def test_says_what_to_install_where_the_packages_are_absent(run, monkeypatch, value):
    if value is None:
        monkeypatch.delenv(tfjs_run.MODULES, raising=False)
    else:
        monkeypatch.setenv(tfjs_run.MODULES, value)
    facts, _ = run([placeholder("x")], [floats("x")], [floats("x")], {"x": np.float32([1])})
    assert "npm ci" in facts["skipped"]


def test_what_was_skipped_before_is_passed_on(run_edge, tmp_path):
    signature = Signature((floats("x"),), (floats("y"),))
    for name in ("model", "inputs"):
        (tmp_path / name).mkdir()
    signatures.write(tmp_path / "model", signature)
    datasets.write(tmp_path / "inputs", Dataset(signature, {}, "No values can be made up."))
    facts, folder = run_edge("run-tfjs", {"model": tmp_path / "model", "inputs": tmp_path / "inputs"})

    assert facts["skipped"] == "No values can be made up."
    assert datasets.read(folder).skipped == facts["skipped"]


def test_refuses_inputs_that_were_made_for_another_model(run):
    with pytest.raises(StepError) as caught:
        run([placeholder("x")], [floats("x")], [floats("x")], {"z": np.float32([1])})
    assert caught.value.reason == "INPUT_MISMATCH"
