"""Places for workers: never more than there are, and each waiter's turn comes."""

import asyncio

from modelmill.fleet.places import Places


class Workers:
    """Names of workers that live; those in `resting` may be let go."""

    def __init__(self, count: int) -> None:
        self.living: list[str] = []
        self.resting: set[str] = set()
        self.most = 0
        self.places = Places(count, self.let_go)

    async def let_go(self) -> bool:
        candidates = [name for name in self.living if name in self.resting]
        if not candidates:
            return False
        await asyncio.sleep(0)  # stopping takes a while
        self.end(candidates[0])
        return True

    async def start(self, name: str) -> None:
        await self.places.take()
        self.living.append(name)
        self.most = max(self.most, len(self.living))

    def rest(self, name: str) -> None:
        self.resting.add(name)
        self.places.rests()

    def end(self, name: str) -> None:
        self.living.remove(name)
        self.resting.discard(name)
        self.places.give_back()


async def test_a_resting_worker_makes_place():
    workers = Workers(2)
    await workers.start("a")
    await workers.start("b")
    workers.rest("a")
    assert workers.places.free == 0
    await workers.start("c")
    assert workers.living == ["b", "c"]


async def test_without_one_that_rests_it_waits_until_one_does():
    workers = Workers(1)
    await workers.start("a")
    waiting = asyncio.create_task(workers.start("b"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    workers.rest("a")
    await asyncio.wait_for(waiting, 5)
    assert workers.living == ["b"]


async def test_or_until_one_has_ended_by_itself():
    workers = Workers(1)
    await workers.start("a")
    waiting = asyncio.create_task(workers.start("b"))
    await asyncio.sleep(0.01)
    workers.end("a")
    await asyncio.wait_for(waiting, 5)
    assert workers.living == ["b"]


async def test_the_first_to_ask_is_the_first_to_be_served():
    workers = Workers(1)
    await workers.start("a")
    waiting = [asyncio.create_task(workers.start(name)) for name in "bcd"]
    await asyncio.sleep(0.01)
    for name in "abc":
        workers.rest(name)
        await asyncio.sleep(0.01)
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert workers.living == ["d"]
    assert workers.most == 1


async def test_who_gives_up_waiting_keeps_nobody_else_from_a_place():
    workers = Workers(1)
    await workers.start("a")
    impatient = asyncio.create_task(workers.start("b"))
    patient = asyncio.create_task(workers.start("c"))
    await asyncio.sleep(0.01)
    impatient.cancel()
    await asyncio.wait({impatient})
    workers.rest("a")
    await asyncio.wait_for(patient, 5)
    assert workers.living == ["c"]
