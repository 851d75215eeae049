"""TOCO in a process of its own, forked for one call: its failed checks abort that process and nothing else.

TensorFlow shields itself from them with the command ``toco_from_protos``, which imports TensorFlow again and so costs
seconds. A fork costs milliseconds. All that needs threads, such as reading and freezing a graph, has been done when
TOCO is called; TOCO itself is a function from bytes to bytes and computes on the calling thread. A lock that another
thread held when the process was forked stays locked in the fork, though: a fork that stands still is made anew.
"""

import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Tuple

from modelmill_worker import StepError, libc
from modelmill_worker.errors import INFRASTRUCTURE

#: What TensorFlow's settings hold where TOCO is called directly rather than through the command.
_NO_COMMAND = ""

#: A fork that has not computed anything for so long never will. TOCO itself waits for nothing.
_STILL_SECONDS = 5.0
_ATTEMPTS = 3


class TocoFailedError(Exception):
    """TOCO said no: by an exception, or by ending its process. The text is all that it said."""


@contextlib.contextmanager
def in_this_process(module: str, setting: str) -> Iterator[None]:
    """Make TensorFlow call its native converter rather than the command ``toco_from_protos``.

    module, setting: where TensorFlow keeps the command's path.
    """
    owner: Any = importlib.import_module(module)
    command = getattr(owner, setting)
    setattr(owner, setting, _NO_COMMAND)
    try:
        yield
    finally:
        setattr(owner, setting, command)


@contextlib.contextmanager
def apart(module: str, native: str) -> Iterator[None]:
    """Make TensorFlow's calls of its native converter run in a process of their own.

    native: the function's name in the module, with dots where it is in something else there.
    """
    owner, name = find_native(module, native)
    function = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **named: run_apart(lambda: function(*arguments, **named)))
    try:
        yield
    finally:
        setattr(owner, name, function)


def find_native(module: str, native: str) -> Tuple[Any, str]:
    """What holds the native converter, loaded, and the name that it has there."""
    owner: Any = importlib.import_module(module)
    *holders, name = native.split(".")
    for holder in holders:
        getattr(getattr(owner, holder), name)  # a module that is loaded when it is first used
        owner = getattr(owner, holder)
    return owner, name


def run_apart(function: Callable[[], bytes]) -> bytes:
    """What the function returns, computed in a fork of this process; what it prints goes to our own standard error.

    A fork that stands still is ended and made anew.

    Raises TocoFailedError where the function raises or ends the process, StepError CONVERTER_STUCK where
    each fork stood still.
    """
    for _ in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix="toco-"))
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            child = os.fork()
            if child == 0:
                _compute(function, folder)
            status = _wait(child)
            if status is not None:
                return _result(folder, status)
        finally:
            shutil.rmtree(str(folder))
    raise StepError(
        "CONVERTER_STUCK",
        "TOCO's process stood still for {} s, {} times. Convert again.".format(_STILL_SECONDS, _ATTEMPTS),
        {"seconds": _STILL_SECONDS, "attempts": _ATTEMPTS},
        INFRASTRUCTURE,
    )


def _wait(child: int) -> Optional[int]:
    """The wait status of a fork; None, and the fork is gone, where it has not computed anything for a while."""
    used, since = -1, time.monotonic()
    pause = 0.001
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        now = _processor_ticks(child)
        if now != used:
            used, since = now, time.monotonic()
        elif time.monotonic() - since > _STILL_SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _processor_ticks(pid: int) -> int:
    """What a process has computed so far, in clock ticks: the fields utime and stime of proc(5)."""
    fields = Path("/proc/{}/stat".format(pid)).read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _compute(function: Callable[[], bytes], folder: Path) -> None:
    """The fork's part. Does not return."""
    code = 1
    try:
        libc.die_with_parent()
        for number in (signal.SIGABRT, signal.SIGSEGV):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(str(folder / "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            (folder / "result").write_bytes(function())
            code = 0
        except Exception as error:  # noqa: BLE001 - whatever TOCO raises is passed on as text
            (folder / "raised").write_text(str(error), encoding="utf-8", errors="replace")
    finally:
        libc.flush_stdio()
        os._exit(code)


def _result(folder: Path, status: int) -> bytes:
    log = _text(folder / "log")
    sys.stderr.write(log)
    sys.stderr.flush()
    if status == 0:
        return (folder / "result").read_bytes()
    raised = _text(folder / "raised")
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        raise TocoFailedError("{}\nTOCO was ended by {}.".format(log.rstrip(), name))
    raise TocoFailedError("\n".join(part for part in (log.rstrip(), raised) if part) or "TOCO ended and said nothing.")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
