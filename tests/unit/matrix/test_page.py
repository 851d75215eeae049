"""The page of the environments: what a record becomes on it, and what it does not pass over."""

from dataclasses import replace

import pytest
from matrix import page
from matrix.conversions import TFLITE
from matrix.records import Outcome, Record

GOOD = Outcome(engine="TOCO", api="tf.lite.TFLiteConverter", error=2e-7, run_by="tf-1.13", verification="PASSED")
WRITTEN = {"saved_model": "it has none", "keras_saved_model": "it has none", "keras_v3": "HDF5 | under another name"}
REFUSED = Outcome(reason="CONVERTER_NOT_AVAILABLE", message="TensorFlow 1.13.2 has no MLIR.")


@pytest.fixture
def record() -> Record:
    outcomes = {one.label: GOOD for one in TFLITE if one.form not in WRITTEN} | {"MLIR": REFUSED}
    return Record(
        name="tf-1.13",
        summary="TensorFlow 1.13",
        python="3.7",
        tensorflow="1.13.2",
        import_seconds=2.26,
        bytes_on_disk=496_000_000,
        not_written=WRITTEN,
        outcomes=outcomes,
    )


def row(record: Record) -> list[str]:
    return [cell.strip() for cell in page.tensorflow_table([record]).splitlines()[-1].strip("|").split("|")]


def test_shows_what_works_and_what_was_measured(record: Record) -> None:
    works = "checkpoint with graph.pb or graph.pbtxt, SavedModel of TensorFlow 1's builder, Keras .h5"
    api = "`tf.lite.TFLiteConverter`"
    assert row(record) == ["tf-1.13", "1.13.2", "3.7", api, works, "**TOCO**", "yes", "2e-07", "2.3", "496"]


def test_tells_whose_interpreter_ran_the_results(record: Record) -> None:
    assert "no; run by tf-1.13" in row(replace(record, no_interpreter="ImportError: none"))


def test_gives_a_reason_for_everything_that_is_not_possible(record: Record) -> None:
    lines = page.reasons([replace(record, no_interpreter="ImportError: none")]).splitlines()

    assert [line for line in lines if not line.startswith("- TensorFlow 1.13.2: ")] == []
    assert len(lines) == len(WRITTEN) + 2
    assert (
        "- TensorFlow 1.13.2: does not convert with MLIR: `CONVERTER_NOT_AVAILABLE`, this TensorFlow has no MLIR."
        in lines
    )
    assert "- TensorFlow 1.13.2: cannot write a Keras .keras: HDF5 \\| under another name" in lines


def test_versions_with_one_reason_stand_together(record: Record) -> None:
    message = REFUSED.message.replace("1.13.2", "1.5.0")
    older = replace(record, tensorflow="1.5.0", outcomes={"MLIR": replace(REFUSED, message=message)})

    assert "- TensorFlow 1.5.0, 1.13.2: does not convert with MLIR" in page.reasons([record, older])


def test_an_environment_that_cannot_be_had_has_a_row_with_the_reason() -> None:
    lacking = Record("tf-1.13", "TensorFlow 1.13", "3.7", "1.13.2", unavailable="there is no Python 3.7")

    assert row(lacking)[:4] == ["tf-1.13", "1.13.2", "3.7", "cannot be had on this machine: there is no Python 3.7"]
    assert page.missing(lacking) == []
    assert page.reasons([lacking]) == ""


def test_gives_what_the_seeds_measured_with_its_unit() -> None:
    notes = {"ten at once": {"peak_bytes": 2_000_000_000, "quick_seconds": 12.345}, "disk": {"together_bytes": 1}}

    assert page.seeds(notes).splitlines()[2:] == ["| ten at once | peak: 2000 MB; quick seconds: 12.3 |"]


def test_a_conversion_that_was_never_tried_is_missed(record: Record) -> None:
    assert page.missing(record) == []
    del record.outcomes["TOCO"]
    assert page.missing(record) == ["TOCO"]
