"""A wheel that several environments have is on the disk once, where the file system allows it."""

import os
import tempfile
from pathlib import Path

import pytest

SIZE = 1 << 20


def data_of(environments, name) -> Path:
    path = environments.ensure(name, lambda message: None).path
    (data,) = path.glob("lib/python*/site-packages/tiny/data")
    return data


@pytest.fixture
def two(forge):
    """Two environments with the same wheel."""
    lock = forge.wheel("tiny", os.urandom(SIZE))
    other = forge.wheel("other")
    forge.define("one", lock)
    forge.define("two", lock + other)
    return forge


def test_the_files_of_a_wheel_are_shared_and_counted_once(two, tmp_path):
    (tmp_path / "probe").write_bytes(b"")
    try:
        os.link(tmp_path / "probe", tmp_path / "link")
    except OSError:
        pytest.skip("this file system has no hard links")
    environments = two.environments()
    one, other = (data_of(environments, name).stat() for name in ("one", "two"))
    assert (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    apart = sum(environments.status(name).disk_size for name in ("one", "two"))
    assert SIZE <= apart - environments.disk_size() < SIZE + (128 << 10)


def test_across_file_systems_they_are_copied(two, tmp_path):
    """uv says that it cannot link and copies; the environment is whole."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to keep uv's cache on")
    with tempfile.TemporaryDirectory(dir=memory) as cache:
        two.environ["UV_CACHE_DIR"] = cache
        environments = two.environments()
        one, other = (data_of(environments, name) for name in ("one", "two"))
        assert one.stat().st_ino != other.stat().st_ino
        assert one.read_bytes() == other.read_bytes()
        apart = sum(environments.status(name).disk_size for name in ("one", "two"))
        assert environments.disk_size() == apart
