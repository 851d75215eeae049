"""One worker host as a child of the coordinator, in one environment."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from modelmill.errors import Fault, ModelmillError
from modelmill.fleet.worker_client import WorkerClient

log = structlog.get_logger(__name__)

#: Seconds that a host may take to answer; it imports no TensorFlow, so this is for a machine under heavy load.
_START_SECONDS = 120.0
#: Seconds that a host is given to end its steps before it is killed.
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class WorkerCommand:
    """How to start a worker host.

    python: the environment's interpreter.
    code: the folder with worker and plug-ins, put on PYTHONPATH.
    variables: added to the environment's variables.
    run: a folder in which the host gets one of its own.
    """

    environment: str
    digest: str
    provides: Mapping[str, str]
    python: Path
    code: Path
    variables: Mapping[str, str]
    run: Path
    concurrency: int


class WorkerProcess:
    """A running worker host and the connection to it."""

    def __init__(self, command: WorkerCommand, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.environment = command.environment
        self._process = process
        self._folder = folder
        self.client: WorkerClient

    @classmethod
    async def start(cls, command: WorkerCommand) -> WorkerProcess:
        """Start a host and wait until it serves.

        Raises ModelmillError WORKER_START_FAILED, with what the host printed.
        """
        command.run.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{command.environment}-", dir=command.run))
        output = (folder.with_suffix(".log")).open("ab")
        try:
            process = await asyncio.create_subprocess_exec(
                *_arguments(command, folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                env=_variables(command),
                start_new_session=True,
            )
        finally:
            output.close()
        worker = cls(command, process, folder)
        try:
            worker.client = WorkerClient(await worker._address())
        except BaseException:
            await worker._end()
            raise
        log.info("worker started", environment=command.environment, pid=process.pid)
        return worker

    @property
    def pid(self) -> int:
        """The host's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """The process has not ended."""
        return self._process.returncode is None

    async def answers(self) -> bool:
        """Whether the host still serves."""
        return self.alive and await self.client.answers()

    async def ended(self) -> None:
        """Returns when the process has ended, whatever ended it."""
        await self._process.wait()

    async def stop(self) -> None:
        """End the host, its zygote and its steps; nothing of them is left."""
        await self.client.close()
        await self._end()
        log.info("worker stopped", environment=self.environment, pid=self.pid)

    async def _end(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()  # the host ends when its standard input does
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._folder.with_suffix(".log").unlink(missing_ok=True)

    async def _address(self) -> str:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), _START_SECONDS)
            return str(json.loads(line)["address"])
        except (TimeoutError, ValueError, KeyError) as error:
            log_file = self._folder.with_suffix(".log")
            tail = log_file.read_bytes()[-8192:].decode(errors="replace") if log_file.exists() else ""
            raise ModelmillError(
                "WORKER_START_FAILED",
                f"The worker of {self.environment} did not start; `modelmill environments check {self.environment}` "
                "tells whether the environment is whole.",
                {"environment": self.environment},
                Fault.INFRASTRUCTURE,
                tail,
            ) from error


def _arguments(command: WorkerCommand, folder: Path) -> list[str]:
    return [
        str(command.python),
        "-m",
        "modelmill_worker.host",
        "--environment",
        command.environment,
        "--environment-digest",
        command.digest,
        "--provides",
        json.dumps(dict(command.provides)),
        "--address",
        _address_for(folder),
        "--folder",
        str(folder),
        "--concurrency",
        str(command.concurrency),
    ]


def _address_for(folder: Path) -> str:
    """A socket in the worker's folder, or a free port where its path would pass the kernel's 107 bytes."""
    socket = folder / "host.sock"
    return f"unix:{socket}" if len(os.fsencode(socket)) <= 107 else "127.0.0.1:0"


def _variables(command: WorkerCommand) -> dict[str, str]:
    """The coordinator's own variables without those that would lead another Python astray."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    scripts = str(command.python.parent)
    return {
        **inherited,
        "PATH": f"{scripts}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "PYTHONPATH": str(command.code),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        **command.variables,
    }
