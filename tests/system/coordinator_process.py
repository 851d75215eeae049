"""A coordinator as its own process, started, killed and started again by the system tests."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil


class CoordinatorProcess:
    """`modelmill serve` on a free port, over a home of its own and a cache that all tests share."""

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self.home = home
        self.variables = {**os.environ, **variables, "MODELMILL_HOME": str(home)}
        self._process: subprocess.Popen | None = None
        self.address = ""
        #: Put before the command, such as what makes a namespace; it must become the command in the end.
        self.before: list[str] = []

    def start(self) -> "CoordinatorProcess":
        command = [
            *self.before,
            sys.executable,
            "-m",
            "modelmill.api.server",
            "--address",
            self.address or "127.0.0.1:0",
        ]
        self.home.mkdir(parents=True, exist_ok=True)
        log = (self.home / "coordinator.log").open("ab")
        self._process = subprocess.Popen(command, env=self.variables, stdout=subprocess.PIPE, stderr=log)
        log.close()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the coordinator did not start:\n{self.log()[-4000:]}")
        self.address = json.loads(line)["address"]
        return self

    def __enter__(self) -> "CoordinatorProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop it if it runs."""
        if self.running:
            self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """End it as an operator would; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return (self.home / "coordinator.log").read_text(errors="replace")

    def hosts(self) -> dict[str, psutil.Process]:
        """Its worker hosts by environment."""
        found = {}
        for process in psutil.Process(self.pid).children():
            arguments = process.cmdline()
            if "modelmill_worker.host" in arguments:
                found[arguments[arguments.index("--environment") + 1]] = process
        return found

    def results(self) -> dict[Path, tuple[int, int]]:
        """The committed step results: inode and time of modification of each, which change when a step runs again."""
        files = (self.home / "artifacts" / "results").rglob("*.json")
        return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)
