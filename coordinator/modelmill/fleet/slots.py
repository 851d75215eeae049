"""Slots for steps, shared fairly by conversions: one with many steps ready does not keep the others waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


class Slots:
    """Slots, each for one step at a time; next is the step whose conversion has had the least time of them.

    First come, first served is fair to steps and not to conversions: where one has forty steps ready, another, whose
    steps come one after the other, would wait for forty steps before each of its own.

    A conversion that comes anew, or comes back, counts as having had what the one served last had before: it does not
    get ahead for having been away. (This is start-time fair queueing, P. Goyal, H. M. Vin and H. Cheng, 1996, with the
    time that a step took as its cost.) All methods belong to one event loop.
    """

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = count
        self._clock = clock
        self._waiting: list[Turn] = []
        self._running: list[Turn] = []
        #: Seconds by conversion, as far as they are more than `_served`.
        self._had: dict[str, float] = {}
        self._served = 0.0

    @asynccontextmanager
    async def hold(self, conversion: str) -> AsyncIterator[Turn]:
        """Hold a slot for a step of a conversion, which is charged for the time, or for the turn's `cost`."""
        turn = Turn(conversion, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        self._give()
        try:
            await turn.granted
            yield turn
        finally:
            self._end(turn)

    def _end(self, turn: Turn) -> None:
        if turn in self._running:
            self._running.remove(turn)
            before = max(turn.had, self._had.get(turn.conversion, 0.0))
            self._had[turn.conversion] = before + (self._clock() - turn.began if turn.cost is None else turn.cost)
            self._free += 1
        else:  # cancelled while it waited
            self._waiting.remove(turn)
        self._give()

    def _give(self) -> None:
        # Whoever was cancelled a moment ago is there still, and is granted nothing.
        while self._free and (waiting := [turn for turn in self._waiting if not turn.granted.cancelled()]):
            turn = min(waiting, key=self._rank)  # the first of equals came first
            self._waiting.remove(turn)
            self._served = self._had_by(turn.conversion)
            self._had = {conversion: had for conversion, had in self._had.items() if had > self._served}
            self._free -= 1
            turn.had, turn.began = self._served, self._clock()
            self._running.append(turn)
            turn.granted.set_result(None)

    def _rank(self, turn: Turn) -> tuple[float, int]:
        """What the conversion has had, what its running steps have had so far included; then how many they are."""
        now = self._clock()
        running = [other for other in self._running if other.conversion == turn.conversion]
        return self._had_by(turn.conversion) + sum(now - other.began for other in running), len(running)

    def _had_by(self, conversion: str) -> float:
        return max(self._served, self._had.get(conversion, 0.0))


@dataclass(eq=False)
class Turn:
    """A step that waits for a slot or holds one.

    had: what its conversion had had when it began. cost: seconds to charge for; None for as long as it held the slot.
    """

    conversion: str
    granted: asyncio.Future[None]
    had: float = 0.0
    began: float = 0.0
    cost: float | None = None
