"""The coordinator of a home on this machine: found where it runs, started where it does not.

It listens on a socket in the home's state folder, says so in `coordinator.json` beside it, and ends by itself when
nobody has asked for anything for a while. Two commands that start at once start one: a lock file sees to that.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from modelmill_protos.v1 import conversion_pb2, conversion_pb2_grpc

import modelmill
from modelmill.errors import Fault, ModelmillError
from modelmill.settings import Settings

#: Seconds in which a coordinator must be ready, or another command must have started it.
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_LOG_TAIL = 4 << 10

#: What a coordinator is started with; the address follows.
_COMMAND = (sys.executable, "-P", "-m", "modelmill.api.server", "--embedded", "--address")


@dataclass(frozen=True)
class Coordinator:
    """A coordinator that answers.

    address: for a client.
    born: when its process began, as the kernel counts; tells it from a later process of the same number.
    started: whether it was started for whoever asked.
    """

    pid: int
    address: str
    born: int
    started: bool = False


def ensure(settings: Settings, command: Sequence[str] = _COMMAND) -> Coordinator:
    """The coordinator of a home, started where none runs.

    One that runs other code, or was started with other settings, is replaced, unless it has something to do.

    Raises COORDINATOR_NOT_STARTED with the end of its log.
    """
    _make_private(settings.state)
    found = _usable(settings)
    if found is not None:
        return found
    with _locked(settings.state / "starting.lock"):
        found = _usable(settings)
        if found is not None:
            return found
        outdated = _find(settings)
        if outdated is not None:
            _end(outdated)
        return _start(settings, command)


def end_if_idle(coordinator: Coordinator) -> bool:
    """Ends a coordinator that has nothing to do; whether it did."""
    if not _is_idle(coordinator.address):
        return False
    _end(coordinator)
    return True


# Finding


def _usable(settings: Settings) -> Coordinator | None:
    found = _find(settings)
    if found is None or _is_current(found, settings) or not _is_idle(found.address):
        return found
    return None


def _find(settings: Settings) -> Coordinator | None:
    """The coordinator that listens at the home's socket."""
    told = _read(settings.state / "coordinator.json")
    if told is None or not _listens(told["address"]):
        return None
    return Coordinator(told["pid"], told["address"], _born(told["pid"]))


def _listens(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address.removeprefix("unix:"))
        except OSError:
            return False
        return True


def _is_current(coordinator: Coordinator, settings: Settings) -> bool:
    """Whether it was started by a command with the code and the settings of this one.

    One that somebody started by other means is current where it says the same version.
    """
    started = _read(settings.state / "started.json") or {}
    if (started.get("pid"), started.get("born")) == (coordinator.pid, coordinator.born):
        return bool(started["fingerprint"] == _fingerprint(settings))
    told = _read(settings.state / "coordinator.json") or {}
    return bool(told.get("version") == settings.version)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _fingerprint(settings: Settings) -> str:
    """Of everything that makes one coordinator differ from another: its code, its Python, its settings."""
    folder = Path(modelmill.__file__).parent
    files = [(file, file.stat()) for file in sorted(folder.rglob("*.py"))]
    code = [(os.fspath(file.relative_to(folder)), found.st_size, found.st_mtime_ns) for file, found in files]
    what = [code, sys.executable, sorted((key, str(value)) for key, value in asdict(settings).items())]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _is_idle(address: str) -> bool:
    """Whether no conversion is under way; a coordinator that cannot say so is not."""
    with grpc.insecure_channel(address) as channel:
        stub = conversion_pb2_grpc.ConversionServiceStub(channel)
        for state in ("RUNNING", "QUEUED"):
            request = conversion_pb2.ListConversionsRequest(page_size=1, filter=f"state={state}")
            try:
                if stub.ListConversions(request, timeout=5).conversions:
                    return False
            except grpc.RpcError:
                return False
    return True


