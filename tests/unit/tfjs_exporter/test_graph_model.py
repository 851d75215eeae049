import base64
import json
import os
import shutil
from pathlib import Path

import pytest
from modelmill_tfjs_exporter import graph_model


def encoded(*names):
    return {"list": {"s": [base64.b64encode(name.encode()).decode() for name in names]}}


@pytest.fixture
def folder(tmp_path):
    model = {
        "format": "graph-model",
        "generatedBy": "2.19.1",
        "convertedBy": "TensorFlow.js Converter v4.22.0",
        "modelTopology": {
            "node": [
                {"name": "x", "op": "Placeholder"},
                {"name": "w", "op": "Const"},
                {"name": "a", "op": "_FusedConv2D", "attr": {"fused_ops": encoded("BiasAdd", "Prelu")}},
                {"name": "b", "op": "_FusedConv2D", "attr": {"fused_ops": encoded("BiasAdd")}},
                {"name": "c", "op": "Relu", "attr": {"T": {"type": "DT_FLOAT"}}},
            ],
            "library": {"function": [{"nodeDef": [{"name": "i", "op": "Less"}]}, {"signature": {"name": "empty"}}]},
        },
        "weightsManifest": [{"paths": ["one.bin", "two.bin"], "weights": []}, {"paths": ["three.bin"], "weights": []}],
    }
    (tmp_path / "model.json").write_text(json.dumps(model))
    return tmp_path


def test_counts_operators_without_weights_and_with_functions(folder):
    assert graph_model.read(folder).operators == {"Placeholder": 1, "_FusedConv2D": 2, "Relu": 1, "Less": 1}


def test_tells_what_was_fused(folder):
    assert graph_model.read(folder).fused == {"_FusedConv2D(BiasAdd, Prelu)": 1, "_FusedConv2D(BiasAdd)": 1}


def test_lists_shards_in_order(folder):
    assert graph_model.read(folder).shards == ("one.bin", "two.bin", "three.bin")


def test_reads_a_real_graph_model(tmp_path):
    project = Path(__file__).resolve().parents[3]
    corpus = Path(os.environ.get("MODELMILL_CORPUS", str(project.parent / "shared" / "corpus")))
    if not corpus.is_dir():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    original = corpus / "tfjs" / "posenet"
    shutil.copy(original / "posenet.json", tmp_path / "model.json")
    found = graph_model.read(tmp_path)
    assert found.operators["_FusedConv2D"] > 10
    assert any(name.startswith("_FusedConv2D(BiasAdd, Relu6)") for name in found.fused)
    assert all((original / shard).exists() for shard in found.shards)
