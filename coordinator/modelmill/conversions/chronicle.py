"""How a running conversion tells the journal what happens, without waiting for the disk at every line.

Changes of a step are written at once and in order. Progress and log lines are gathered and written a few times
a second, and no more of a step's log is kept than `LOG_KEPT`: its tail is part of a failure anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from modelmill.conversions.journal import Journal
from modelmill.conversions.state import EventKind

#: Seconds between two writes of progress and log lines.
_PACE = 0.1
#: Characters of a step's output that go into events.
LOG_KEPT = 64 << 10

Entry = tuple[EventKind, dict[str, Any]]


class Chronicle:
    """What happens to one conversion while it runs in this process."""

    def __init__(self, journal: Journal, conversion_id: str) -> None:
        self._journal = journal
        self._conversion_id = conversion_id
        self._gathered: list[Entry] = []
        self._flushing: asyncio.Task[None] | None = None
        self._order = asyncio.Lock()

    async def write(self, *entries: Entry) -> None:
        """Write what was gathered, then these, in one transaction."""
        async with self._order:
            gathered, self._gathered = self._gathered, []
            if gathered or entries:
                await self._journal.append(self._conversion_id, [*gathered, *entries])

    def gather(self, entry: Entry) -> None:
        """Have an entry written soon."""
        self._gathered.append(entry)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        await asyncio.sleep(_PACE)
        await self.write()


class StepChronicle:
    """A listener that turns what a step tells into entries of its conversion's chronicle."""

    def __init__(self, chronicle: Chronicle, step_id: str, started: Callable[[], Entry]) -> None:
        self._chronicle = chronicle
        self._step_id = step_id
        self._started = started
        self._log_left = LOG_KEPT
        self._last_progress = 0.0

    def waits(self, message: str) -> None:
        """Tell why the step has not started."""
        self._tell(-1.0, message)

    def started(self) -> None:
        """Tell that its process runs."""
        self._chronicle.gather(self._started())

    def progressed(self, fraction: float, message: str) -> None:
        """Tell how far it is, ten times a second at most."""
        now = time.monotonic()
        if fraction >= 1.0 or now - self._last_progress >= _PACE:
            self._last_progress = now
            self._tell(fraction, message)

    def logged(self, text: str) -> None:
        """Tell what it printed, as long as there is room."""
        kept, self._log_left = text[: self._log_left], max(0, self._log_left - len(text))
        if kept:
            self._chronicle.gather((EventKind.STEP_LOG, {"step_id": self._step_id, "text": kept}))

    def _tell(self, fraction: float, message: str) -> None:
        payload = {"step_id": self._step_id, "fraction": fraction, "message": message}
        self._chronicle.gather((EventKind.STEP_PROGRESS, payload))
