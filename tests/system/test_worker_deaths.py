"""Steps that die in every way, and workers that are killed: each has its typed failure, and the next step works."""

import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from asking import Step, Watch, convert, specification, step_of, tells_of, told_of
from coordinator_process import CoordinatorProcess
from google.protobuf import json_format
from modelmill.client import Client, conversion_pb2
from modelmill_protos.v1 import failure_pb2
from step_processes import await_end, step_process, zygote_of

FAILED = conversion_pb2.Conversion.FAILED
SUCCEEDED = conversion_pb2.Conversion.SUCCEEDED
INPUT, TOOL = failure_pb2.Failure.INPUT, failure_pb2.Failure.TOOL
INFRASTRUCTURE = failure_pb2.Failure.INFRASTRUCTURE
MIB = 1 << 20


@dataclass(frozen=True)
class Death:
    """An edge of the misbehaving plug-in and what must come of it; details are those that matter."""

    edge: str
    reason: str
    details: dict = field(default_factory=dict)
    log: str = ""
    options: dict = field(default_factory=dict)
    deadline: float = 0
    memory: int = 0
    fault: int = TOOL


DEATHS = (
    Death("abort", "STEP_SIGNALLED", {"signal": "SIGABRT"}, "about to abort"),
    Death("abort", "STEP_SIGNALLED", {"signal": "SIGABRT"}, "shape.rank() == 4 from C", {"native": True}),
    Death("segfault", "STEP_SIGNALLED", {"signal": "SIGSEGV"}, "nearly there", {"words": "nearly there"}),
    Death("bad-alloc", "STEP_OUT_OF_MEMORY", {"signal": "SIGABRT"}, "std::bad_alloc"),
    Death("eat-memory", "STEP_OUT_OF_MEMORY", {"limit_bytes": 512 * MIB}, memory=512 * MIB),
    Death("grab-memory", "STEP_OUT_OF_MEMORY", options={"mebibytes": 1 << 20}, log="MemoryError", memory=512 * MIB),
    Death("sleep", "STEP_DEADLINE_EXCEEDED", {"deadline_seconds": 1}, "asleep", deadline=1),
    Death("flood-stderr", "STEP_LOG_FLOODED", log="again and again"),
    Death("flood-stderr", "STEP_LOG_FLOODED", log="again and again", options={"native": True}),
    Death("raise", "PLUGIN_RAISED", {"exception": "RuntimeError"}, "Traceback (most recent call last)"),
    Death("explain", "NOT_THIS_MODEL", {"node": "conv1"}, "said", {"words": "said"}, fault=INPUT),
    Death("exit", "STEP_EXITED", {"exit_code": 3}, "leaving"),
    Death("no-output", "PLUGIN_GAVE_NOTHING"),
    Death("link-output", "OUTPUT_REFUSED"),
    Death("rubbish-facts", "NOT_JSON"),
    Death("fill", "DISK_FULL", fault=INFRASTRUCTURE),
)


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: f"{death.edge}{'-'.join(['', *death.options])}")
def test_names_what_a_step_died_of(client: Client, frozen: Path, death: Death):
    target = f"test-{death.edge}"
    spec = specification(target, options=death.options, deadline=death.deadline, memory=death.memory)

    conversion = convert(client, frozen, spec)

    assert conversion.state == FAILED
    failure = conversion.failure
    assert (failure.reason, failure.fault) == (death.reason, death.fault)
    details = json_format.MessageToDict(failure.details)
    assert {name: details.get(name) for name in death.details} == death.details
    assert death.log in failure.log_tail
    assert len(failure.message) > 20
    assert "Traceback" not in failure.message
    assert "\n" not in failure.message
    assert step_of(conversion, f"{death.edge}.{target}").failure == failure
    (result,) = conversion.results
    assert (result.failure, result.HasField("artifact")) == (failure, False)
    assert_works(client, frozen)


