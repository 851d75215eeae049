"""Replays histories of events, as the journal keeps them."""

from datetime import UTC, datetime, timedelta

import pytest
from modelmill.conversions.state import (
    Conversion,
    ConversionState,
    Event,
    EventKind,
    StepRecord,
    StepState,
    apply_event,
)
from modelmill.errors import Failure, Fault
from modelmill.planning import ConversionSpec, Delivery, Plan, PlannedStep, TargetRequest
from modelmill.values import Artifact, File

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOURCE = Artifact("", (File("graph.pb", "a" * 64, 10),))
STEP = PlannedStep("freeze", "freezer", "freeze", "tf-1.15", {"model": "source"}, {}, "tf.frozen_graph", "", "why")
PLAN = Plan({"kind": "tf.checkpoint"}, (STEP,), (Delivery("tflite", "freeze"),), ("a note",))
FAILURE = Failure("STEP_SIGNALLED", "It was killed.", Fault.TOOL, {"signal": "SIGKILL"}, "the end of the log")


def queued() -> Conversion:
    return Conversion("c1", "r1", ConversionSpec(SOURCE, (TargetRequest("tflite"),)), START)


def replay(*entries: tuple[EventKind, dict]) -> Conversion:
    conversion = queued()
    for number, (kind, payload) in enumerate(entries, 1):
        conversion = apply_event(conversion, Event(number, START + timedelta(seconds=number), kind, payload))
    return conversion


def state(name: str, failure: Failure | None = None) -> tuple[EventKind, dict]:
    return EventKind.STATE_CHANGE, {"state": name, "failure": failure.to_json() if failure else None}


def step(record: StepRecord) -> tuple[EventKind, dict]:
    return EventKind.STEP_CHANGE, record.to_json()


def test_a_run_from_start_to_success() -> None:
    done = StepRecord("freeze", StepState.SUCCEEDED, output=SOURCE, run_seconds=0.5, attempts=1)
    conversion = replay(state("RUNNING"), (EventKind.PLANNED, PLAN.to_json()), step(done), state("SUCCEEDED"))
    assert conversion.state is ConversionState.SUCCEEDED
    assert conversion.plan == PLAN
    assert conversion.steps == {"freeze": done}
    assert conversion.start_time == START + timedelta(seconds=1)
    assert conversion.end_time == START + timedelta(seconds=4)


def test_planned_steps_are_queued_until_they_run() -> None:
    conversion = replay(state("RUNNING"), (EventKind.PLANNED, PLAN.to_json()))
    assert conversion.steps["freeze"].state is StepState.QUEUED


def test_a_second_start_after_a_crash_keeps_the_first_start_time() -> None:
    conversion = replay(state("RUNNING"), state("RUNNING"))
    assert conversion.start_time == START + timedelta(seconds=1)


def test_a_failure_is_kept_whole() -> None:
    conversion = replay(state("RUNNING"), state("FAILED", FAILURE))
    assert conversion.failure == FAILURE


def test_a_plan_told_again_does_not_forget_steps_that_ended() -> None:
    done = StepRecord("freeze", StepState.SUCCEEDED)
    conversion = replay((EventKind.PLANNED, PLAN.to_json()), step(done), (EventKind.PLANNED, PLAN.to_json()))
    assert conversion.steps["freeze"] == done


def test_a_result_told_again_replaces_the_first() -> None:
    result = {"label": "tflite", "artifact": None, "verification": None, "failure": None}
    again = {**result, "artifact": SOURCE.to_json()}
    conversion = replay((EventKind.RESULT, result), (EventKind.RESULT, again))
    assert conversion.results == (again,)


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "CANCELLED"])
def test_nothing_happens_after_the_end(end: str) -> None:
    ended = replay(state(end))
    assert ended.state.ended
    assert replay(state(end), state("RUNNING"), step(StepRecord("late", StepState.RUNNING))) == ended


def test_a_step_record_survives_the_journal() -> None:
    record = StepRecord(
        "freeze", StepState.FAILED, True, START, START, 1.5, 100, SOURCE, {"notes": ["x"]}, FAILURE, attempts=3
    )
    assert StepRecord.from_json(record.to_json()) == record
