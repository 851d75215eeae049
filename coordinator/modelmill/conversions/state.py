"""A conversion as a value, and the pure function that says what an event makes of it.

The journal keeps events; a conversion is what its events add up to. So whoever has the events knows the
state: a client that watches, a coordinator that was restarted, a test that replays a recorded history.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from modelmill.errors import Failure
from modelmill.planning import ConversionSpec, Plan
from modelmill.values import Artifact


class ConversionState(enum.Enum):
    """The names are those of conversion.proto."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        """Nothing can happen to it any more."""
        return self in (ConversionState.SUCCEEDED, ConversionState.FAILED, ConversionState.CANCELLED)


class StepState(enum.Enum):
    """The names are those of conversion.proto."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"

    @property
    def ended(self) -> bool:
        """Nothing can happen to it any more."""
        return self not in (StepState.QUEUED, StepState.RUNNING)


@dataclass(frozen=True)
class StepRecord:
    """What has become of one step. Times are in UTC, run_seconds in seconds, peak_memory in bytes."""

    id: str
    state: StepState
    cached: bool = False
    start_time: datetime | None = None
    end_time: datetime | None = None
    run_seconds: float = 0.0
    peak_memory: int = 0
    output: Artifact | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    attempts: int = 0

    def to_json(self) -> dict[str, Any]:
        """This record as a JSON object."""
        return {
            "id": self.id,
            "state": self.state.value,
            "cached": self.cached,
            "start_time": _text(self.start_time),
            "end_time": _text(self.end_time),
            "run_seconds": self.run_seconds,
            "peak_memory": self.peak_memory,
            "output": self.output.to_json() if self.output else None,
            "facts": dict(self.facts),
            "failure": self.failure.to_json() if self.failure else None,
            "attempts": self.attempts,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StepRecord:
        """The inverse of `to_json`."""
        return cls(
            id=data["id"],
            state=StepState(data["state"]),
            cached=data["cached"],
            start_time=_time(data["start_time"]),
            end_time=_time(data["end_time"]),
            run_seconds=data["run_seconds"],
            peak_memory=data["peak_memory"],
            output=Artifact.from_json(data["output"]) if data["output"] else None,
            facts=data["facts"],
            failure=Failure.from_json(data["failure"]) if data["failure"] else None,
            attempts=data["attempts"],
        )


class EventKind(enum.Enum):
    """What an event tells; the names are the fields of conversion.proto's Event."""

    STATE_CHANGE = "state_change"
    PLANNED = "planned"
    STEP_CHANGE = "step_change"
    STEP_PROGRESS = "step_progress"
    STEP_LOG = "step_log"
    RESULT = "result"


@dataclass(frozen=True)
class Event:
    """Something that happened to a conversion; sequence numbers start at 1 and have no holes."""

    sequence: int
    time: datetime
    kind: EventKind
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Conversion:
    """A conversion as its events have made it."""

    id: str
    request_id: str
    spec: ConversionSpec
    create_time: datetime
    state: ConversionState = ConversionState.QUEUED
    start_time: datetime | None = None
    end_time: datetime | None = None
    plan: Plan | None = None
    steps: Mapping[str, StepRecord] = field(default_factory=dict)
    results: tuple[Mapping[str, Any], ...] = ()
    failure: Failure | None = None


def apply_event(conversion: Conversion, event: Event) -> Conversion:
    """What an event makes of a conversion. Events after its end change nothing."""
    if conversion.state.ended:
        return conversion
    payload = event.payload
    if event.kind is EventKind.STATE_CHANGE:
        return _change_state(conversion, event)
    if event.kind is EventKind.PLANNED:
        plan = Plan.from_json(payload)
        steps = {step.id: StepRecord(step.id, StepState.QUEUED) for step in plan.steps}
        return replace(conversion, plan=plan, steps={**steps, **conversion.steps})
    if event.kind is EventKind.STEP_CHANGE:
        record = StepRecord.from_json(payload)
        return replace(conversion, steps={**conversion.steps, record.id: record})
    if event.kind is EventKind.RESULT:
        others = tuple(result for result in conversion.results if result["label"] != payload["label"])
        return replace(conversion, results=(*others, payload))
    return conversion


def _change_state(conversion: Conversion, event: Event) -> Conversion:
    state = ConversionState(event.payload["state"])
    failure = event.payload.get("failure")
    started = event.time if state is ConversionState.RUNNING else None
    return replace(
        conversion,
        state=state,
        start_time=conversion.start_time or started,
        end_time=event.time if state.ended else None,
        failure=Failure.from_json(failure) if failure else None,
    )


def _text(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
