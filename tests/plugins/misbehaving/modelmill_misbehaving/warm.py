"""A warm-up that leaves something of everything behind, and fails where MISBEHAVING_WARM_UP says so."""

import os
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Optional

_TASKS: "queue.Queue[Callable[[], None]]" = queue.Queue()
_threads = []


def warm_up() -> None:
    print("warming up")
    os.write(1, b"warming up as C would\n")
    Path(tempfile.gettempdir(), "left-by-warm-up").write_text("left")
    Path(tempfile.mkdtemp(), "in-a-folder").write_text("left")
    _threads.append(threading.Thread(target=_work, daemon=True))
    _threads[0].start()
    how = os.environ.get("MISBEHAVING_WARM_UP")
    if how == "raise":
        raise RuntimeError("not warm")
    if how == "abort":
        os.abort()
    if how == "hang":
        time.sleep(3600)


def in_old_thread(attempt: Callable[[], Any]) -> Optional[Any]:
    """What a function returns in the thread that the warm-up started; None where there was no warm-up."""
    if not _threads:
        return None
    answers: "queue.Queue[Any]" = queue.Queue()
    _TASKS.put(lambda: answers.put(attempt()))
    return answers.get(timeout=30)


def _work() -> None:
    while True:
        _TASKS.get()()
