"""Workers that nobody needs are let go, come back when they are needed, and leave nothing behind."""

from collections.abc import Callable
from pathlib import Path

from asking import convert, specification, wait_for
from coordinator_process import CoordinatorProcess
from modelmill.client import Client, collect, conversion_pb2
from step_processes import await_end

SUCCEEDED = conversion_pb2.Conversion.SUCCEEDED


def test_are_let_go_and_started_again(coordinator_of: Callable[..., CoordinatorProcess], frozen: Path):
    coordinator = coordinator_of(MODELMILL_WORKER_IDLE_SECONDS="1").start()
    with Client(coordinator.address) as client:
        assert convert(client, frozen, specification("test-copy")).state == SUCCEEDED
        workers = coordinator.descendants()
        assert workers

        wait_for(lambda: not coordinator.hosts(), "the end of the idle workers")
        await_end(*workers)
        wait_for(lambda: not list((coordinator.home / "run").glob("*")), "an empty folder of runs")

        assert convert(client, frozen, specification("test-copy")).state == SUCCEEDED


def test_are_kept_while_a_step_runs(coordinator_of: Callable[..., CoordinatorProcess], frozen: Path):
    coordinator = coordinator_of(MODELMILL_WORKER_IDLE_SECONDS="0.2").start()
    with Client(coordinator.address) as client:
        spec = specification("test-slow-progress", options={"steps": 20, "seconds": 0.1})
        conversion = convert(client, frozen, spec)
    assert conversion.state == SUCCEEDED
    assert all(step.attempts == 1 for step in conversion.steps)


def test_make_place_for_those_that_are_needed(coordinator_of: Callable[..., CoordinatorProcess], frozen: Path):
    """Results of two versions need two TensorFlows, and only one may live; `base`, without one, is not counted."""
    coordinator = coordinator_of(MODELMILL_WORKERS="1").start()
    most = 0
    with Client(coordinator.address) as client:
        spec = specification("tflite", "tflite")
        for target, version in zip(spec.targets, ("2.15", "2.16"), strict=True):
            target.tensorflow = version
        created = client.begin(collect(frozen), spec)
        for _ in client.watch_conversion(created.id):
            most = max(most, len(set(coordinator.hosts()) - {"base"}))
        conversion = client.get_conversion(created.id)
    assert conversion.state == SUCCEEDED
    assert {"base", "tf-2.15", "tf-2.16"} <= {step.environment for step in conversion.plan.steps}
    assert most == 1


def test_leave_nothing_when_the_coordinator_stops(coordinator_of: Callable[..., CoordinatorProcess], frozen: Path):
    coordinator = coordinator_of().start()
    with Client(coordinator.address) as client:
        assert convert(client, frozen, specification("tflite")).state == SUCCEEDED
    workers = coordinator.descendants()

    assert coordinator.stop() == 0

    await_end(*workers)
    assert not list((coordinator.home / "run").glob("*"))
    assert not list((coordinator.home / "artifacts" / "incoming").glob("*"))


def test_of_a_killed_coordinator_are_tidied_up_by_the_next(
    coordinator_of: Callable[..., CoordinatorProcess], frozen: Path
):
    coordinator = coordinator_of().start()
    with Client(coordinator.address) as client:
        assert convert(client, frozen, specification("test-copy")).state == SUCCEEDED
        workers = coordinator.descendants()
        coordinator.kill()
        await_end(*workers)
        coordinator.start()
        assert convert(client, frozen, specification("test-copy")).state == SUCCEEDED
        assert len(list((coordinator.home / "run").iterdir())) == 2 * len(coordinator.hosts())  # a folder and a log
