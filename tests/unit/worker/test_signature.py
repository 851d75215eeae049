import json

from modelmill_worker import signature as signatures
from modelmill_worker.reference_run import ReferenceRun, StandIn
from modelmill_worker.signature import FILE_NAME, Signature, Tensor

PLAIN = Signature((Tensor("x", "x:0", "float32", (-1, 3)),), (Tensor("y", "y:0", "float32", None),), 0.5)


def test_a_signature_is_read_as_it_was_written(tmp_path):
    signatures.write(tmp_path, PLAIN)
    assert signatures.read(tmp_path) == PLAIN


def test_a_model_built_for_inference_says_nothing_of_a_reference_run(tmp_path):
    signatures.write(tmp_path, PLAIN)
    assert sorted(json.loads((tmp_path / FILE_NAME).read_text())) == ["expected_error", "inputs", "outputs"]


def test_how_the_source_is_run_to_compare_with_is_kept(tmp_path):
    stand_ins = (
        StandIn("is_training:0", value=False),
        StandIn("keep_prob:0", value=0.0),
        StandIn("dropout/mul:0", source="x:0"),
        StandIn("bn:0", source="conv:0", mean="mean/read:0", variance="variance/read:0"),
    )
    reference = ReferenceRun({"batch:1": "batch:1"}, stand_ins, 32, "It is random.")
    trained = Signature(PLAIN.inputs, PLAIN.outputs, reference=reference)
    signatures.write(tmp_path, trained)
    assert signatures.read(tmp_path) == trained
    written = json.loads((tmp_path / FILE_NAME).read_text())["reference"]
    assert written["stand_ins"][0] == {"tensor": "is_training:0", "value": False}
    assert written["stand_ins"][1] == {"tensor": "keep_prob:0", "value": 0.0}
