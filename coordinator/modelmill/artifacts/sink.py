"""Bytes from an event loop to the disk: hashed and written in a thread while more are received."""

from __future__ import annotations

import asyncio
from typing import Protocol

#: Bytes handed to the thread at once. A hop costs some 0.1 ms, hashing 4 MiB some 3 ms; the memory held is twice this.
_BATCH = 4 << 20


class Writer(Protocol):
    """What a sink writes to, in a thread."""

    def write(self, data: bytes | memoryview) -> None:
        """Adds bytes."""


class Sink:
    """Gathers bytes and writes them in batches, one batch behind the one that is being gathered.

    An error of the disk is raised by the `write` or `drain` that comes after it.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._writing: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """Adds bytes; waits only where the disk is slower than the sender."""
        self._gathered.append(data)
        self._gathered_bytes += len(data)
        if self._gathered_bytes >= _BATCH:
            await self._hand_over()

    async def drain(self) -> None:
        """Returns when all bytes given are written."""
        if self._gathered:
            await self._hand_over()
        await self._finish_writing()

    async def settle(self) -> None:
        """Waits for the thread, whatever comes of it, so that the file may be closed."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            if not self._writing.cancelled():
                self._writing.exception()  # seen here: the block that owns the sink has failed already

    async def _hand_over(self) -> None:
        await self._finish_writing()
        batch, self._gathered, self._gathered_bytes = self._gathered, [], 0
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, batch))

    async def _finish_writing(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None

    def _write(self, batch: list[bytes]) -> None:
        for data in batch:
            self._writer.write(data)
