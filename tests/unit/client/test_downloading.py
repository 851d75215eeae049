"""A file that is being fetched when another one fails, or when the user stops: its disk is slow, and then full."""

import asyncio
import errno
import gc
import io
import threading
from typing import Any

import pytest
from modelmill.client.downloading import _HashingWriter
from modelmill.client.transfer import PIECE


class SlowFullDisk(io.FileIO):
    """Takes bytes when it is told to, and has no space for them."""

    def __init__(self) -> None:
        super().__init__("/dev/null", "wb")
        self.writing = threading.Event()
        self.may_answer = threading.Event()

    def write(self, data: Any) -> int:
        self.writing.set()
        assert self.may_answer.wait(20)
        assert not self.closed, "the file was closed under the thread that writes it"
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_cancelled_file_is_closed_only_when_its_writing_has_ended_and_says_nothing_more() -> None:
    unheard: list[dict[str, Any]] = []

    async def fetch(disk: SlowFullDisk) -> None:
        with disk:
            writer = _HashingWriter(disk)
            await writer.write(bytes(2 * PIECE))
            await writer.drain()

    async def cancel_while_it_writes() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        disk = SlowFullDisk()
        fetching = asyncio.create_task(fetch(disk))
        assert await asyncio.to_thread(disk.writing.wait, 20)
        fetching.cancel()
        await asyncio.sleep(0.05)
        assert not fetching.done()
        disk.may_answer.set()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        del fetching
        gc.collect()

    asyncio.run(cancel_while_it_writes())
    gc.collect()

    assert unheard == []
