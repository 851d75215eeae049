"""How many workers may live at once: a farm with an environment for each TensorFlow has more of them than memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

#: Stops the worker that has rested longest and says whether there was one: what it held is given back while it stops.
LetGo = Callable[[], Awaitable[bool]]


class Places:
    """Places for workers. All methods belong to one event loop.

    A worker takes a place before it starts and gives it back when it has stopped. Whoever needs one while all are
    taken has a resting worker let go; where none rests, it waits until one does. Nobody who holds a place waits for
    another one, so that each waiter's turn comes.
    """

    def __init__(self, count: int, let_go: LetGo) -> None:
        self._count = count
        self._let_go = let_go
        self._taken = 0
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def free(self) -> int:
        """How many can be had without letting a worker go."""
        return self._count - self._taken

    async def take(self) -> None:
        """Take a place, first come, first served."""
        async with self._turn:
            while self._taken >= self._count:
                self._changed.clear()
                if not await self._let_go():
                    await self._changed.wait()
            self._taken += 1

    def give_back(self) -> None:
        """A worker is gone."""
        self._taken -= 1
        self._changed.set()

    def rests(self) -> None:
        """A worker has nothing to do: whoever waits may have it let go."""
        self._changed.set()
