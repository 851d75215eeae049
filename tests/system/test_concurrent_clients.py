"""Two clients that want the same thing at the same moment."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from asking import Step, assert_whole, specification, step_of, told_of
from coordinator_process import CoordinatorProcess
from modelmill.client import Client, conversion_pb2
from modelmill.errors import ModelmillError

T = TypeVar("T")
SUCCEEDED = conversion_pb2.Conversion.SUCCEEDED
SLOW = "slow-progress.test-slow-progress"


@pytest.fixture
def clients(shared_coordinator: CoordinatorProcess) -> Iterator[tuple[Client, Client]]:
    with Client(shared_coordinator.address) as one, Client(shared_coordinator.address) as other:
        yield one, other


def at_once(clients: tuple[Client, Client], ask: Callable[[Client], T]) -> list[T]:
    """What both are answered when they ask at the same moment."""
    start = threading.Barrier(len(clients))

    def wait_and_ask(client: Client) -> T:
        start.wait()
        return ask(client)

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(wait_and_ask, clients))


def wanted(client: Client, source: Path) -> conversion_pb2.ConversionSpec:
    """A conversion whose last step runs long enough for two to meet in it."""
    spec = specification("test-slow-progress", options={"steps": 5, "seconds": 0.1})
    spec.source.CopyFrom(client.upload(source))
    return spec


def test_with_one_request_id_get_one_conversion(clients: tuple[Client, Client], frozen: Path):
    spec, request_id = wanted(clients[0], frozen), str(uuid.uuid4())

    first, second = at_once(clients, lambda client: client.create_conversion(spec, request_id))

    assert first.id == second.id
    assert first.request_id == second.request_id == request_id
    events = at_once(clients, lambda client: list(client.watch_conversion(first.id)))
    assert events[0] == events[1]
    assert_whole(events[0])
    assert clients[0].create_conversion(spec, request_id).state == SUCCEEDED
    listed = clients[0].list_conversions(page_size=1000).conversions
    assert [conversion.id for conversion in listed].count(first.id) == 1


def test_with_two_request_ids_share_the_steps(clients: tuple[Client, Client], frozen: Path):
    spec = wanted(clients[0], frozen)

    begun = at_once(clients, lambda client: client.create_conversion(spec))
    assert begun[0].id != begun[1].id
    for conversion in begun:
        events = list(clients[0].watch_conversion(conversion.id))
        assert_whole(events)
        assert told_of(events, Step.SUCCEEDED).count(SLOW) == 1

    ended = [clients[0].get_conversion(conversion.id) for conversion in begun]
    assert [conversion.state for conversion in ended] == [SUCCEEDED, SUCCEEDED]
    for step_id in [step.id for step in ended[0].plan.steps]:
        pair = [step_of(conversion, step_id) for conversion in ended]
        assert sorted(step.attempts for step in pair) == [0, 1], f"{step_id} ran for both"
        assert sorted(step.cached for step in pair) == [False, True]
        assert pair[0].output == pair[1].output


def test_with_other_limits_do_not_share_a_deadline(clients: tuple[Client, Client], frozen: Path):
    patient = specification("test-sleep", options={"seconds": 1.5}, salt=str(uuid.uuid4()))
    hasty = specification("test-sleep", options={"seconds": 1.5}, salt=patient.salt, deadline=0.5)

    first = clients[0].begin(frozen, hasty)
    second = clients[1].begin(frozen, patient)
    for conversion in (first, second):
        list(clients[0].watch_conversion(conversion.id))

    assert clients[0].get_conversion(first.id).failure.reason == "STEP_DEADLINE_EXCEEDED"
    assert clients[0].get_conversion(second.id).state == SUCCEEDED


def test_cannot_use_a_request_id_for_something_else(client: Client, frozen: Path):
    spec, request_id = wanted(client, frozen), str(uuid.uuid4())
    client.create_conversion(spec, request_id)
    spec.salt = "another"

    with pytest.raises(ModelmillError) as caught:
        client.create_conversion(spec, request_id)
    assert caught.value.reason == "REQUEST_ID_REUSED"
