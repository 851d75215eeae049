"""What /proc tells of processes: their children, their memory."""

import os
import signal
from pathlib import Path
from typing import Collection, Iterator, List

_PAGE = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> List[int]:
    """The children of a process, zombies included; none if it is gone."""
    try:
        threads = [entry.name for entry in os.scandir("/proc/{}/task".format(pid))]
    except OSError:
        return []
    found: List[int] = []
    for thread in threads:
        try:
            with open("/proc/{}/task/{}/children".format(pid, thread)) as listing:
                found.extend(int(word) for word in listing.read().split())
        except FileNotFoundError:
            if not Path("/proc/self/task/{}/children".format(os.getpid())).exists():
                return _children_by_search(pid)  # a kernel without CONFIG_PROC_CHILDREN
        except OSError:
            continue  # this thread ended while we looked
    return found


def tree(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    for child in children(pid):
        yield from tree(child)


def resident_memory(pid: int) -> int:
    """Bytes of memory that a process has in RAM, pages shared with its zygote included; 0 if it is gone."""
    try:
        with open("/proc/{}/statm".format(pid)) as statm:
            return int(statm.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def tree_memory(pid: int) -> int:
    """`resident_memory` of a process and all its descendants together."""
    return sum(resident_memory(member) for member in tree(pid))


def own_data_size() -> int:
    """Bytes that RLIMIT_DATA counts for this process now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def end_children(spared: Collection[int]) -> None:
    """Kill and reap every child of this process but the spared ones, and what these leave behind in turn.

    Whoever calls this must have called `libc.adopt_orphans`, so that the children of a killed child become its own.
    """
    while True:
        doomed = [pid for pid in children(os.getpid()) if pid not in spared]
        if not doomed:
            return
        for pid in doomed:
            kill(pid)
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue  # reaped elsewhere


def kill(pid: int) -> None:
    """Kill a process and, where it leads one, its process group. Gone already is fine."""
    for send in (os.kill, os.killpg):
        try:
            send(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _children_by_search(pid: int) -> List[int]:
    known = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    return [process for process in known if _parent(process) == pid]


def _parent(pid: int) -> int:
    try:
        with open("/proc/{}/stat".format(pid)) as stat:
            # The name, in parentheses, may itself hold blanks and parentheses.
            return int(stat.read().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0
