"""What the host sees of a running step from outside: whether it passes a limit, how far it is, what it prints."""

import codecs
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Optional, Tuple, Union

from modelmill_worker import deaths, processes
from modelmill_worker.errors import StepError
from modelmill_worker.step_folder import StepFolder, read_json

#: Seconds between two looks.
INTERVAL = 0.03
#: Bytes of log passed on at one look, and after the end; the rest is left out of the stream.
_LOG_AT_ONCE = 64 << 10
_LOG_AT_END = 256 << 10
#: Bytes of log that a failure carries.
TAIL_BYTES = 8 << 10
#: Bytes that a step may print where its request does not say; nobody reads more.
DEFAULT_LOG_BYTES = 16 << 20


@dataclass(frozen=True)
class Limits:
    """What one step may use: seconds (0: any), bytes of memory (0: any), bytes of log."""

    deadline_seconds: float
    memory_bytes: int
    log_bytes: int


@dataclass(frozen=True)
class ProgressNews:
    """How far the step is."""

    fraction: float
    message: str


@dataclass(frozen=True)
class LogNews:
    """What the step has printed since the last look."""

    text: str


News = Union[ProgressNews, LogNews]


class Watch:
    """Looks at one step process; `clock` tells seconds."""

    def __init__(self, folder: StepFolder, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._limits = limits
        self._clock = clock
        self._started = clock()
        self._log = _LogTail(folder.log)
        self._progress_seen: Optional[Tuple[int, int]] = None
        #: Bytes, of the step process and all that it started, as far as looks caught it.
        self.peak_memory = 0

    def begin(self) -> None:
        """Count run time from now: the process has started."""
        self._started = self._clock()

    def seconds(self) -> float:
        """How long the step has run."""
        return self._clock() - self._started

    def overrun(self, pid: int) -> Optional[StepError]:
        """The limit that the step has passed, if any."""
        if 0 < self._limits.deadline_seconds < self.seconds():
            return deaths.deadline_exceeded(self._limits.deadline_seconds)
        memory = processes.tree_memory(pid)
        self.peak_memory = max(self.peak_memory, memory)
        if 0 < self._limits.memory_bytes < memory:
            return deaths.memory_exceeded(self._limits.memory_bytes, memory)
        return self.log_overrun()

    def log_overrun(self) -> Optional[StepError]:
        """The failure for a log that is too long."""
        limit = self._limits.log_bytes or DEFAULT_LOG_BYTES
        return deaths.log_flooded(limit) if self._folder.log.stat().st_size > limit else None

    def news(self, final: bool = False) -> Iterator[News]:
        """What is new since the last look: the latest progress only, and not more log than anybody can read."""
        progress = self._progress()
        if progress is not None:
            yield progress
        text = self._log.read(_LOG_AT_END if final else _LOG_AT_ONCE, final)
        if text:
            yield LogNews(text)

    def log_tail(self) -> str:
        """The end of the log, from the start of a line."""
        return tail(self._folder.log)

    def _progress(self) -> Optional[ProgressNews]:
        path = self._folder.report / "progress.json"
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        identity = (found.st_ino, found.st_mtime_ns)
        if identity == self._progress_seen:
            return None
        self._progress_seen = identity
        progress = read_json(path) or {}
        try:
            return ProgressNews(float(progress["fraction"]), str(progress["message"])[:1000])
        except (KeyError, TypeError, ValueError):
            return None  # the model's own code may have written there


def tail(log: Path) -> str:
    """The last `TAIL_BYTES` of a log as text, from the start of a line."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read(TAIL_BYTES)
    except FileNotFoundError:
        return ""
    if size > TAIL_BYTES and b"\n" in data[:-1]:
        data = data.split(b"\n", 1)[1]
    return data.decode("utf-8", "replace")


class _LogTail:
    """Reads on where it stopped; a character cut in two by a look is put together again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, most: int, final: bool) -> str:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(most)
            self._offset += len(data)
            left = file.seek(0, 2) - self._offset
        text = self._decoder.decode(data, final)
        if final and left > 0:
            text += "\n[{} more bytes of log are left out here]\n".format(left)
        return text
