"""The host's side of the zygote: starts it, gives it steps, notices its death."""

import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

from modelmill_worker import processes
from modelmill_worker.errors import INFRASTRUCTURE, TOOL, StepError
from modelmill_worker.logs import worker_log
from modelmill_worker.spares import Spares
from modelmill_worker.step_folder import StepFolder
from modelmill_worker.watch import tail
from modelmill_worker.zygote import MESSAGE_BYTES

#: Seconds that imports may take.
PRELOAD_SECONDS = 300.0
#: After so many zygotes in a row died importing, steps fail at once.
_PRELOAD_ATTEMPTS = 2


@dataclass(frozen=True)
class Started:
    """The step process runs."""

    pid: int


@dataclass(frozen=True)
class Ended:
    """The step process is gone: status of wait(2), and the largest resident memory in bytes."""

    status: int
    peak_memory: int


@dataclass(frozen=True)
class Refused:
    """No step process was started."""

    error: StepError


@dataclass(frozen=True)
class Lost:
    """The zygote died, and the step process with it."""


@dataclass(frozen=True)
class Closed:
    """The coordinator wants no more of this step."""


Event = Union[Started, Ended, Refused, Lost, Closed]


class StepProcess:
    """One step, from the host: its events, and the way to kill it."""

    def __init__(self, zygote: "_Zygote", number: str) -> None:
        self._zygote = zygote
        self._number = number
        self.pid = 0
        self.events: "queue.Queue[Event]" = queue.Queue()

    def kill(self) -> None:
        """End it and all that it started, now; `Ended` follows. Gone already is fine."""
        self._zygote.say({"do": "kill", "step": self._number})


class ZygoteClient:
    """Keeps one zygote ready; a dead one is followed by another when the next step comes."""

    def __init__(self, provides: Mapping[str, str], log: Path, steps: Path) -> None:
        self._provides = dict(provides)
        self._log = log
        self._steps = steps
        self._lives = 0
        self._lock = threading.Lock()
        self._zygote: Optional[_Zygote] = None
        self._preload_deaths = 0
        self._closed = False

    def open(self) -> None:
        """Start the first zygote, which imports while the host already serves."""
        with self._lock:
            self._living()

    def claim(self) -> Optional[StepFolder]:
        """The folder of a spare that is warm, for a step to be started in; None where there is none.

        Whoever claims it calls `release` when it is done with the folder.
        """
        with self._lock:
            return None if self._zygote is None else self._zygote.claim()

    def start(self, number: str, plugin: str, folder: StepFolder) -> StepProcess:
        """Have a step process started; its events tell the rest. Raises StepError PRELOAD_FAILED."""
        with self._lock:
            return self._living().start(number, plugin, folder)

    def release(self, folder: StepFolder) -> None:
        """End the spare that was claimed with this folder, where it was never given its step."""
        with self._lock:
            if self._zygote is not None:
                self._zygote.release(folder)

    def close(self) -> None:
        """End the zygote and its steps, and wait until they are gone."""
        with self._lock:
            self._closed = True
            if self._zygote is not None:
                self._zygote.close()

    def _living(self) -> "_Zygote":
        if self._zygote is not None and self._zygote.dying():
            self._zygote.join()
            self._preload_deaths = 0 if self._zygote.preloaded else self._preload_deaths + 1
            self._zygote = None
        if self._preload_deaths >= _PRELOAD_ATTEMPTS:
            raise preload_failed(tail(self._log))
        if self._closed:
            raise StepError(
                "WORKER_LOST", "The worker is shutting down; the step is tried again.", fault=INFRASTRUCTURE
            )
        if self._zygote is None:
            self._lives += 1
            spares = Spares(self._steps / "spare-{}".format(self._lives))
            self._zygote = _Zygote(self._provides, self._log, spares)
        return self._zygote


