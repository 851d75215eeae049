"""How much memory a farm takes at its worst: the coordinator and every process that it has started."""

import threading
import time
from types import TracebackType

import psutil

#: Seconds between two looks.
INTERVAL = 0.5


class FarmMemory:
    """Looks at a coordinator and its descendants in a thread, as long as the context lasts.

    peak: bytes, the largest sum of proportional set sizes (PSS): a page that n processes share counts 1/n in each.
    processes: how many there were then. resident: the largest sum of resident set sizes, in which shared pages count
    n times.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.peak = self.resident = self.processes = 0

    def __enter__(self) -> "FarmMemory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            self._look()
            self._ended.wait(max(0.0, INTERVAL - (time.monotonic() - began)))

    def _look(self) -> None:
        looks = []
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                looks.append(process.memory_full_info())
            except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended meanwhile
                continue
        total = sum(look.pss for look in looks)
        self.resident = max(self.resident, sum(look.rss for look in looks))
        if total > self.peak:
            self.peak, self.processes = total, len(looks)
