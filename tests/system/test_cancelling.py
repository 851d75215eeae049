"""Cancelling: the step's process is gone, the watch ends, and nobody else's work is touched."""

from pathlib import Path

from asking import Step, Watch, assert_whole, convert, specification, step_of, tells_of
from coordinator_process import CoordinatorProcess
from modelmill.client import Client, conversion_pb2
from step_processes import await_end, step_process

CANCELLED = conversion_pb2.Conversion.CANCELLED
SUCCEEDED = conversion_pb2.Conversion.SUCCEEDED
SLEEP = "sleep.test-sleep"


def test_ends_the_running_step_at_once(shared_coordinator: CoordinatorProcess, client: Client, frozen: Path):
    begun = client.begin(frozen, specification("test-sleep"))
    watch = Watch(client, begun.id)
    watch.until(tells_of(SLEEP, Step.RUNNING))
    process = step_process(shared_coordinator, "base")

    client.cancel_conversion(begun.id)

    await_end(process)
    events = watch.to_end()
    assert_whole(events)
    assert events[-1].state_change.state == CANCELLED
    conversion = client.get_conversion(begun.id)
    assert conversion.state == CANCELLED
    assert not conversion.HasField("failure")
    step = step_of(conversion, SLEEP)
    assert (step.state, step.failure.reason) == (Step.CANCELLED, "STEP_CANCELLED")
    assert not any(result.HasField("artifact") for result in conversion.results)
    assert convert(client, frozen, specification("test-copy")).state == SUCCEEDED


def test_ends_what_has_hardly_begun(client: Client, frozen: Path):
    begun = client.begin(frozen, specification("test-sleep"))
    assert begun.state == conversion_pb2.Conversion.QUEUED

    client.cancel_conversion(begun.id)

    events = Watch(client, begun.id).to_end()
    assert events[-1].state_change.state == CANCELLED
    assert not any(tells_of(SLEEP, Step.RUNNING)(event) for event in events)


def test_leaves_what_was_cancelled_twice_or_has_ended_as_it_is(client: Client, frozen: Path):
    begun = client.begin(frozen, specification("test-sleep"))
    watch = Watch(client, begun.id)
    watch.until(tells_of(SLEEP, Step.RUNNING))
    client.cancel_conversion(begun.id)
    client.cancel_conversion(begun.id)
    assert_whole(watch.to_end())
    ended = client.get_conversion(begun.id)
    assert client.cancel_conversion(begun.id) == ended

    copied = convert(client, frozen, specification("test-copy"))
    assert client.cancel_conversion(copied.id) == copied
    assert copied.state == SUCCEEDED


def test_leaves_a_shared_step_to_whoever_else_waits_for_it(
    shared_coordinator: CoordinatorProcess, client: Client, frozen: Path
):
    spec = specification("test-sleep", options={"seconds": 2})
    first = client.begin(frozen, spec)
    Watch(client, first.id).until(tells_of(SLEEP, Step.RUNNING))
    process = step_process(shared_coordinator, "base")
    second = client.begin(frozen, spec)
    watch = Watch(client, second.id)
    watch.until(tells_of(SLEEP, Step.RUNNING))

    client.cancel_conversion(first.id)

    Watch(client, first.id).to_end()
    assert client.get_conversion(first.id).state == CANCELLED
    assert step_process(shared_coordinator, "base") == process
    watch.to_end()
    assert client.get_conversion(second.id).state == SUCCEEDED
