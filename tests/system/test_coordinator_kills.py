"""The coordinator is killed, or stopped, in the middle of a conversion, and started again: nothing is lost."""

import datetime
from collections.abc import Iterator

import pytest
from asking import Event, Step, Watch, assert_whole, specification, tells_of, told_of
from coordinator_process import CoordinatorProcess
from modelmill.client import Client, Source, conversion_pb2
from step_processes import await_end

SUCCEEDED = conversion_pb2.Conversion.SUCCEEDED

#: The plan for the demo's checkpoint to TFLite; `test_knows_all_steps` holds it against the real one.
STEPS = (
    "inspect",
    "freeze",
    "rewrite.tflite",
    "convert.tflite",
    "sample",
    "reference",
    "run.tflite",
    "compare.tflite",
)


@pytest.fixture
def farm(doomed_coordinator: CoordinatorProcess) -> Iterator[CoordinatorProcess]:
    yield doomed_coordinator
    if not doomed_coordinator.running:  # a test that failed between the kill and the start
        doomed_coordinator.start()


@pytest.fixture
def client(farm: CoordinatorProcess) -> Iterator[Client]:
    with Client(farm.address) as made:
        yield made


def test_knows_all_steps(client: Client, checkpoint: Source):
    spec = specification("tflite", verify=True)
    spec.source.CopyFrom(client.upload(checkpoint))

    assert sorted(step.id for step in client.plan_conversion(spec).steps) == sorted(STEPS)


@pytest.mark.parametrize("step_id", STEPS)
def test_finishes_what_a_kill_interrupted(farm: CoordinatorProcess, client: Client, checkpoint: Source, step_id: str):
    before = farm.results()
    begun = client.begin(checkpoint, specification("tflite", verify=True))
    watch = Watch(client, begun.id)
    watch.until(tells_of(step_id))

    workers = farm.descendants()
    farm.kill()
    killed = now()
    committed = farm.results()
    await_end(*workers)
    farm.start()

    events = watch.to_end()
    assert client.get_conversion(begun.id).state == SUCCEEDED
    assert_whole(events)
    assert events == list(client.watch_conversion(begun.id))
    assert_nothing_ran_twice(farm, events, killed, before, committed)


def test_runs_what_was_begun_a_moment_before_the_kill(farm: CoordinatorProcess, client: Client, checkpoint: Source):
    begun = client.begin(checkpoint, specification("tflite", verify=True))
    farm.kill()
    farm.start()

    events = Watch(client, begun.id).to_end()
    assert client.get_conversion(begun.id).state == SUCCEEDED
    assert_whole(events)


def test_stops_in_the_middle_and_goes_on_at_the_next_start(
    farm: CoordinatorProcess, client: Client, checkpoint: Source
):
    before = farm.results()
    begun = client.begin(checkpoint, specification("tflite", verify=True))
    watch = Watch(client, begun.id)
    watch.until(tells_of("convert.tflite"))

    workers = farm.descendants()
    assert farm.stop() == 0
    killed = now()
    committed = farm.results()
    assert not any(process.is_running() for process in workers)
    assert not list((farm.home / "run").glob("*"))
    farm.start()

    events = watch.to_end()
    assert client.get_conversion(begun.id).state == SUCCEEDED
    assert_whole(events)
    assert not told_of(events, Step.FAILED)
    assert not told_of(events, Step.CANCELLED)
    assert_nothing_ran_twice(farm, events, killed, before, committed)


def test_cancels_what_a_kill_interrupted(farm: CoordinatorProcess, client: Client, checkpoint: Source):
    begun = client.begin(checkpoint, specification("test-sleep"))
    watch = Watch(client, begun.id)
    watch.until(tells_of("sleep.test-sleep", Step.RUNNING))
    farm.kill()
    farm.start()

    client.cancel_conversion(begun.id)

    events = watch.to_end()
    assert events[-1].state_change.state == conversion_pb2.Conversion.CANCELLED
    assert_whole(events)


def assert_nothing_ran_twice(
    farm: CoordinatorProcess,
    events: list[Event],
    killed: datetime.datetime,
    before: dict,
    committed: dict,
) -> None:
    """Of the steps whose result was in the store at the kill none ran again, and each of the others ran to its end."""
    results = farm.results()
    assert {file: results[file] for file in committed} == committed
    assert len(results) - len(before) == len(STEPS)
    late = [event for event in events if event.time.ToDatetime(datetime.UTC) > killed]
    early = events[: len(events) - len(late)]
    assert not set(told_of(early, Step.SUCCEEDED)) & {event.step_change.id for event in late}
    assert len(set(told_of(late, Step.RUNNING))) <= len(results) - len(committed)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
