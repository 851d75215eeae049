"""Equal work in flight is done once: whoever asks for it while it runs waits for the same result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
L = TypeVar("L")


@dataclass
class Flight(Generic[T, L]):
    """One piece of work that runs, and those who listen to it."""

    listeners: list[L] = field(default_factory=list)
    task: asyncio.Task[T] | None = None
    #: Tells a listener that comes late what the others know already.
    news: Callable[[L], None] | None = None


class SingleFlight(Generic[T, L]):
    """Work by key. The work goes on while anybody waits for it, and is cancelled when nobody does."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight[T, L]] = {}

    async def join(self, key: str, listener: L, work: Callable[[Flight[T, L]], Awaitable[T]]) -> T:
        """The result of the work under this key, begun now if it does not run already.

        work: is given the flight, whose listeners may change while it runs.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight()
            flight.task = asyncio.create_task(self._fly(key, flight, work))
        assert flight.task is not None
        flight.listeners.append(listener)
        if flight.news is not None:
            flight.news(listener)
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.listeners.remove(listener)
            if not flight.listeners and not flight.task.done():
                # Forgotten before it has ended, so that whoever comes now begins anew.
                self._flights.pop(key, None)
                flight.task.cancel()
                await asyncio.wait([flight.task])

    async def _fly(self, key: str, flight: Flight[T, L], work: Callable[[Flight[T, L]], Awaitable[T]]) -> T:
        try:
            return await work(flight)
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
