import json

import pytest
from matrices import add_version, fails, passes, small
from modelmill.cli.matrix_rows import State, other_notes, rows_of
from modelmill.cli.matrix_text import text_of, verdict
from modelmill.client import conversion_pb2


@pytest.fixture
def rows():
    return {row.tensorflow: row for row in rows_of(small())}


def test_there_is_a_row_for_each_version_in_the_order_of_versions(rows):
    assert list(rows) == ["1.5.0", "1.6.0", "1.7.1", "1.9.0", "1.10.1", "2.15.1", "2.16.2"]
    assert {row.target for row in rows.values()} == {"tflite"}


def test_a_version_that_is_done_tells_what_it_made_and_how_far_it_is_off(rows):
    row = rows["2.15.1"]
    assert (row.state, row.environment, row.label) == (State.DONE, "tf-2.15", "tflite@2.15.1")
    assert (row.size, row.seconds, row.cached) == (1024, 1.5, False)
    assert row.operators == {"CONV_2D": 2, "PRELU": 1}
    assert row.operator_count == 3
    assert row.max_abs_error == pytest.approx(1e-7)
    assert row.of_range == pytest.approx(5e-8)
    assert (row.reason, row.sentence) == ("", "")


def test_the_farthest_version_is_named_among_those_that_are_right(rows):
    assert (rows["2.15.1"].farthest.label, rows["2.15.1"].farthest.max_abs) == ("tflite@1.10.1", 4e-7)
    assert {one.label: one.max_abs for one in rows["2.15.1"].differences}["tflite@1.9.0"] == 0.5
    assert (rows["1.9.0"].farthest.label, rows["1.9.0"].farthest.max_abs) == ("tflite@2.15.1", 0.5)
    assert rows["2.16.2"].farthest is None


def test_wrong_numbers_are_told_from_failures(rows):
    wrong, failed = rows["1.9.0"], rows["1.5.0"]
    assert (wrong.state, wrong.reason) == (State.WRONG_NUMBERS, "VERIFICATION_FAILED")
    assert wrong.max_abs_error == 0.5
    assert (failed.state, failed.reason) == (State.FAILED, "UNSUPPORTED_OPERATION")
    assert (failed.size, failed.max_abs_error, failed.operator_count, failed.seconds) == (None, None, None, 0.25)
    assert failed.environment == "tf-1.5"


def test_what_could_not_be_checked_is_done_and_says_so(rows):
    row = rows["2.16.2"]
    assert (row.state, row.max_abs_error, row.of_range) == (State.DONE, None, None)
    assert row.sentence == "there is no interpreter."


def test_a_check_that_broke_is_not_done():
    conversion = conversion_pb2.Conversion()
    result = add_version(conversion, "2.0.4")
    result.verification.state, result.verification.reason = conversion_pb2.Verification.FAILED, "the runner crashed"
    (row,) = rows_of(conversion)
    assert (row.state, row.reason, row.sentence) == (State.UNCHECKED, "CHECK_FAILED", "the runner crashed")


def test_what_the_plan_left_out_is_a_row_and_no_note(rows):
    assert rows["1.7.1"].state is State.LEFT_OUT
    assert rows["1.7.1"].sentence == "there is no CPython 3.6: install it."
    assert other_notes(small()) == ["something else"]


def test_a_cancelled_conversion_has_rows_that_did_not_run():
    conversion = conversion_pb2.Conversion(state=conversion_pb2.Conversion.CANCELLED)
    conversion.results.add(target="tflite@2.0.4", tensorflow="2.0.4")
    assert [row.state for row in rows_of(conversion)] == [State.NOT_RUN]


def test_of_several_ways_that_were_tried_the_one_that_made_it_counts():
    conversion = conversion_pb2.Conversion()
    fails(conversion, "2.0.4", "STEP_SIGNALLED", "It died.")
    del conversion.results[:]
    passes(add_version(conversion, "2.0.4", "tf-2.0", seconds=3))
    (row,) = rows_of(conversion)
    assert (row.environment, row.seconds) == ("tf-2.0", 3)


def test_an_artifact_that_several_versions_share_counts_for_each():
    """Equal bytes of two versions: each row has the step of its own."""
    conversion = conversion_pb2.Conversion()
    for version, took in (("2.0.4", 1), ("2.1.4", 2)):
        result = add_version(conversion, version, f"tf-{version[:3]}", seconds=took)
        for files in (conversion.steps[-1].output.files, result.artifact.files):
            files[0].digest = "same"
    assert [(row.environment, row.seconds) for row in rows_of(conversion)] == [("tf-2.0", 1), ("tf-2.1", 2)]


def test_rows_are_json(rows):
    data = json.loads(json.dumps([row.to_json() for row in rows.values()]))
    assert data[3]["state"] == "WRONG_NUMBERS"
    assert data[3]["differences"][0] == {"label": "tflite@2.15.1", "max_abs_difference": 0.5, "of_range": 0.25}
    assert data[0]["reason"] == "UNSUPPORTED_OPERATION"


def test_the_text_has_a_line_for_each_version_and_each_reason_once(rows):
    lines = text_of(list(rows.values()), ["something else"]).splitlines()
    found = {line.split()[0]: line for line in lines[2:9]}
    assert list(found) == list(rows)
    assert found["2.15.1"].split() == (
        ["2.15.1", "tf-2.15", "done", "1.0", "KiB", "3", "1.50", "1e-07", "5e-08", "1.10.1", "4e-07", "2e-07"]
    )
    assert "failed: UNSUPPORTED_OPERATION" in found["1.5.0"]
    assert "wrong numbers" in found["1.9.0"]
    assert "1.6.0, 1.7.1: left out: there is no CPython 3.6: install it." in lines
    assert "1.5.0: UNSUPPORTED_OPERATION: TOCO does not know <LeakyRelu>." in lines
    assert "note: something else" in lines
    assert lines[-1] == "3 done, 1 wrong numbers, 1 failed, 2 left out"


def test_targets_have_tables_of_their_own():
    conversion = small()
    passes(add_version(conversion, "2.19.1", "tfjs-4", target="tfjs"))
    rows = rows_of(conversion)
    assert [row.target for row in rows][-1] == "tfjs"
    text = text_of(rows, [])
    assert text.startswith("tflite\nversion")
    assert "\n\ntfjs\nversion" in text


def test_nothing_at_all_is_told():
    assert verdict(rows_of(conversion_pb2.Conversion())) == "no version can make it"
