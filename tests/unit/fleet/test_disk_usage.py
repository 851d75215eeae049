import os

import pytest
from modelmill.fleet import disk_usage
from modelmill.fleet.disk_usage import DiskUsage, measure

#: Bytes, more than a file system keeps in an inode.
SIZE = 256 << 10


@pytest.fixture
def folders(tmp_path):
    """Two folders: each has a file of its own, and they share one as hard links; the first has it twice."""
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "own").write_bytes(os.urandom(SIZE))
    (tmp_path / "a" / "shared").write_bytes(os.urandom(SIZE))
    os.link(tmp_path / "a" / "shared", tmp_path / "a" / "deep" / "again")
    os.link(tmp_path / "a" / "shared", tmp_path / "b" / "deep" / "shared")
    (tmp_path / "b" / "link").symlink_to("own")
    return [tmp_path / "a", tmp_path / "b"]


def test_what_is_shared_counts_once(folders):
    apart = [measure(folder) for folder in folders]
    assert apart == [2 * SIZE, 2 * SIZE]
    assert DiskUsage().together(folders) == 3 * SIZE


def test_looks_into_folders_of_which_nothing_was_noted(folders):
    assert DiskUsage().together(folders) == 3 * SIZE
    (folders[0] / ".files").write_bytes(b"not a whole number")
    assert DiskUsage().together(folders) == 3 * SIZE + (folders[0] / ".files").stat().st_blocks * 512


def test_looks_once(folders, monkeypatch):
    usage = DiskUsage()
    usage.together(folders)
    monkeypatch.setattr(disk_usage, "_look", None)
    assert usage.together(folders) == 3 * SIZE
    assert usage.together(folders[:1]) == 2 * SIZE


def test_a_folder_that_has_gone_takes_nothing(folders, tmp_path):
    assert DiskUsage().together([*folders, tmp_path / "gone"]) == 3 * SIZE
    assert DiskUsage().together([]) == 0
