import hashlib
import os
import stat
from pathlib import Path

import pytest
from modelmill.artifacts import ArtifactStore
from modelmill.errors import ModelmillError


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def leftovers(store):
    return list((store.folder / "incoming").iterdir())


def test_keeps_bytes_under_their_digest_and_read_only(store):
    digest = store.put_bytes(b"weights")

    assert digest == digest_of(b"weights")
    assert store.read_bytes(digest) == b"weights"
    assert store.size(digest) == 7
    assert stat.S_IMODE(store.path(digest).stat().st_mode) == 0o444
    assert store.path(digest) == store.folder / "blobs" / digest[:2] / digest[2:]
    assert leftovers(store) == []


def test_names_each_missing_digest_once_and_in_order(store):
    here = store.put_bytes(b"here")
    one, two = digest_of(b"one"), digest_of(b"two")

    assert store.missing([two, here, one, two]) == [two, one]


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n"])
def test_refuses_what_is_not_a_digest(store, digest):
    with pytest.raises(ModelmillError) as caught:
        store.has(digest)
    assert caught.value.reason == "INVALID_DIGEST"


def test_says_which_file_is_not_there(store):
    with pytest.raises(ModelmillError) as caught:
        store.path(digest_of(b"nowhere"))
    assert caught.value.reason == "FILE_NOT_FOUND"
    assert caught.value.failure.details == {"digest": digest_of(b"nowhere")}


@pytest.mark.parametrize("written", [b"other bytes", b"few", b"more bytes than were announced", b""])
def test_refuses_bytes_that_were_not_announced_and_keeps_none(store, written):
    digest = digest_of(b"these bytes")
    with pytest.raises(ModelmillError) as caught, store.writer(digest, 11) as writer:
        writer.write(written)

    assert caught.value.reason == "DIGEST_MISMATCH"
    assert not store.has(digest)
    assert leftovers(store) == []


def test_keeps_nothing_when_the_writing_block_fails(store):
    def fail_half_way():
        with store.writer(digest_of(b"abc"), 3) as writer:
            writer.write(b"ab")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert leftovers(store) == []


def test_two_writers_of_one_file_both_succeed(store):
    digest = digest_of(b"same")
    with store.writer(digest, 4) as one, store.writer(digest, 4) as other:
        one.write(b"same")
        other.write(b"same")
    assert store.read_bytes(digest) == b"same"
    assert leftovers(store) == []


def test_recovering_removes_what_a_killed_process_was_writing(store):
    kept = store.put_bytes(b"whole")
    (store.folder / "incoming" / "tmpabc").write_bytes(b"half")

    again = ArtifactStore(store.folder)
    again.recover()

    assert leftovers(again) == []
    assert again.read_bytes(kept) == b"whole"


def test_refuses_at_once_what_cannot_fit(store):
    with pytest.raises(ModelmillError) as caught, store.writer(digest_of(b""), 1 << 60):
        pass
    assert caught.value.reason == "DISK_FULL"
    assert caught.value.failure.details["size"] == 1 << 60


async def test_a_sink_takes_many_small_and_large_pieces(store):
    pieces = [os.urandom(size) for size in (1, 0, 5 << 20, 17, 1 << 20, 9 << 20)]
    data = b"".join(pieces)

    async with store.sink(digest_of(data), len(data)) as sink:
        for piece in pieces:
            await sink.write(piece)

    assert store.read_bytes(digest_of(data)) == data
    assert leftovers(store) == []


async def test_a_sink_left_by_an_exception_keeps_nothing(store):
    async def fail_half_way():
        async with store.sink(digest_of(b"x"), 6 << 20) as sink:
            await sink.write(bytes(5 << 20))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_half_way()
    assert leftovers(store) == []


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 20) + 3])
@pytest.mark.parametrize("skip", [0.0, 0.5, 1.0])
async def test_reads_from_any_offset_to_the_end(store, size, skip):
    data = os.urandom(size)
    digest = store.put_bytes(data)
    offset = int(size * skip)

    pieces = [piece async for piece in store.read(digest, offset)]

    assert b"".join(pieces) == data[offset:]
    assert all(len(piece) <= 1 << 20 for piece in pieces)


@pytest.mark.parametrize("offset", [-1, 4])
async def test_refuses_an_offset_outside_the_file(store, offset):
    digest = store.put_bytes(b"abc")
    with pytest.raises(ModelmillError) as caught:
        await anext(store.read(digest, offset))
    assert caught.value.reason == "INVALID_OFFSET"


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_reader_that_stops_early_leaves_no_open_file(store):
    digest = store.put_bytes(bytes(9 << 20))
    before = open_files()
    reader = store.read(digest)
    await anext(reader)
    await reader.aclose()
    assert open_files() == before
