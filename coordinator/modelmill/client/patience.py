"""How long a lost connection is tried again, and how often."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc

from modelmill.client.failures import error_of

T = TypeVar("T")

#: Brings back what does not answer, where the client can; raises ModelmillError where that fails.
Revive = Callable[[], Awaitable[None]]

#: What a connection says that was lost, or that a server has ended which is going away. What the farm itself says,
#: even with the same status code, is an answer.
_LOST = frozenset({"SERVER_UNAVAILABLE", "RPC_CANCELLED"})


async def _cannot_revive() -> None:
    """The server belongs to somebody else."""


@dataclass(frozen=True)
class Patience:
    """Pauses between tries, in seconds: from `first`, twice as long each time, to `longest`; none after `total`.

    A pause is between half and all of that, so that many clients do not come back at the same moment.
    """

    first: float = 0.1
    longest: float = 5.0
    total: float = 60.0
    revive: Revive = field(default=_cannot_revive)

    def tries(self) -> Tries:
        """Starts to count for one operation."""
        return Tries(self)


class Tries:
    """The tries of one operation."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.progressed()

    def progressed(self) -> None:
        """What was lost works again: the next loss is met with full patience."""
        self._pause = self._patience.first
        self._deadline: float | None = None

    async def pause(self, error: grpc.aio.AioRpcError) -> None:
        """Waits before the next try; raises the error where another makes no sense or patience is at its end."""
        meaning = error_of(error)
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._patience.total
        if meaning.reason not in _LOST or now + self._pause > self._deadline:
            raise meaning from error
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
        self._pause = min(2 * self._pause, self._patience.longest)
        await self._patience.revive()


async def call(patience: Patience, rpc: Callable[[], Awaitable[T]]) -> T:
    """The answer of an RPC that may be repeated."""
    tries = patience.tries()
    while True:
        try:
            return await rpc()
        except grpc.aio.AioRpcError as error:
            await tries.pause(error)
