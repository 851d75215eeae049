import os
import threading
from pathlib import Path

import pytest
from modelmill.errors import ModelmillError
from modelmill.fleet.tool_process import ToolProcesses, ToolResult

PATH = {"PATH": os.environ["PATH"]}


def ended(pid: int) -> bool:
    """The process is gone, or is a zombie whose parent has yet to collect it."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_tells_lines_and_keeps_the_last():
    told: list[str] = []
    result = ToolProcesses().run(["sh", "-c", "seq 1 100; echo oops >&2; exit 3"], PATH, told=told.append)
    assert result.exit_code == 3
    assert told == [*map(str, range(1, 101)), "oops"]
    assert result.tail.endswith("99\n100\noops\n")
    assert len(result.tail.splitlines()) == 60


def test_nothing_outlives_an_exception(tmp_path, wait_until):
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    pids = tmp_path / "pids"
    with pytest.raises(KeyboardInterrupt):
        ToolProcesses().run(["sh", "-c", f"sleep 1000 & echo $! $$ > {pids}; echo go; wait"], PATH, told=interrupt)
    for pid in map(int, pids.read_text().split()):
        wait_until(lambda pid=pid: ended(pid))


def test_close_ends_what_runs_and_its_children(tmp_path, wait_until):
    tools = ToolProcesses()
    pids = tmp_path / "pids"
    caught: list[ModelmillError] = []

    def run() -> None:
        try:
            tools.run(["sh", "-c", f"sleep 1000 & echo $! > {pids}.part; mv {pids}.part {pids}; wait"], PATH)
        except ModelmillError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(pids.exists)
    tools.close()
    thread.join(60)
    assert [error.reason for error in caught] == ["COORDINATOR_STOPPED"]
    wait_until(lambda: ended(int(pids.read_text())))
    with pytest.raises(ModelmillError, match="stopped"):
        tools.run(["true"], PATH)


@pytest.mark.parametrize(
    "said", ["error: No space left on device (os error 28)", "npm error code ENOSPC", "write: Disk quota exceeded"]
)
def test_knows_a_full_disk_by_what_tools_say(said):
    with pytest.raises(ModelmillError) as caught:
        ToolResult(2, f"{said}\n").check_space("base")
    assert caught.value.reason == "DISK_FULL"
    ToolResult(0, f"{said}\n").check_space("base")
    ToolResult(2, "something else\n").check_space("base")
