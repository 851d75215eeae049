"""The spares of one zygote, as the host knows them: at most one waits for a step, or warms up to do so.

A spare has the folder of its future step from the start, because Landlock must be told what it may write to. The host
owns that folder: it is the step's when the spare is claimed, and is removed with a spare that nobody claims.
"""

import os
import signal
import threading
from pathlib import Path
from typing import Optional, Set

from modelmill_worker.logs import worker_log
from modelmill_worker.step_folder import StepFolder
from modelmill_worker.watch import tail

#: After so many spares in a row that died before a step came, there are no more: warm-ups that crash, or no memory.
_DEATHS = 2


def switched_on() -> bool:
    """Whether to have spares; MODELMILL_SPARES=off says no."""
    return os.environ.get("MODELMILL_SPARES") != "off"


class Spares:
    """Which spare is due, which is warm, and whose step has not started yet.

    prefix: where their folders lie and how their names begin; no other zygote's begin like that.
    """

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        self._wanted = switched_on()
        self._number = 0
        self._deaths = 0
        self._next: Optional[StepFolder] = None
        self._warm = False
        self._claimed: Set[StepFolder] = set()

    def order(self) -> Optional[StepFolder]:
        """The folder, just made, for a spare to be forked now; None where none is due."""
        with self._lock:
            if not self._wanted or self._next is not None:
                return None
            self._number += 1
            folder = StepFolder(self._prefix.with_name("{}-{}".format(self._prefix.name, self._number)))
            try:
                folder.create()
            except OSError as error:  # the disk is full, perhaps not for long
                worker_log().warning("no spare", extra={"fields": {"error": str(error)}})
                return None
            self._next = folder
            return folder

    def warmed_up(self, folder: StepFolder) -> None:
        """The spare can take a step."""
        with self._lock:
            self._warm = folder == self._next

    def claim(self) -> Optional[StepFolder]:
        """The folder of a warm spare, for one step; None where there is none."""
        with self._lock:
            folder = self._next if self._warm else None
            if folder is not None:
                self._next, self._warm, self._deaths = None, False, 0
                self._claimed.add(folder)
            return folder

    def release(self, folder: StepFolder) -> bool:
        """The step of this folder has been started, or never will be: whether a spare was claimed for it."""
        with self._lock:
            if folder not in self._claimed:
                return False
            self._claimed.remove(folder)
            return True

    def ended(self, folder: StepFolder, status: int) -> None:
        """A spare died, with this status of wait(2), before it was told of a step."""
        with self._lock:
            if folder != self._next:
                return  # claimed: the zygote forks another process for that step
            log = tail(folder.log)
            self._remove_next()
            self._deaths += 1
            worker_log().info("spare ended", extra={"fields": {"status": status}})
            if self._deaths >= _DEATHS:
                self._wanted = False
                fields = {"cause": _cause(status), "log": log}
                worker_log().warning("no more spares: steps start cold", extra={"fields": fields})

    def close(self) -> None:
        """Their zygote is gone."""
        with self._lock:
            self._wanted = False
            self._remove_next()

    def _remove_next(self) -> None:
        if self._next is not None:
            self._next.remove()
        self._next, self._warm = None, False


def _cause(status: int) -> str:
    if os.WIFSIGNALED(status):
        return "signal {}".format(signal.Signals(os.WTERMSIG(status)).name)
    return "exit code {}".format(os.WEXITSTATUS(status))
