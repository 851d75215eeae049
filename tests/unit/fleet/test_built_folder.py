import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from modelmill.errors import ModelmillError
from modelmill.fleet.built_folder import BuiltFolder

WITNESS = "made"


def build_into(folder: BuiltFolder, counted: list | None = None):
    def build(lock: int) -> dict:
        folder.path.mkdir()
        (folder.path / WITNESS).write_text("whole")
        if counted is not None:
            counted.append(lock)
        return {"size": 5}

    return build


def nobody_waits() -> None:
    raise AssertionError("waited")


@pytest.fixture
def folder(tmp_path):
    return BuiltFolder(tmp_path / "parent" / "folder", WITNESS)


def test_builds_once(folder):
    counted: list = []
    assert folder.record() is None
    for _ in range(3):
        folder.ensure(build_into(folder, counted), nobody_waits).release()
    assert len(counted) == 1
    assert folder.record() == {"size": 5}


def test_threads_that_want_the_same_build_it_once(folder):
    counted: list = []
    begin = threading.Barrier(8)

    def want() -> None:
        begin.wait()
        folder.ensure(build_into(folder, counted), lambda: None).release()

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(counted) == 1


def test_leaves_nothing_when_building_fails(folder):
    def fail(lock: int) -> dict:
        folder.path.mkdir()
        (folder.path / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        folder.ensure(fail, nobody_waits)
    assert not folder.path.exists()
    folder.ensure(build_into(folder), nobody_waits).release()
    assert folder.record() is not None


def test_builds_anew_what_lost_its_witness(folder):
    folder.ensure(build_into(folder), nobody_waits).release()
    (folder.path / WITNESS).unlink()
    assert folder.record() is None
    folder.ensure(build_into(folder), nobody_waits).release()
    assert (folder.path / WITNESS).exists()


def test_is_not_removed_while_in_use(folder):
    hold = folder.ensure(build_into(folder), nobody_waits)
    other = BuiltFolder(folder.path, WITNESS)
    assert not other.remove()
    assert folder.record() is not None
    hold.release()
    hold.release()
    assert other.remove()
    assert list(folder.path.parent.iterdir()) == []
    assert other.remove(), "there is nothing left to remove"


def test_waiting_ends_with_the_exception_of_the_one_who_waits(folder):
    class StoppedError(Exception):
        pass

    def stop() -> None:
        raise StoppedError

    def build(lock: int) -> dict:
        with pytest.raises(StoppedError):
            BuiltFolder(folder.path, WITNESS).ensure(build_into(folder), stop)
        return build_into(folder)(lock)

    folder.ensure(build, nobody_waits).release()


def test_a_full_disk_has_a_name(folder):
    def fail(lock: int) -> dict:
        raise OSError(28, "No space left on device")

    with pytest.raises(ModelmillError) as caught:
        folder.ensure(fail, nobody_waits)
    assert caught.value.reason == "DISK_FULL"


BUILDER = """
import sys
from pathlib import Path
from modelmill.fleet.built_folder import BuiltFolder
from modelmill.fleet.tool_process import ToolProcesses

folder = BuiltFolder(Path(sys.argv[1]), "made")
def build(lock):
    folder.path.mkdir()
    script = 'touch begun; while [ ! -e "$0" ]; do sleep 0.02; done; touch half ended'
    ToolProcesses().run(["sh", "-c", script, sys.argv[2]], {"PATH": "/usr/bin:/bin"}, folder.path, print, held=lock)
folder.ensure(build, lambda: None)
"""


def test_what_a_killed_builder_left_is_cleared_when_its_last_child_has_ended(folder, tmp_path, wait_until):
    """The builder is killed and its tool goes on: nobody may build beside it."""
    go = tmp_path / "go"
    builder = subprocess.Popen([sys.executable, "-c", BUILDER, str(folder.path), str(go)])
    wait_until((folder.path / "begun").exists)
    os.kill(builder.pid, signal.SIGKILL)
    builder.wait()

    assert not folder.remove(), "the orphan still holds the lock"
    seen: list[bool] = []

    def waits() -> None:
        seen.append((folder.path / "ended").exists())
        go.touch()

    folder.ensure(build_into(folder), waits).release()
    assert seen[0] is False
    assert sorted(path.name for path in folder.path.iterdir()) == [".complete.json", WITNESS]


def test_a_removed_folder_can_be_built_by_one_who_waited(folder):
    """The lock file is removed with the folder: who opened it before must notice."""
    first = folder.ensure(build_into(folder), nobody_waits)
    descriptor = os.open(Path(f"{folder.path}.lock"), os.O_RDWR)
    first.release()
    assert folder.remove()
    assert not folder._is_lock_file(descriptor)
    os.close(descriptor)
    folder.ensure(build_into(folder), nobody_waits).release()
    assert folder.record() is not None
