import json

import numpy as np
import pytest
from modelmill_verifier import datasets
from modelmill_verifier.datasets import Dataset
from modelmill_worker import StepError
from modelmill_worker.signature import Signature, Tensor

OUTPUTS = (Tensor("a", "a:0", "float32", (3,)), Tensor("b", "b:0", "float32", (1,)))
REFERENCE = {"a": np.float32([0, 1, 2]), "b": np.float32([5])}


@pytest.fixture
def compare(run_edge, tmp_path):
    def run(arrays, expected_error=0.0, skipped=None, reference_skipped=None, tolerance=None):
        for name, dataset in (
            ("outputs", Dataset(Signature((), OUTPUTS, expected_error), arrays, skipped)),
            ("reference", Dataset(Signature((), OUTPUTS), REFERENCE, reference_skipped)),
        ):
            (tmp_path / name).mkdir()
            datasets.write(tmp_path / name, dataset)
        inputs = {"outputs": tmp_path / "outputs", "reference": tmp_path / "reference"}
        facts, folder = run_edge("compare", inputs, {"tolerance": tolerance})
        assert json.loads((folder / "report.json").read_text()) == facts
        return facts

    return run


def test_passes_where_every_output_does(compare):
    facts = compare({"a": np.float32([0, 1, 2.01]), "b": np.float32([5])}, expected_error=0.01)

    assert facts["passed"] is True
    assert facts["tolerance"] == 0.01
    assert [output["output"] for output in facts["outputs"]] == ["a", "b"]


def test_fails_where_one_output_does(compare):
    facts = compare({"a": np.float32([0, 1, 2.05]), "b": np.float32([5])}, expected_error=0.01)

    assert facts["passed"] is False
    assert [output["passed"] for output in facts["outputs"]] == [False, True]


def test_the_option_overrules_what_the_conversion_may_cost(compare):
    assert compare({"a": np.float32([0, 1, 2.05]), "b": np.float32([5])}, 0.01, tolerance=0.1)["passed"] is True


def test_a_missing_output_fails(compare):
    facts = compare({"a": REFERENCE["a"]})
    assert facts["passed"] is False
    assert "no such output" in facts["outputs"][1]["reason"]


@pytest.mark.parametrize("side", ["skipped", "reference_skipped"])
def test_what_was_skipped_is_neither_passed_nor_failed(compare, side):
    facts = compare({}, **{side: "There is no Node."})
    assert facts["skipped"] == "There is no Node."
    assert facts["passed"] is None


@pytest.mark.parametrize("tolerance", [-0.1, float("inf"), float("nan")])
def test_refuses_a_tolerance_that_is_none(compare, tolerance):
    with pytest.raises(StepError) as caught:
        compare(REFERENCE, tolerance=tolerance)
    assert caught.value.reason == "INVALID_OPTION"
