"""Ctrl-C while environments are installed: nothing of them is left, on the disk or among the processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from modelmill.fleet.definitions import definitions_folder


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of commands with a home and a cache of their own; their coordinator is ended afterwards."""
    yield {
        **os.environ,
        "MODELMILL_HOME": str(tmp_path / "home"),
        "MODELMILL_CACHE": str(tmp_path / "cache"),
        "MODELMILL_ENVIRONMENTS": str(definitions_folder({})),
    }
    told = tmp_path / "home" / "state" / "coordinator.json"
    if told.exists():
        pid = json.loads(told.read_text())["pid"]
        os.kill(pid, signal.SIGTERM)
        until(lambda: not psutil.pid_exists(pid))


def modelmill(variables: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from modelmill.cli import main; main()", *arguments]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(holds, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_of_an_interrupted_installation_nothing_is_left(variables, tmp_path):
    """A coordinator that serves others too goes on; what it had begun for the command, it ends."""
    modelmill(variables, "environments", "list", "--json").communicate(timeout=120)  # starts the coordinator
    command = modelmill(variables, "environments", "install", "base", "tfjs-node-4")
    told = ""
    while not ("base: Installing with" in told and "tfjs-node-4: Installing with" in told):
        line = command.stderr.readline()
        assert line, told
        told += line
    command.send_signal(signal.SIGINT)
    _, rest = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "Traceback" not in rest

    folder = tmp_path / "cache" / "environments"
    until(lambda: not [path for path in folder.iterdir() if path.is_dir()])
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(folder) in command]

    again = modelmill(variables, "environments", "install", "base")
    out, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert "installed" in out