class _Zygote:
    """One life of a zygote. Its thread starts it, hears it and buries it.

    The same thread does all three because the kernel ties the zygote's life, while it imports, to the thread that
    started it.
    """

    def __init__(self, provides: Mapping[str, str], log: Path, spares: Spares) -> None:
        self.preloaded = False
        self._log = log
        self._spares = spares
        self._lock = threading.Lock()
        self._steps: Dict[str, StepProcess] = {}
        self._dying = False
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._thread = threading.Thread(target=self._live, args=(theirs, dict(provides)), name="zygote", daemon=True)
        self._thread.start()

    def start(self, number: str, plugin: str, folder: StepFolder) -> StepProcess:
        step = StepProcess(self, number)
        with self._lock:
            if self._dying:
                step.events.put(Lost())
                return step
            self._steps[number] = step
        self.say({"do": "start", "step": number, "plugin": plugin, "folder": str(folder.root)})
        self._spares.release(folder)
        self._order_spare()
        return step

    def claim(self) -> Optional[StepFolder]:
        return self._spares.claim()

    def release(self, folder: StepFolder) -> None:
        if self._spares.release(folder):
            self.say({"do": "end-spare", "folder": str(folder.root)})
            self._order_spare()

    def say(self, message: Dict[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(message).encode("utf-8"))
        except OSError:
            return  # it is dead: its thread tells the steps

    def dying(self) -> bool:
        with self._lock:
            return self._dying or not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join()

    def close(self) -> None:
        """End it by the end of its socket."""
        self._hang_up()
        self.join()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # it is dead already
            self._channel.shutdown(socket.SHUT_RDWR)

    def _live(self, theirs: socket.socket, provides: Dict[str, str]) -> None:
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                _command(theirs.fileno(), provides),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=dict(os.environ, PYTHONIOENCODING="utf-8:backslashreplace"),
            )
        theirs.close()
        worker_log().info("zygote started", extra={"fields": {"pid": process.pid}})
        try:
            self._hear()
        finally:
            self._bury(process)

    def _hear(self) -> None:
        self._channel.settimeout(PRELOAD_SECONDS)
        while True:
            try:
                message = self._channel.recv(MESSAGE_BYTES)
            except OSError:  # the timeout of its imports included
                return
            if not message:
                return
            self._note(json.loads(message.decode("utf-8")))

    def _note(self, message: Dict[str, Any]) -> None:
        kind = message["event"]
        if kind == "preloaded":
            self.preloaded = True
            self._channel.settimeout(None)
            worker_log().info("zygote ready")
            self._order_spare()
        elif kind in ("spare", "spare-ended"):
            self._note_spare(kind, message)
        else:
            self._note_step(kind, message)

    def _note_spare(self, kind: str, message: Dict[str, Any]) -> None:
        folder = StepFolder(Path(message["folder"]))
        if kind == "spare":
            self._spares.warmed_up(folder)
            worker_log().info("spare ready", extra={"fields": {"pid": message["pid"]}})
        else:
            self._spares.ended(folder, message["status"])
            self._order_spare()

    def _note_step(self, kind: str, message: Dict[str, Any]) -> None:
        with self._lock:
            step = self._steps[message["step"]]
            if kind != "started":
                del self._steps[message["step"]]
        if kind == "started":
            step.pid = message["pid"]
            step.events.put(Started(message["pid"]))
        elif kind == "ended":
            step.events.put(Ended(message["status"], message["peak_memory"]))
        elif kind == "refused":
            error = StepError(message["reason"], message["message"], fault=message["fault"], log_tail=tail(self._log))
            step.events.put(Refused(error))

    def _order_spare(self) -> None:
        folder = self._spares.order()
        if folder is not None:
            self.say({"do": "spare", "folder": str(folder.root)})

    def _bury(self, process: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            self._dying = True
            steps = list(self._steps.values())
            self._steps.clear()
        self._end(process)
        for step in steps:
            if step.pid:
                processes.kill(step.pid)
        # What the dead zygote's steps had started became ours (host.py adopts orphans).
        processes.end_children(spared=())
        self._spares.close()
        fields = {"pid": process.pid, "returncode": process.returncode, "steps": len(steps)}
        worker_log().info("zygote ended", extra={"fields": fields})
        for step in steps:
            step.events.put(Lost() if self.preloaded else Refused(preload_failed(tail(self._log))))

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """Let it end its steps and itself; it is killed where it does not."""
        self._hang_up()
        try:
            process.wait(timeout=5.0 if self.preloaded else 0.1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._channel.close()


def preload_failed(log_tail: str) -> StepError:
    """The failure of steps in an environment whose imports kill the process."""
    return StepError(
        "PRELOAD_FAILED",
        "The worker died, or took too long, while it imported what its steps need. The end of the log may say why; "
        "check the environment, then restart the worker.",
        fault=TOOL,
        log_tail=log_tail,
    )


def _command(channel: int, provides: Mapping[str, str]) -> List[str]:
    # -u: what a step prints just before it dies must not be left in a buffer.
    module = ["-u", "-m", "modelmill_worker.zygote"]
    given = ["--channel", str(channel), "--host", str(os.getpid()), "--provides", json.dumps(provides)]
    return [sys.executable] + module + given
