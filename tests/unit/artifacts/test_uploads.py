import asyncio
import hashlib
import os

import pytest
from modelmill.artifacts import ArtifactStore, Uploads
from modelmill.errors import ModelmillError

DATA = os.urandom(11 << 20)
DIGEST = hashlib.sha256(DATA).hexdigest()
MIB = 1 << 20


@pytest.fixture
def uploads(store):
    return Uploads(store)


def uploading(store):
    return sorted(file.name for file in (store.folder / "uploads").iterdir())


async def pieces(data, error=None):
    for start in range(0, len(data), MIB):
        yield data[start : start + MIB]
    if error:
        raise error


class CutError(Exception):
    pass


async def test_a_whole_upload_is_complete_and_leaves_nothing_behind(store, uploads):
    upload = await uploads.receive(DIGEST, len(DATA), 0, pieces(DATA))

    assert (upload.committed_size, upload.complete) == (len(DATA), True)
    assert store.read_bytes(DIGEST) == DATA
    assert uploading(store) == []


async def test_an_empty_file_can_be_uploaded(store, uploads):
    empty = hashlib.sha256(b"").hexdigest()
    assert (await uploads.receive(empty, 0, 0, pieces(b""))).complete
    assert store.read_bytes(empty) == b""


async def test_keeps_every_byte_that_came_before_a_cut_and_goes_on_from_there(store, uploads):
    with pytest.raises(CutError):
        await uploads.receive(DIGEST, len(DATA), 0, pieces(DATA[: 6 * MIB], CutError()))
    assert uploading(store) == [DIGEST]
    assert uploads.status(DIGEST).committed_size == 6 * MIB
    assert not uploads.status(DIGEST).complete

    upload = await uploads.receive(DIGEST, len(DATA), 6 * MIB, pieces(DATA[6 * MIB :]))

    assert upload.complete
    assert store.read_bytes(DIGEST) == DATA
    assert uploading(store) == []


async def test_keeps_what_came_when_the_receiving_task_is_cancelled(store, uploads):
    arrived = asyncio.Event()

    async def stalling():
        yield DATA[:MIB]
        arrived.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(uploads.receive(DIGEST, len(DATA), 0, stalling()))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert uploads.status(DIGEST).committed_size == MIB
    assert uploading(store) == [DIGEST]


async def test_a_file_may_be_sent_in_several_streams(uploads):
    first = await uploads.receive(DIGEST, len(DATA), 0, pieces(DATA[: 3 * MIB]))
    assert (first.committed_size, first.complete) == (3 * MIB, False)
    assert (await uploads.receive(DIGEST, len(DATA), 3 * MIB, pieces(DATA[3 * MIB :]))).complete


async def test_the_longer_of_two_cut_streams_is_kept(uploads):
    for size in (2 * MIB, 4 * MIB, 3 * MIB):
        await uploads.receive(DIGEST, len(DATA), 0, pieces(DATA[:size]))
    assert uploads.status(DIGEST).committed_size == 4 * MIB


async def test_an_upload_survives_the_death_of_the_process(store, uploads):
    (store.folder / "uploads" / (DIGEST + ".one")).write_bytes(DATA[:MIB])
    (store.folder / "uploads" / (DIGEST + ".two")).write_bytes(DATA[: 2 * MIB])

    again = Uploads(ArtifactStore(store.folder))

    assert again.status(DIGEST).committed_size == 2 * MIB
    assert uploading(store) == [DIGEST]
    assert (await again.receive(DIGEST, len(DATA), 2 * MIB, pieces(DATA[2 * MIB :]))).complete


async def test_forgets_uploads_that_nobody_came_back_for(store, uploads):
    kept = store.folder / "uploads" / DIGEST
    kept.write_bytes(b"old")
    os.utime(kept, (0, 0))
    Uploads(store)
    assert uploading(store) == []


async def test_wrong_bytes_lose_it_all(store, uploads):
    with pytest.raises(ModelmillError) as caught:
        await uploads.receive(DIGEST, len(DATA), 0, pieces(DATA[:-1] + bytes([DATA[-1] ^ 1])))
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert uploading(store) == []
    assert uploads.status(DIGEST).committed_size == 0


async def test_a_resumed_upload_whose_beginning_was_damaged_is_refused_and_lost(store, uploads):
    (store.folder / "uploads" / DIGEST).write_bytes(bytes(2 * MIB))
    with pytest.raises(ModelmillError) as caught:
        await uploads.receive(DIGEST, len(DATA), 2 * MIB, pieces(DATA[2 * MIB :]))
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert uploading(store) == []


@pytest.mark.parametrize("offset", [-1, 4 * MIB, len(DATA) + 1])
async def test_an_offset_beyond_what_is_kept_is_refused_and_nothing_is_lost(store, uploads, offset):
    await uploads.receive(DIGEST, len(DATA), 0, pieces(DATA[: 3 * MIB]))
    with pytest.raises(ModelmillError) as caught:
        await uploads.receive(DIGEST, len(DATA), offset, pieces(b""))
    assert caught.value.reason == "UPLOAD_OFFSET_MISMATCH"
    assert uploads.status(DIGEST).committed_size == 3 * MIB
    assert uploading(store) == [DIGEST]


async def test_two_clients_that_send_one_file_at_once_are_both_answered(store, uploads):
    answers = await asyncio.gather(*(uploads.receive(DIGEST, len(DATA), 0, pieces(DATA)) for _ in range(3)))
    assert all(answer.complete for answer in answers)
    assert store.read_bytes(DIGEST) == DATA
    assert uploading(store) == []


async def test_a_slow_sender_is_told_when_another_completed_the_file(store, uploads):
    gate = asyncio.Event()
    sent = []

    async def slow():
        for start in range(0, len(DATA), MIB):
            sent.append(start)
            yield DATA[start : start + MIB]
            await gate.wait()

    task = asyncio.create_task(uploads.receive(DIGEST, len(DATA), 0, slow()))
    await uploads.receive(DIGEST, len(DATA), 0, pieces(DATA))
    gate.set()
    assert (await task).complete
    assert len(sent) <= 2
    assert uploading(store) == []


async def test_a_client_resumes_although_its_dead_connection_still_looks_alive(store, uploads):
    stalled = asyncio.Event()

    async def dead():
        yield DATA[: 5 * MIB]
        yield DATA[5 * MIB : 10 * MIB]
        stalled.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(uploads.receive(DIGEST, len(DATA), 0, dead()))
    await stalled.wait()
    offset = 5 * MIB  # the first batch; it is written before the second is handed over
    assert uploads.status(DIGEST).committed_size >= offset

    assert (await uploads.receive(DIGEST, len(DATA), offset, pieces(DATA[offset:]))).complete
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert uploading(store) == []


async def test_a_third_client_is_told_at_once_that_the_file_is_here(store, uploads):
    store.put_bytes(DATA)

    async def untouched():
        raise AssertionError("nothing needs to be sent")
        yield b""

    assert (await uploads.receive(DIGEST, len(DATA), 0, untouched())).complete
