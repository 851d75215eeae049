"""How the system tests ask for conversions, follow them, and wait for what they need to see."""

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from modelmill.client import Client, conversion_pb2

Conversion = conversion_pb2.Conversion
Event = conversion_pb2.Event
Step = conversion_pb2.Step

#: Seconds after which something that was waited for will not come any more, on a machine with other things to do.
PATIENCE = 120.0


def specification(
    *targets: str,
    options: dict | None = None,
    salt: str | None = None,
    verify: bool = False,
    deadline: float = 0,
    memory: int = 0,
) -> conversion_pb2.ConversionSpec:
    """What is wanted; without a salt, nothing of it is in any cache.

    deadline: seconds of a step. memory: bytes of a step.
    """
    spec = conversion_pb2.ConversionSpec(salt=str(uuid.uuid4()) if salt is None else salt)
    for target in targets:
        spec.targets.add(name=target).options.update(options or {})
    spec.verification.skip = not verify
    spec.limits.step_deadline.FromMilliseconds(int(deadline * 1000))
    spec.limits.step_memory = memory
    return spec


def convert(client: Client, source: Path, spec: conversion_pb2.ConversionSpec) -> Conversion:
    """The conversion as it ended; nothing is downloaded."""
    begun = client.begin(source, spec)
    for _ in client.watch_conversion(begun.id):
        pass
    return client.get_conversion(begun.id)


def step_of(conversion: Conversion, step_id: str) -> Step:
    """A step's record; KeyError where there is none."""
    return {step.id: step for step in conversion.steps}[step_id]


def wait_for(what: Callable[[], object], meaning: str) -> object:
    """What the call returns, as soon as that is true."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{meaning}: waited for {PATIENCE:g} s in vain")


def tells_of(step_id: str, *states: int) -> Callable[[Event], bool]:
    """Whether an event is about a step: that it came into one of these states or, without states, anything."""

    def tells(event: Event) -> bool:
        if states:
            return event.step_change.id == step_id and event.step_change.state in states
        return step_id in (event.step_change.id, event.step_progress.step_id, event.step_log.step_id)

    return tells


def told_of(events: Iterable[Event], state: int) -> list[str]:
    """The ids of the steps that came into a state, once for each time that this was told."""
    return [event.step_change.id for event in events if event.step_change.id and event.step_change.state == state]


def assert_whole(events: list[Event]) -> None:
    """No hole in the sequence, nothing twice, an end."""
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    states = [event.state_change.state for event in events if event.HasField("state_change")]
    assert states == sorted(set(states)), "a state was told twice, or after a later one"
    plans = [[step.id for step in event.planned.steps] for event in events if event.HasField("planned")]
    assert plans, "no plan was told"
    assert all(later[: len(plan)] == plan for plan, later in itertools.pairwise(plans)), "a plan lost steps"
    ended = [
        event.step_change.id
        for event in events
        if event.HasField("step_change") and event.step_change.state not in (Step.QUEUED, Step.RUNNING)
    ]
    assert len(ended) == len(set(ended)), "a step ended twice"
    labels = [event.result.target for event in events if event.HasField("result")]
    assert len(labels) == len(set(labels))


class Watch:
    """A client's watch in a thread of its own, from the beginning to the end of the conversion."""

    def __init__(self, client: Client, conversion_id: str) -> None:
        self._client = client
        self._id = conversion_id
        self._events: list[Event] = []
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name=f"watch {conversion_id}", daemon=True)
        self._thread.start()

    def until(self, meets: Callable[[Event], bool]) -> Event:
        """The first event that is meant; AssertionError where the conversion ended without."""
        deadline = time.monotonic() + PATIENCE
        for number in itertools.count():
            with self._changed:
                while len(self._events) <= number:
                    if self._error is not None:
                        raise self._error
                    assert self._thread.is_alive(), f"the conversion ended without it: {self._events[-1:]}"
                    assert time.monotonic() < deadline, f"waited for an event in vain; the last: {self._events[-1:]}"
                    self._changed.wait(0.1)
                if meets(self._events[number]):
                    return self._events[number]
        raise AssertionError

    def seen(self) -> list[Event]:
        """The events so far."""
        with self._changed:
            return list(self._events)

    def to_end(self) -> list[Event]:
        """All events."""
        self._thread.join(PATIENCE)
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive(), f"the conversion does not end; the last event: {self._events[-1:]}"
        return self._events

    def _follow(self) -> None:
        try:
            for event in self._client.watch_conversion(self._id):
                with self._changed:
                    self._events.append(event)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - told by `until` and `to_end`
            self._error = error
