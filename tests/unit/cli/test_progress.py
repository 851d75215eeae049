import os
import pty
from contextlib import contextmanager

import pytest
from modelmill.cli import progress
from modelmill.cli.progress import BarReporter, LineReporter, reporting
from modelmill.client import Transfer, conversion_pb2

Step = conversion_pb2.Step


def step(state, **fields):
    return conversion_pb2.Event(step_change=Step(id="freeze", state=state, **fields))


def told(fraction, message):
    return conversion_pb2.Event(
        step_progress=conversion_pb2.StepProgress(step_id="freeze", fraction=fraction, message=message)
    )


PLANNED = conversion_pb2.Event(
    planned=conversion_pb2.Plan(steps=[conversion_pb2.PlannedStep(id="freeze", environment="tf-1.15")])
)


def test_lines_tell_each_thing_once(capsys):
    lines = LineReporter()
    for event in (
        PLANNED,
        step(Step.QUEUED),
        told(-1, "installing tf-1.15"),
        told(-1, "installing tf-1.15"),
        step(Step.RUNNING),
        told(0.5, ""),
        step(Step.SUCCEEDED, cached=False),
    ):
        lines.happened(event)
    lines.transferred(Transfer("x", 1, 2048))
    lines.transferred(Transfer("x", 2048, 2048))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "planned 1 steps",
        "freeze: installing tf-1.15",
        "freeze: running in tf-1.15",
        "freeze: done in 0.00 s",
        "uploaded 2.0 KiB",
    ]


def test_a_plan_that_goes_on_tells_what_is_new(capsys):
    lines = LineReporter()
    again = conversion_pb2.Event()
    again.CopyFrom(PLANNED)
    again.planned.steps.add(id="freeze-2", environment="tf-2.4")
    for event in (PLANNED, again, again):
        lines.happened(event)
    assert capsys.readouterr().err.splitlines() == ["planned 1 steps", "planned 1 more steps"]


def test_a_cached_and_a_failed_step_say_so():
    assert progress.describe_step(Step(state=Step.SUCCEEDED, cached=True)) == "from the cache"
    failed = Step(state=Step.FAILED)
    failed.failure.reason = "STEP_SIGNALLED"
    assert progress.describe_step(failed) == "failed: STEP_SIGNALLED"


def test_without_a_terminal_there_are_lines():
    with reporting() as reporter:
        assert isinstance(reporter, LineReporter)


@contextmanager
def terminal():
    """Makes standard error a terminal; gives a function that reads what it shows."""
    reading, writing = pty.openpty()
    with pytest.MonkeyPatch.context() as patch, os.fdopen(writing, "w") as stream:
        patch.setattr("sys.stderr", stream)
        patch.setenv("TERM", "xterm")
        yield lambda: os.read(reading, 1 << 20).decode()
    os.close(reading)


def test_a_terminal_shows_bars_for_what_runs():
    with terminal() as shown:
        with reporting() as reporter:
            assert isinstance(reporter, BarReporter)
            for event in (PLANNED, step(Step.RUNNING), told(0.5, "freezing variables")):
                reporter.happened(event)
            reporter.transferred(Transfer("x", 1024, 2048))
            reporter.transferred(Transfer("x", 2048, 2048))
            reporter.happened(step(Step.SUCCEEDED))
            reporter.said("a [word] in brackets")
        text = shown()
    assert "freezing variables" in text
    assert "a [word] in brackets" in text


def test_a_terminal_shows_what_does_not_tell_how_far_it_is():
    with terminal() as shown:
        with reporting() as reporter:
            reporter.began("inspecting a [model]")
        text = shown()
    assert "inspecting a [model]" in text


def test_what_the_cache_answers_shows_no_bars():
    with terminal(), reporting() as reporter:
        for event in (PLANNED, step(Step.SUCCEEDED, cached=True)):
            reporter.happened(event)
        assert reporter._progress is None
