"""Slots for steps: never more than there are, and each conversion has its share of them."""

import asyncio
from contextlib import AsyncExitStack

from modelmill.fleet.slots import Slots


class Farm:
    """Steps that take seconds of a clock of their own, and the order in which they began."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.slots = Slots(count, lambda: self.now)
        self.began: list[str] = []
        self.at_once = self.most = 0

    async def step(self, conversion: str, seconds: float = 1.0) -> None:
        async with self.slots.hold(conversion):
            self.began.append(conversion)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            await asyncio.sleep(0)
            self.now += seconds
            self.at_once -= 1

    async def chain(self, conversion: str, steps: int, seconds: float = 1.0) -> None:
        """Steps that need each other."""
        for _ in range(steps):
            await self.step(conversion, seconds)


async def test_never_more_steps_at_once_than_slots():
    farm = Farm(2)
    await asyncio.gather(*(farm.step(f"{number % 3}") for number in range(12)))
    assert farm.most == 2
    assert len(farm.began) == 12


async def test_a_conversion_with_many_steps_ready_takes_turns_with_one_whose_steps_come_one_by_one():
    farm = Farm(1)
    await asyncio.gather(*(farm.step("many") for _ in range(20)), farm.chain("few", 5))
    # Each waits for one step of the other at most, give or take the one that runs when the next comes.
    last = max(number for number, conversion in enumerate(farm.began) if conversion == "few")
    assert last <= 2 * 5 + 1


async def test_shares_are_of_time_and_not_of_steps():
    farm = Farm(1)
    await asyncio.gather(
        *(farm.step("long", seconds=4) for _ in range(5)), *(farm.step("short", seconds=1) for _ in range(8))
    )
    assert farm.began[:2] == ["long", "short"]
    # In the time of two long steps there is room for eight short ones.
    assert farm.began.index("short", 8) < 11
    assert farm.began[:10].count("long") == 2


async def test_a_step_may_be_charged_less_than_it_held_the_slot():
    farm = Farm(1)

    async def waits_for_its_worker(seconds: float) -> None:
        async with farm.slots.hold("patient") as turn:
            farm.began.append("patient")
            await asyncio.sleep(0)
            farm.now += seconds
            turn.cost = 0.0

    patient = [asyncio.create_task(waits_for_its_worker(100)) for _ in range(2)]
    await asyncio.gather(*patient, farm.step("other"), farm.step("other"))
    assert farm.began == ["patient", "patient", "other", "other"]


async def test_who_comes_late_does_not_make_up_for_the_time_before():
    farm = Farm(1)
    old = [asyncio.create_task(farm.step("old")) for _ in range(20)]
    await asyncio.gather(*old[:10])
    await asyncio.gather(*(farm.step("new") for _ in range(10)), *old)
    assert farm.began[10:18].count("old") in (3, 4, 5)


async def test_who_is_cancelled_while_waiting_leaves_its_turn_to_the_next():
    slots = Slots(1)
    async with AsyncExitStack() as holding:
        await holding.enter_async_context(slots.hold("first"))
        waiting = asyncio.create_task(held(slots, "second"))
        third = asyncio.create_task(held(slots, "third"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(third, 5)
    assert waiting.cancelled()


async def test_who_was_cancelled_a_moment_before_its_turn_is_passed_over():
    slots = Slots(1)
    async with slots.hold("first"):
        second = asyncio.create_task(held(slots, "second"))
        third = asyncio.create_task(held(slots, "third"))
        await asyncio.sleep(0)
        second.cancel()  # it waits still: it has not run since
    await asyncio.wait_for(third, 5)
    await asyncio.gather(second, return_exceptions=True)
    assert second.cancelled()


async def test_who_is_cancelled_as_its_turn_comes_gives_the_slot_back():
    slots = Slots(1)
    async with slots.hold("first"):
        second = asyncio.create_task(held(slots, "second"))
        await asyncio.sleep(0)
    second.cancel()  # it has the slot, and has not run since
    await asyncio.gather(second, return_exceptions=True)
    await asyncio.wait_for(held(slots, "third"), 5)


async def held(slots: Slots, conversion: str) -> None:
    async with slots.hold(conversion):
        pass
