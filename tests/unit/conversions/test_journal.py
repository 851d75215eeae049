import asyncio
from pathlib import Path

import pytest
from modelmill.conversions.database import open_database
from modelmill.conversions.journal import Journal
from modelmill.conversions.state import ConversionState, EventKind
from modelmill.errors import ModelmillError
from modelmill.planning import ConversionSpec, TargetRequest
from modelmill.values import Artifact, File

SPEC = ConversionSpec(Artifact("", (File("graph.pb", "a" * 64, 10),)), (TargetRequest("tflite"),))
RUNNING = (EventKind.STATE_CHANGE, {"state": "RUNNING", "failure": None})
SUCCEEDED = (EventKind.STATE_CHANGE, {"state": "SUCCEEDED", "failure": None})


def log(text: str) -> tuple[EventKind, dict]:
    return EventKind.STEP_LOG, {"step_id": "freeze", "text": text}


@pytest.fixture
def journal(tmp_path: Path):
    made = Journal(open_database(tmp_path / "journal.sqlite"))
    yield made
    made.close()


async def test_an_equal_request_gets_the_first_ones_conversion(journal: Journal) -> None:
    made = await asyncio.gather(*(journal.create(f"c{number}", "same", SPEC) for number in range(8)))
    assert len({conversion.id for conversion, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1


async def test_events_are_numbered_from_one_without_holes(journal: Journal) -> None:
    await journal.create("c", "r", SPEC)
    await asyncio.gather(*(journal.append("c", [log(str(number)), log("and more")]) for number in range(20)))
    await journal.append("c", [SUCCEEDED])
    events = [event async for event in journal.watch("c", 1)]
    assert [event.sequence for event in events] == list(range(1, 43))


async def test_a_watcher_that_reconnects_misses_nothing_and_sees_nothing_twice(journal: Journal) -> None:
    await journal.create("c", "r", SPEC)
    await journal.append("c", [RUNNING])
    first = journal.watch("c", 1)
    seen = [(await anext(first)).sequence, (await anext(first)).sequence]
    await first.aclose()
    await journal.append("c", [log("while nobody watches")])

    async def rest() -> list[int]:
        return [event.sequence async for event in journal.watch("c", seen[-1] + 1)]

    watching = asyncio.create_task(rest())
    await journal.append("c", [log("while somebody watches")])
    await journal.append("c", [SUCCEEDED])
    assert seen + await asyncio.wait_for(watching, 10) == [1, 2, 3, 4, 5]


async def test_many_watchers_see_the_same(journal: Journal) -> None:
    await journal.create("c", "r", SPEC)

    async def follow() -> list[int]:
        return [event.sequence async for event in journal.watch("c", 0)]

    watchers = [asyncio.create_task(follow()) for _ in range(5)]
    for number in range(10):
        await journal.append("c", [log(str(number))])
    await journal.append("c", [SUCCEEDED])
    told = await asyncio.wait_for(asyncio.gather(*watchers), 10)
    assert told == [list(range(1, 13))] * 5


async def test_a_conversion_that_has_ended_takes_no_more_events(journal: Journal) -> None:
    await journal.create("c", "r", SPEC)
    await journal.append("c", [SUCCEEDED])
    await journal.append("c", [log("late"), RUNNING])
    assert (await journal.get("c")).state is ConversionState.SUCCEEDED
    assert [event.sequence async for event in journal.watch("c", 1)] == [1, 2]


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Journal(open_database(tmp_path / "journal.sqlite"))
    await first.create("c", "r", SPEC)
    await first.append("c", [RUNNING])
    await first.request_cancel("c")
    first.close()
    second = Journal(open_database(tmp_path / "journal.sqlite"))
    conversion = await second.get("c")
    assert conversion.spec == SPEC
    assert conversion.state is ConversionState.RUNNING
    assert await second.cancel_requested("c")
    assert await second.unfinished() == ["c"]
    second.close()


async def test_pages_run_from_newest_to_oldest(journal: Journal) -> None:
    for number in range(5):
        await journal.create(f"c{number}", f"r{number}", SPEC)
    await journal.append("c1", [SUCCEEDED])
    page, following = await journal.page(None, 2, None)
    assert [conversion.id for conversion in page] == ["c4", "c3"]
    page, following = await journal.page(None, 2, following)
    assert [conversion.id for conversion in page] == ["c2", "c1"]
    page, following = await journal.page(None, 2, following)
    assert ([conversion.id for conversion in page], following) == (["c0"], None)
    page, following = await journal.page(ConversionState.SUCCEEDED, 2, None)
    assert ([conversion.id for conversion in page], following) == (["c1"], None)


async def test_an_unknown_conversion_is_named(journal: Journal) -> None:
    with pytest.raises(ModelmillError) as caught:
        await journal.get("nobody")
    assert caught.value.reason == "CONVERSION_NOT_FOUND"
    assert "nobody" in str(caught.value)
