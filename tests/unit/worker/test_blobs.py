import hashlib
import stat
import threading

import pytest
from modelmill_worker import StepError
from modelmill_worker.blobs import BlobCache


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def put(cache, data):
    with cache.receive(digest_of(data)) as file:
        file.write(data)
        file.commit()
    return digest_of(data)


@pytest.fixture
def cache(tmp_path):
    return BlobCache(tmp_path / "blobs", capacity=100)


def test_keeps_what_has_the_right_digest_read_only(cache):
    digest = put(cache, b"abc")
    assert cache.missing([digest]) == []
    assert b"".join(cache.chunks(digest)) == b"abc"
    assert stat.S_IMODE(cache.path(digest).stat().st_mode) == 0o444


def test_keeps_nothing_of_wrong_bytes(cache, tmp_path):
    digest = digest_of(b"right")
    with cache.receive(digest) as file:
        file.write(b"wrong")
        with pytest.raises(StepError) as caught:
            file.commit()
    assert caught.value.reason == "DIGEST_MISMATCH"
    assert cache.missing([digest]) == [digest]
    assert list((tmp_path / "blobs").iterdir()) == []


def test_keeps_nothing_of_a_broken_transfer(cache, tmp_path):
    with cache.receive(digest_of(b"whole")) as file:
        file.write(b"who")
    assert list((tmp_path / "blobs").iterdir()) == []


def test_evicts_what_was_used_longest_ago(cache):
    first, second = put(cache, b"1" * 40), put(cache, b"2" * 40)
    cache.pin([first]).__exit__()  # a use
    third = put(cache, b"3" * 40)
    assert cache.missing([first, second, third]) == [second]


def test_never_evicts_what_is_pinned(cache):
    digest = digest_of(b"1" * 90)
    with cache.pin([digest]):
        put(cache, b"1" * 90)
        other = put(cache, b"2" * 90)
        assert cache.missing([digest]) == []
    third = put(cache, b"3" * 90)
    assert cache.missing([digest, other, third]) == [digest, other]


def test_two_pins_hold_longer_than_one(cache):
    digest = put(cache, b"1" * 90)
    with cache.pin([digest]):
        with cache.pin([digest]):
            pass
        put(cache, b"2" * 90)
        assert cache.missing([digest]) == []


def test_adopts_equal_files_as_one(cache, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    with cache.pin([]) as pins:
        adopted = {cache.adopt(tmp_path / name, pins) for name in ("a", "b")}
        assert adopted == {(digest_of(b"same"), 4)}
        assert cache.missing([digest_of(b"same")]) == []
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_takes_the_same_file_from_many_threads(cache):
    data = b"x" * 50
    failures = []

    def work():
        try:
            for _ in range(50):
                with cache.pin([digest_of(data)]):
                    put(cache, data)
                    assert b"".join(cache.chunks(digest_of(data))) == data
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("digest", ["", "..", "../x", "A" * 64, "g" * 64, "0" * 65, "0" * 64 + "\n"])
def test_refuses_what_is_no_digest(cache, digest):
    with pytest.raises(StepError) as caught:
        cache.path(digest)
    assert caught.value.reason == "INVALID_DIGEST"
