"""The time in which a conversion may run in this process: until it is cancelled or its deadline passes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from modelmill.errors import Failure, Fault, ModelmillError

T = TypeVar("T")

CANCELLED = Failure("STEP_CANCELLED", "The conversion was cancelled.", Fault.CANCELLATION)


class Scope:
    """Ends all work of a conversion at once, with the reason."""

    def __init__(self) -> None:
        self._end: asyncio.Future[Failure] = asyncio.get_running_loop().create_future()

    @property
    def failure(self) -> Failure | None:
        """Why the scope was ended; None while it lasts."""
        return self._end.result() if self._end.done() else None

    def end(self, failure: Failure) -> None:
        """End it; the first reason counts."""
        if not self._end.done():
            self._end.set_result(failure)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result. If the scope ends first, the work is cancelled and its failure raised."""
        task: asyncio.Future[T] = asyncio.ensure_future(work)
        try:
            waited: list[asyncio.Future[Any]] = [task, self._end]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            raise ModelmillError.of(self._end.result())
        return task.result()


def deadline_passed(seconds: float) -> Failure:
    """The failure of a conversion that took longer than it was allowed to."""
    return Failure(
        "CONVERSION_DEADLINE_EXCEEDED",
        f"The conversion took longer than the {seconds:g} s that it was allowed; allow it more, or fewer targets.",
        Fault.TOOL,
        {"deadline_seconds": seconds},
    )
