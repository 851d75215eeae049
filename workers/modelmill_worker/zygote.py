"""The zygote: a process that imports what steps need, once, and forks a process for each step.

    python -m modelmill_worker.zygote --channel FD --host PID --provides JSON

It has one thread of its own and talks with its host over a socket of whole messages (SOCK_SEQPACKET), each a JSON
object. From the host: ``{"do": "start", "step", "plugin", "folder"}``, ``{"do": "kill", "step"}``,
``{"do": "spare", "folder"}``, ``{"do": "end-spare", "folder"}``.
To the host: ``{"event": "preloaded"}``, ``{"event": "started", "step", "pid"}``,
``{"event": "refused", "step", "reason", "message", "fault"}``,
``{"event": "ended", "step", "status", "peak_memory"}`` with the status of wait(2) and bytes,
``{"event": "spare", "folder", "pid"}`` when it is warm, ``{"event": "spare-ended", "folder", "status"}``.
The end of the socket ends the zygote and all its step processes.

It only imports: a process that has run a session or a conversion hangs the children that it forks. It must not
import grpc, whose threads do not survive a fork.

A step that is started in the folder of a spare is run by the spare; any other has a process forked for it at once.
"""

import argparse
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Set

from modelmill_worker import libc, processes, registry, requirements, spare_process, step_process
from modelmill_worker.errors import INFRASTRUCTURE, TOOL
from modelmill_worker.registry import Registry
from modelmill_worker.step_folder import StepFolder

MESSAGE_BYTES = 1 << 16
#: A spare is forked when no step has run, started or ended for so long. A warm-up costs more than it saves; it is
#: worth it only on a processor that has nothing else to do, so a worker that is kept busy has no spares.
REST_MILLISECONDS = 50


@dataclass(frozen=True)
class Preloaded:
    """What the imports came to: the warm-ups of those that went well, what went wrong with others, by plug-in."""

    warm_ups: Mapping[str, Callable[[], None]]
    failures: Mapping[str, str]


@dataclass(frozen=True)
class _Spare:
    """A process that waits in a folder for a step; the line to it."""

    folder: StepFolder
    line: socket.socket


