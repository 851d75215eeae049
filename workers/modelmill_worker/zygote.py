"""The zygote: a process that imports what steps need, once, and forks a process for each step.

    python -m modelmill_worker.zygote --channel FD --host PID --provides JSON

It has one thread of its own and talks with its host over a socket of whole messages (SOCK_SEQPACKET), each a JSON
object. From the host: ``{"do": "start", "step", "plugin", "folder"}``, ``{"do": "kill", "step"}``.
To the host: ``{"event": "preloaded"}``, ``{"event": "started", "step", "pid"}``,
``{"event": "refused", "step", "reason", "message", "fault"}``,
``{"event": "ended", "step", "status", "peak_memory"}`` with the status of wait(2) and bytes.
The end of the socket ends the zygote and all its step processes.

It only imports: a process that has run a session or a conversion hangs the children that it forks. It must not
import grpc, whose threads do not survive a fork.
"""

import argparse
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from modelmill_worker import libc, processes, registry, requirements, step_process
from modelmill_worker.errors import INFRASTRUCTURE, TOOL
from modelmill_worker.registry import Registry
from modelmill_worker.step_folder import StepFolder

MESSAGE_BYTES = 1 << 16


class Zygote:
    """The loop that starts, ends and reaps step processes."""

    def __init__(self, channel: socket.socket, plugins: Registry, preload_failures: Mapping[str, str]) -> None:
        self._channel = channel
        self._plugins = plugins
        self._preload_failures = preload_failures
        self._steps: Dict[int, str] = {}
        #: Processes that an import started; they are not a step's.
        self._own = set(processes.children(os.getpid()))
        self._wakeup, self._wakeup_write = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._wakeup_write, False)

    def serve(self) -> None:
        """Obey the host until it is gone, then end all steps."""
        signal.set_wakeup_fd(self._wakeup_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        waiting = select.poll()
        waiting.register(self._channel, select.POLLIN)
        waiting.register(self._wakeup, select.POLLIN)
        self._say({"event": "preloaded"})
        while True:
            ready = [descriptor for descriptor, _ in waiting.poll()]
            if self._wakeup in ready:
                os.read(self._wakeup, 4096)
                self._reap()
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
        return True

    def _start(self, step: str, plugin: str, folder: StepFolder) -> None:
        if plugin in self._preload_failures:
            message = "The plug-in {} could not import what it needs here: {}. Check the environment.".format(
                plugin, self._preload_failures[plugin]
            )
            self._refuse(step, "PRELOAD_FAILED", message, TOOL)
            return
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            message = "No process could be started for the step: {}. Free memory or processes.".format(error.strerror)
            self._refuse(step, "STEP_NOT_STARTED", message, INFRASTRUCTURE)
            return
        if pid == 0:
            descriptors = (self._channel.fileno(), self._wakeup, self._wakeup_write)
            step_process.become(folder, self._plugins, zygote, descriptors)
        self._steps[pid] = step
        self._say({"event": "started", "step": step, "pid": pid})

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            step = self._steps.pop(pid, None)
            self._own.discard(pid)
            if step is not None:
                # What the step started is ours now; nothing of it may still write when the host reads the output.
                processes.end_children(spared=self._own.union(self._steps))
                peak = usage.ru_maxrss * 1024
                self._say({"event": "ended", "step": step, "status": status, "peak_memory": peak})

    def _refuse(self, step: str, reason: str, message: str, fault: str) -> None:
        self._say({"event": "refused", "step": step, "reason": reason, "message": message, "fault": fault})

    def _say(self, message: Dict[str, Any]) -> None:
        try:
            self._channel.send(json.dumps(message).encode("utf-8"))
        except (BrokenPipeError, ConnectionResetError):
            return  # the host is gone: the loop is about to see it


def preload(plugins: Registry, provides: Mapping[str, str]) -> Dict[str, str]:
    """Call the plug-ins' `preload`; what went wrong, by plug-in, with the traceback on standard error."""
    failures = {}
    for name, loaded in sorted(plugins.plugins.items()):
        hook = loaded.plugin.preload
        if hook is None or not requirements.preloads_in(loaded.plugin, provides):
            continue
        try:
            hook()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an import runs a third party's code
            traceback.print_exc()
            failures[name] = "{}: {!s:.500}".format(type(error).__name__, error)
    return failures


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
    failures = preload(plugins, given.provides)
    _share_memory()
    libc.outlive_parent()
    zygote = Zygote(channel, plugins, failures)
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
