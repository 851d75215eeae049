"""Work on several environments at once, told as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from modelmill_protos.v1 import catalog_pb2

from modelmill.errors import ModelmillError
from modelmill.wire import failure_message

Progress = catalog_pb2.EnvironmentProgress


async def side_by_side(
    names: Sequence[str], work: Callable[[str], AsyncIterator[Progress]], jobs: int
) -> AsyncGenerator[tuple[str, Progress], None]:
    """What the work on each name tells, as it comes, with the name; at most `jobs` are at work at once.

    An error that one of them raises is told as its failure, and the others go on. Where the iteration is given up,
    all of them are.
    """
    told: asyncio.Queue[tuple[str, Progress] | None] = asyncio.Queue()
    slots = asyncio.Semaphore(jobs)

    async def follow(name: str) -> None:
        try:
            async with slots:
                async for message in work(name):
                    told.put_nowait((name, message))
        except ModelmillError as error:
            told.put_nowait((name, Progress(failure=failure_message(error.failure))))
        finally:
            told.put_nowait(None)

    tasks = [asyncio.create_task(follow(name), name=name) for name in names]
    working = len(tasks)
    try:
        while working:
            item = await told.get()
            if item is None:
                working -= 1
            else:
                yield item
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