def test_runs_a_failed_step_again_when_it_is_asked_for_again(client: Client, frozen: Path):
    spec = specification("test-raise", salt="a salt of its own")
    first, second = convert(client, frozen, spec), convert(client, frozen, spec)

    for conversion in (first, second):
        events = list(client.watch_conversion(conversion.id))
        assert told_of(events, Step.RUNNING).count("raise.test-raise") == 1
        assert told_of(events, Step.FAILED) == ["raise.test-raise"]
    assert first.id != second.id
    others = [step for step in second.steps if step.id != "raise.test-raise"]
    assert all(step.cached for step in others)


def test_tries_again_what_a_killed_host_had(shared_coordinator: CoordinatorProcess, client: Client, frozen: Path):
    watch, conversion_id = begin_slow(client, frozen)
    host = shared_coordinator.hosts()["base"]
    below = host.children(recursive=True)

    host.send_signal(signal.SIGKILL)

    watch.to_end()
    assert_tried_twice(client.get_conversion(conversion_id))
    await_end(host, *below)
    assert shared_coordinator.hosts()["base"].pid != host.pid


def test_tries_again_what_a_killed_zygote_had(shared_coordinator: CoordinatorProcess, client: Client, frozen: Path):
    watch, conversion_id = begin_slow(client, frozen)
    host = shared_coordinator.hosts()["base"]
    zygote = zygote_of(shared_coordinator, "base")
    steps = zygote.children()

    zygote.send_signal(signal.SIGKILL)

    watch.to_end()
    assert_tried_twice(client.get_conversion(conversion_id))
    await_end(zygote, *steps)
    assert shared_coordinator.hosts()["base"].pid == host.pid


def test_gives_up_on_a_step_whose_worker_is_always_lost(
    shared_coordinator: CoordinatorProcess, client: Client, frozen: Path
):
    begun = client.begin(frozen, specification("test-sleep"))
    watch = Watch(client, begun.id)
    for attempt in range(3):
        watch.until(lambda event, attempt=attempt: starts_of(event, watch, attempt))
        step_process(shared_coordinator, "base")
        zygote = zygote_of(shared_coordinator, "base")
        zygote.send_signal(signal.SIGKILL)
        await_end(zygote)

    watch.to_end()
    conversion = client.get_conversion(begun.id)
    assert (conversion.failure.reason, conversion.failure.fault) == ("WORKER_LOST", INFRASTRUCTURE)
    assert step_of(conversion, "sleep.test-sleep").attempts == 3
    assert_works(client, frozen)


def test_names_the_kill_of_a_step_process(shared_coordinator: CoordinatorProcess, client: Client, frozen: Path):
    begun = client.begin(frozen, specification("test-sleep"))
    watch = Watch(client, begun.id)
    watch.until(tells_of("sleep.test-sleep", Step.RUNNING))

    step_process(shared_coordinator, "base").send_signal(signal.SIGKILL)

    watch.to_end()
    failure = client.get_conversion(begun.id).failure
    assert (failure.reason, failure.details["signal"]) == ("STEP_SIGNALLED", "SIGKILL")
    assert_works(client, frozen)


def begin_slow(client: Client, source: Path) -> tuple[Watch, str]:
    """A conversion in whose step there is time to kill something; it is in that step."""
    spec = specification("test-slow-progress", options={"steps": 10, "seconds": 0.1})
    begun = client.begin(source, spec)
    watch = Watch(client, begun.id)
    watch.until(lambda event: event.step_progress.message.startswith("part"))
    return watch, begun.id


def starts_of(event, watch: Watch, attempt: int) -> bool:
    starts = [seen for seen in watch.seen() if tells_of("sleep.test-sleep", Step.RUNNING)(seen)]
    return len(starts) > attempt and event is starts[attempt]


def assert_tried_twice(conversion: conversion_pb2.Conversion) -> None:
    assert conversion.state == SUCCEEDED
    assert step_of(conversion, "slow-progress.test-slow-progress").attempts == 2


def assert_works(client: Client, source: Path) -> None:
    """The next conversion on the same workers succeeds, and none of it comes from the cache."""
    conversion = convert(client, source, specification("test-copy"))
    assert conversion.state == SUCCEEDED
    assert not any(step.cached for step in conversion.steps)