class Zygote:
    """The loop that starts, ends and reaps step processes."""

    def __init__(self, channel: socket.socket, plugins: Registry, preloaded: Preloaded) -> None:
        self._channel = channel
        self._plugins = plugins
        self._preloaded = preloaded
        self._steps: Dict[int, str] = {}
        self._spares: Dict[int, _Spare] = {}
        self._ordered: Optional[StepFolder] = None
        self._told: Set[str] = set()
        self._waiting = select.poll()
        #: Processes that an import started; they are not a step's.
        self._own = set(processes.children(os.getpid()))
        self._wakeup, self._wakeup_write = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._wakeup_write, False)

    def serve(self) -> None:
        """Obey the host until it is gone, then end all steps."""
        signal.set_wakeup_fd(self._wakeup_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._waiting.register(self._channel, select.POLLIN)
        self._waiting.register(self._wakeup, select.POLLIN)
        self._say({"event": "preloaded"})
        while True:
            at_rest = self._ordered is not None and not self._steps
            ready = [descriptor for descriptor, _ in self._waiting.poll(REST_MILLISECONDS if at_rest else None)]
            if at_rest and not ready:
                self._start_spare()
            if self._wakeup in ready:
                os.read(self._wakeup, 4096)
                self._reap()
            for pid, spare in list(self._spares.items()):
                if spare.line.fileno() in ready:
                    self._hear(pid, spare)
            if self._channel.fileno() in ready and not self._obey():
                return

    def end(self) -> None:
        """Kill every process that was started from here."""
        processes.end_children(spared=())

    def _obey(self) -> bool:
        message = self._channel.recv(MESSAGE_BYTES)
        if not message:
            return False
        order = json.loads(message.decode("utf-8"))
        if order["do"] == "start":
            self._start(order["step"], order["plugin"], StepFolder(Path(order["folder"])))
        elif order["do"] == "kill":
            for pid, step in self._steps.items():
                if step == order["step"]:
                    processes.kill(pid)
        elif order["do"] == "spare":
            self._ordered = StepFolder(Path(order["folder"]))
        elif order["do"] == "end-spare":
            self._end_spare(StepFolder(Path(order["folder"])))
        return True

    def _start(self, step: str, plugin: str, folder: StepFolder) -> None:
        if plugin in self._preloaded.failures:
            self._end_spare(folder)
            message = "The plug-in {} could not import what it needs here: {}. Check the environment.".format(
                plugin, self._preloaded.failures[plugin]
            )
            self._refuse(step, "PRELOAD_FAILED", message, TOOL)
            return
        try:
            pid = self._hand_over(folder) or self._fork(folder)
        except OSError as error:
            message = "No process could be started for the step: {}. Free memory or processes.".format(error.strerror)
            self._refuse(step, "STEP_NOT_STARTED", message, INFRASTRUCTURE)
            return
        self._steps[pid] = step
        self._say({"event": "started", "step": step, "pid": pid})

    def _fork(self, folder: StepFolder, wait: Callable[[], None] = step_process.start_at_once) -> int:
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            lines = [spare.line.fileno() for spare in self._spares.values()]
            descriptors = [self._channel.fileno(), self._wakeup, self._wakeup_write] + lines
            step_process.become(folder, self._plugins, zygote, descriptors, wait)
        return pid

    def _start_spare(self) -> None:
        assert self._ordered is not None
        folder, self._ordered = self._ordered, None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def wait() -> None:
            ours.close()
            spare_process.wait_for_step(folder, self._preloaded.warm_ups, theirs)

        try:
            pid = self._fork(folder, wait)
        except OSError:  # no memory or no more processes: none for a spare either
            traceback.print_exc()
            ours.close()
            self._say({"event": "spare-ended", "folder": str(folder.root), "status": 0})
            return
        finally:
            theirs.close()
        self._spares[pid] = _Spare(folder, ours)
        self._waiting.register(ours, select.POLLIN)

    def _hear(self, pid: int, spare: _Spare) -> None:
        message = spare.line.recv(MESSAGE_BYTES)
        if not message:
            self._waiting.unregister(spare.line)  # it is dead; its end is told when it is reaped
            return
        for plugin, raised in json.loads(message.decode("utf-8"))["raised"].items():
            if plugin not in self._told:
                self._told.add(plugin)
                sys.stderr.write("The warm-up of the plug-in {} raised: {}\n".format(plugin, raised))
        self._say({"event": "spare", "folder": str(spare.folder.root), "pid": pid})

    def _hand_over(self, folder: StepFolder) -> Optional[int]:
        """Tell the spare in this folder that its step has come: its pid; None where there is none, or it died."""
        pid = self._spare_in(folder)
        if pid is None:
            return None
        line = self._forget(pid)
        try:
            line.send(b"1")
        except OSError:
            return None
        finally:
            line.close()
        return pid

    def _end_spare(self, folder: StepFolder) -> None:
        pid = self._spare_in(folder)
        if pid is not None:
            processes.kill(pid)

    def _spare_in(self, folder: StepFolder) -> Optional[int]:
        return next((pid for pid, spare in self._spares.items() if spare.folder == folder), None)

    def _forget(self, pid: int) -> socket.socket:
        """It is a spare no more: the line to it."""
        line = self._spares.pop(pid).line
        with contextlib.suppress(KeyError):  # it hung up before
            self._waiting.unregister(line)
        return line

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._own.discard(pid)
            if pid in self._spares:
                self._note_spare_end(pid, status)
            elif pid in self._steps:
                self._note_step_end(pid, status, usage.ru_maxrss * 1024)

    def _note_spare_end(self, pid: int, status: int) -> None:
        folder = self._spares[pid].folder
        self._forget(pid).close()
        self._end_orphans()
        self._say({"event": "spare-ended", "folder": str(folder.root), "status": status})

    def _note_step_end(self, pid: int, status: int, peak: int) -> None:
        step = self._steps.pop(pid)
        self._end_orphans()
        self._say({"event": "ended", "step": step, "status": status, "peak_memory": peak})

    def _end_orphans(self) -> None:
        """What a process started is ours now; nothing of it may still write when the host reads the step's output."""
        processes.end_children(spared=self._own.union(self._steps, self._spares))

    def _refuse(self, step: str, reason: str, message: str, fault: str) -> None:
        self._say({"event": "refused", "step": step, "reason": reason, "message": message, "fault": fault})

    def _say(self, message: Dict[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(message).encode("utf-8"))
        except (BrokenPipeError, ConnectionResetError):
            return  # the host is gone: the loop is about to see it


def preload(plugins: Registry, provides: Mapping[str, str]) -> Preloaded:
    """Call the `preload` of the plug-ins that can run here; tracebacks go to standard error."""
    failures = {}
    warm_ups = {}
    for name, loaded in sorted(plugins.plugins.items()):
        plugin = loaded.plugin
        if not requirements.runs_in(plugin, provides):
            continue
        try:
            if plugin.preload is not None:
                plugin.preload()
            if plugin.warm_up is not None:
                warm_ups[name] = plugin.warm_up
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an import runs a third party's code
            traceback.print_exc()
            failures[name] = "{}: {!s:.500}".format(type(error).__name__, error)
    return Preloaded(warm_ups, failures)


def main(arguments: Optional[List[str]] = None) -> int:
    """Run one zygote until its host is gone."""
    parser = argparse.ArgumentParser(prog="modelmill_worker.zygote")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--host", type=int, required=True)
    parser.add_argument("--provides", type=json.loads, required=True)
    given = parser.parse_args(arguments)
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, given.channel)
    channel.set_inheritable(False)
    # While it imports, the zygote cannot see the end of its socket; the kernel watches its host instead.
    libc.die_with_parent()
    if os.getppid() != given.host:
        return 1
    libc.adopt_orphans()
    libc.line_buffer_stdout()
    plugins = registry.load()
    preloaded = preload(plugins, given.provides)
    _share_memory()
    libc.outlive_parent()
    zygote = Zygote(channel, plugins, preloaded)
    try:
        zygote.serve()
    finally:
        zygote.end()
    return 0


def _share_memory() -> None:
    """Keep the garbage collector from touching, and so copying, the pages that children share with us."""
    gc.collect()
    if sys.version_info >= (3, 7):
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
