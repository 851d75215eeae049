import asyncio

import pytest
from modelmill.conversions.scope import CANCELLED, Scope, deadline_passed
from modelmill.errors import ModelmillError


async def test_work_that_ends_in_time_gives_its_result() -> None:
    async def work() -> int:
        return 7

    assert await Scope().run(work()) == 7


async def test_the_end_cancels_the_work_and_says_why() -> None:
    scope, ended = Scope(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    running = asyncio.create_task(scope.run(work()))
    await asyncio.sleep(0)
    scope.end(CANCELLED)
    scope.end(deadline_passed(5))
    with pytest.raises(ModelmillError) as caught:
        await running
    assert caught.value.failure == CANCELLED
    assert ended == [True]


async def test_nothing_starts_in_a_scope_that_has_ended() -> None:
    scope = Scope()
    scope.end(CANCELLED)
    with pytest.raises(ModelmillError):
        await scope.run(asyncio.Event().wait())


async def test_work_that_fails_raises_its_own_error() -> None:
    async def work() -> None:
        raise ModelmillError("OWN", "its own")

    with pytest.raises(ModelmillError, match="its own"):
        await Scope().run(work())
