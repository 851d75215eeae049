import asyncio

import pytest
from modelmill.conversions.single_flight import Flight, SingleFlight


class Work:
    """Counts its runs and waits to be let go."""

    def __init__(self) -> None:
        self.runs = 0
        self.cancelled = 0
        self.go = asyncio.Event()

    async def __call__(self, flight: Flight) -> str:
        self.runs += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        for listener in flight.listeners:
            listener.append("told")
        return f"run {self.runs}"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_equal_work_runs_once_and_all_who_wait_are_told() -> None:
    flights, work, listeners = SingleFlight(), Work(), [[], [], []]
    waiting = [asyncio.create_task(flights.join("key", listener, work)) for listener in listeners]
    await settle()
    work.go.set()
    assert await asyncio.gather(*waiting) == ["run 1"] * 3
    assert listeners == [["told"]] * 3


async def test_other_keys_run_on_their_own() -> None:
    flights, work = SingleFlight(), Work()
    work.go.set()
    await asyncio.gather(flights.join("a", [], work), flights.join("b", [], work))
    assert work.runs == 2


async def test_work_goes_on_while_somebody_still_waits() -> None:
    flights, work = SingleFlight(), Work()
    leaves = asyncio.create_task(flights.join("key", [], work))
    stays = asyncio.create_task(flights.join("key", [], work))
    await settle()
    leaves.cancel()
    await settle()
    work.go.set()
    assert await stays == "run 1"
    assert work.cancelled == 0


async def test_work_ends_when_nobody_waits_any_more() -> None:
    flights, work = SingleFlight(), Work()
    waiting = [asyncio.create_task(flights.join("key", [], work)) for _ in range(2)]
    await settle()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert work.cancelled == 1


async def test_whoever_comes_after_the_end_begins_anew() -> None:
    flights, work = SingleFlight(), Work()
    work.go.set()
    assert await flights.join("key", [], work) == "run 1"
    assert await flights.join("key", [], work) == "run 2"


async def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    flights = SingleFlight()
    runs = []

    async def fail(flight: Flight) -> None:
        runs.append(1)
        await settle()
        raise ValueError("no")

    waiting = [flights.join("key", [], fail) for _ in range(2)]
    assert [type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)] == [ValueError] * 2
    with pytest.raises(ValueError, match="no"):
        await flights.join("key", [], fail)
    assert len(runs) == 2
