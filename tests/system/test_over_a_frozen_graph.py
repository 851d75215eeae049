"""SavedModels and Keras models reach what takes only frozen graphs; where there is a direct way, they take that."""

import json
from pathlib import Path

import pytest
from modelmill.client import Client, collect, conversion_pb2

#: Source in the corpus, the step that freezes it, and its outputs.
SOURCES = [
    ("mtcnn/tf1.15.5/pnet/saved_model", "freeze-saved-model", {"bbox", "prob"}),
    ("kws-dscnn/kws_ref_model", "freeze-saved-model", {"dense"}),
    ("mtcnn/keras2/pnet.h5", "freeze-keras-h5", {"bbox", "prob"}),
    ("mtcnn/keras3/pnet.keras", "freeze-keras", {"bbox", "prob"}),
]


@pytest.mark.parametrize(("source", "freezing", "outputs"), SOURCES)
def test_becomes_tensorflow_js(source: str, freezing: str, outputs: set[str], client: Client, corpus: Path, tmp_path):
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name="tfjs")])
    conversion = client.convert(collect(corpus / source), spec, tmp_path / "out")

    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, conversion.failure
    assert [step.id for step in conversion.plan.steps if step.plugin == "freezer"] == [freezing]
    assert json.loads((tmp_path / "out" / "tfjs" / "model.json").read_text())["format"] == "graph-model"
    (result,) = conversion.results
    if result.verification.state == conversion_pb2.Verification.SKIPPED:
        pytest.skip(result.verification.reason)
    assert result.verification.state == conversion_pb2.Verification.PASSED
    assert {compared.output for compared in result.verification.outputs} == outputs
    for compared in result.verification.outputs:
        assert compared.max_abs_error <= 1e-4 * compared.reference_range


@pytest.mark.parametrize("source", ["kws-dscnn/kws_ref_model", "mtcnn/keras2/pnet.h5"])
def test_becomes_tflite_without_a_frozen_graph(source: str, client: Client, corpus: Path, tmp_path):
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name="tflite")])
    conversion = client.convert(collect(corpus / source), spec, tmp_path / "out")

    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, conversion.failure
    assert not [step.id for step in conversion.plan.steps if step.plugin == "freezer"]
