"""Other programs that the fleet runs to their end: uv, npm, an environment's Python."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from modelmill.errors import Fault, ModelmillError

_TAIL_LINES = 60
_NO_SPACE = ("No space left on device", "os error 28", "ENOSPC", "Disk quota exceeded")


@dataclass(frozen=True)
class ToolResult:
    """How a program ended: its exit code (negative: the signal) and the last lines that it printed."""

    exit_code: int
    tail: str

    def check_space(self, what: str) -> None:
        """Raises ModelmillError DISK_FULL if it failed and said that there was no space; `what` was to be made."""
        if self.exit_code and any(words in self.tail for words in _NO_SPACE):
            message = f"The disk has no room for {what}: free some space and try again."
            raise ModelmillError("DISK_FULL", message, {"what": what}, Fault.INFRASTRUCTURE, self.tail)


class ToolProcesses:
    """Runs programs one call each, from any thread; `close` ends those that run, with their children.

    What is `apart` of others can be closed by itself, and is closed with them.
    """

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._apart: set[ToolProcesses] = set()
        self._guard = threading.Lock()
        self._closed = False

    @contextmanager
    def apart(self) -> Iterator[ToolProcesses]:
        """Others of the same kind, closed with these or when the block ends."""
        others = ToolProcesses()
        with self._guard:
            self.check_open()
            self._apart.add(others)
        try:
            yield others
        finally:
            with self._guard:
                self._apart.discard(others)
            others.close()

    def check_open(self) -> None:
        """Raises ModelmillError COORDINATOR_STOPPED after `close`."""
        if self._closed:
            raise ModelmillError(
                "COORDINATOR_STOPPED", "The coordinator was stopped meanwhile.", fault=Fault.INFRASTRUCTURE
            )

    def run(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        folder: Path = Path("/"),
        told: Callable[[str], None] | None = None,
        held: int | None = None,
    ) -> ToolResult:
        """Run a program to its end in a process group of its own; nothing of it outlives an exception here.

        folder: its working folder; the default keeps tools from finding a project's settings.
        told: is given each line that it prints.
        held: a descriptor that it and its children keep open: a lock stays taken until the last of them has
            ended, even if this process is killed.
        """
        with self._guard:
            self.check_open()
            process = subprocess.Popen(
                list(arguments),
                env=dict(environ),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                pass_fds=() if held is None else (held,),
            )
            self._running.add(process.pid)
        try:
            tail = _follow(process, told)
            exit_code = process.wait()
        finally:
            with self._guard:
                self._running.discard(process.pid)
                if process.poll() is None:
                    _kill(process.pid)
            process.wait()
        self.check_open()
        return ToolResult(exit_code, tail)

    def close(self) -> None:
        """End what runs and refuse to run more."""
        with self._guard:
            self._closed = True
            for group in self._running:
                _kill(group)
            for others in self._apart:
                others.close()


def _follow(process: subprocess.Popen[str], told: Callable[[str], None] | None) -> str:
    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with process.stdout as lines:
        for line in lines:
            tail.append(line)
            if told is not None:
                told(line.rstrip())
    return "".join(tail)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