# Starting


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        deadline = time.monotonic() + _START_SECONDS + _STOP_SECONDS
        while not _try_lock(lock.fileno()):
            if time.monotonic() > deadline:
                raise _not_started("another command has been starting it for too long", path)
            time.sleep(0.02)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start(settings: Settings, command: Sequence[str]) -> Coordinator:
    log = settings.state / "coordinator.log"
    with suppress(FileNotFoundError):
        log.replace(log.with_suffix(".log.1"))
    _make_private(settings.socket.parent)
    fingerprint = _fingerprint(settings)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"unix:{settings.socket}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=settings.state,
            env=_environment(settings),
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, settings, log)
        started = Coordinator(process.pid, f"unix:{settings.socket}", _born(process.pid), started=True)
        _note(settings.state / "started.json", {"pid": started.pid, "born": started.born, "fingerprint": fingerprint})
    except BaseException:
        _end(Coordinator(process.pid, "", _born(process.pid)))
        raise
    return started


def _make_private(folder: Path) -> None:
    """A folder that nobody else can open, since whoever opens the socket may convert; SOCKET_FOLDER_UNSAFE."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ModelmillError(
            "SOCKET_FOLDER_UNSAFE",
            f"{folder} must be a folder of yours, and is not: remove it, or choose another MODELMILL_HOME.",
            {"folder": str(folder)},
        )
    folder.chmod(0o700)


def _environment(settings: Settings) -> dict[str, str]:
    """The command's own, with the settings spelled out: the coordinator works in another folder."""
    return {
        **os.environ,
        "MODELMILL_HOME": os.fspath(settings.home),
        "MODELMILL_PLUGINS": os.pathsep.join(_absolute(plugin) for plugin in settings.plugins),
        "MODELMILL_SLOTS": str(settings.slots),
        "MODELMILL_WORKER_IDLE_SECONDS": str(settings.worker_idle_seconds),
        "MODELMILL_IDLE_SECONDS": str(settings.coordinator_idle_seconds),
    }


def _absolute(plugin: str) -> str:
    return os.fspath(Path(plugin).resolve()) if Path(plugin).exists() else plugin


def _wait_until_ready(process: subprocess.Popen[bytes], settings: Settings, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_ready(process.pid, settings):
        if process.poll() is not None:
            raise _not_started(f"it ended with status {process.returncode}", log)
        if time.monotonic() > deadline:
            raise _not_started(f"it was not ready after {_START_SECONDS:g} seconds", log)
        time.sleep(0.02)


def _is_ready(pid: int, settings: Settings) -> bool:
    found = _find(settings)
    return found is not None and found.pid == pid and _is_serving(found.address)


def _is_serving(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=2)  # type: ignore[attr-defined]
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _note(file: Path, value: object) -> None:
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(value))
    beside.replace(file)


def _not_started(why: str, log: Path) -> ModelmillError:
    tail = log.read_bytes()[-_LOG_TAIL:].decode(errors="replace") if log.suffix == ".log" else ""
    return ModelmillError(
        "COORDINATOR_NOT_STARTED",
        f"The coordinator did not start: {why}. Its log is {log}.",
        {"log": str(log)},
        Fault.INFRASTRUCTURE,
        tail,
    )


# Ending


def _end(coordinator: Coordinator) -> None:
    """Asks the process to end and waits until it is gone; a process that only has the same number is left alone."""
    if not _send(coordinator, signal.SIGTERM):
        return
    deadline = time.monotonic() + _STOP_SECONDS
    while _is_alive(coordinator) and time.monotonic() < deadline:
        time.sleep(0.02)
    _send(coordinator, signal.SIGKILL)


def _send(coordinator: Coordinator, signum: signal.Signals) -> bool:
    if not _is_alive(coordinator):
        return False
    with suppress(ProcessLookupError):
        os.kill(coordinator.pid, signum)
    return True


def _is_alive(coordinator: Coordinator) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(coordinator.pid, os.WNOHANG)  # a child of ours stays a zombie until somebody looks
    try:
        os.kill(coordinator.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return _born(coordinator.pid) == coordinator.born


def _born(pid: int) -> int:
    """Clock ticks from the machine's start to the process's, field 22 of /proc/<pid>/stat; 0 where there is no /proc.

    Source: proc_pid_stat(5).
    """
    try:
        text = Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])
