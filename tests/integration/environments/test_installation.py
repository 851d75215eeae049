"""Real installations of `base`, the smallest environment, by real processes that race and are killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from modelmill.errors import ModelmillError
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability

INSTALL = """
import sys
from pathlib import Path
from modelmill.errors import ModelmillError
from modelmill.fleet.definitions import load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings

environments = Environments(Settings(home=Path(sys.argv[1])), load_definitions(Path(sys.argv[2])))
try:
    print("installed", environments.ensure("base", lambda message: print(message, flush=True)).python, flush=True)
except ModelmillError as error:
    print("refused", error.reason, flush=True)
"""


def install(home: Path, definitions: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", INSTALL, str(home), str(definitions)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )


def lines_until(process: subprocess.Popen[str], words: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if words in line:
            return lines
    raise AssertionError(f"{words!r} never came: {lines}")


def installed_folders(home: Path) -> list[Path]:
    return [path for path in (home / "environments").iterdir() if path.is_dir()]


def assert_works(python: Path) -> None:
    program = "import grpc, pluggy, numpy; from tensorboard.compat.proto import graph_pb2, meta_graph_pb2"
    subprocess.run([python, "-I", "-c", program], check=True)


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def definitions() -> Path:
    return definitions_folder({})


@pytest.fixture
def own_definitions(tmp_path, definitions) -> Path:
    """A copy of base's definition, to be changed."""
    shutil.copytree(definitions / "base", tmp_path / "definitions" / "base")
    return tmp_path / "definitions"


def test_two_processes_at_once_install_it_once(home, definitions):
    processes = [install(home, definitions) for _ in range(2)]
    outputs = [process.communicate(timeout=240)[0].splitlines() for process in processes]
    assert {output[-1].split()[0] for output in outputs} == {"installed"}
    assert outputs[0][-1] == outputs[1][-1]
    assert sum("base: Installed 7 packages" in line for output in outputs for line in output) == 1
    assert_works(Path(outputs[0][-1].split()[1]))


@pytest.mark.parametrize("moment", ["Installing with", "Resolved", "Importing"])
def test_killed_half_way_it_is_not_there_and_the_next_installs_it(home, definitions, moment):
    process = install(home, definitions)
    lines_until(process, moment)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    environments = Environments(Settings(home=home), load_definitions(definitions))
    assert environments.status("base").availability is Availability.INSTALLABLE

    installed = environments.ensure("base", lambda message: None)
    assert installed_folders(home) == [installed.path]
    assert_works(installed.python)
    status = environments.status("base")
    assert status.availability is Availability.INSTALLED
    assert status.disk_size > 50 << 20
    environments.remove("base")
    assert installed_folders(home) == []
    assert environments.status("base").availability is Availability.INSTALLABLE


def test_a_second_process_waits_and_says_so(home, definitions, tmp_path):
    """The first is stopped in the midst of it, so that the second meets its lock for certain."""
    first = install(home, definitions)
    lines_until(first, "Installing with")
    os.kill(first.pid, signal.SIGSTOP)
    second = install(home, definitions)
    lines_until(second, "Waiting for another modelmill process")
    os.kill(first.pid, signal.SIGCONT)
    assert first.communicate(timeout=240)[0].splitlines()[-1].startswith("installed")
    assert second.communicate(timeout=240)[0].splitlines()[-1].startswith("installed")


def test_a_changed_hash_is_refused(home, own_definitions):
    lock = own_definitions / "base" / "requirements.txt"
    entry = re.search(r"(?ms)^pluggy==.*?(?=^\S|\Z)", lock.read_text()).group()
    lock.write_text(lock.read_text().replace(entry, re.sub(r"sha256:\w{64}", "sha256:" + "0" * 64, entry)))
    environments = Environments(Settings(home=home), load_definitions(own_definitions))
    with pytest.raises(ModelmillError) as caught:
        environments.ensure("base", lambda message: None)
    assert caught.value.reason == "ENVIRONMENT_INSTALL_FAILED"
    assert "Hash mismatch for `pluggy" in caught.value.failure.log_tail
    assert installed_folders(home) == []


def test_offline_with_an_empty_cache_it_fails_and_leaves_nothing(home, definitions, tmp_path):
    process = install(home, definitions, UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "cache"))
    assert process.communicate(timeout=240)[0].splitlines()[-1] == "refused ENVIRONMENT_INSTALL_FAILED"
    assert installed_folders(home) == []


_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
_CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(
        [*_UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], stderr=subprocess.DEVNULL, check=False
    ).returncode
    == 0
)


@pytest.mark.skipif(not _CAN_MOUNT, reason="needs unprivileged mount namespaces (unshare --user --mount)")
def test_a_disk_that_is_too_small_is_named_and_left_empty(home, definitions):
    home.mkdir()
    script = (
        f"mount -t tmpfs -o size=24m none {home} && {sys.executable} -c '{INSTALL}' {home} {definitions} && "
        f"ls -A {home}/environments"
    )
    run = subprocess.run(
        [*_UNSHARE, "sh", "-c", script], capture_output=True, text=True, timeout=240, check=True, env={**os.environ}
    )
    *_, refused, left = run.stdout.splitlines()
    assert refused == "refused DISK_FULL", run.stdout + run.stderr
    assert left.endswith(".lock")


def test_without_its_python_it_is_planned_as_unavailable(home, own_definitions, tmp_path, monkeypatch):
    """Python 3.1 is nobody's to fetch or find."""
    definition = own_definitions / "base" / "environment.toml"
    definition.write_text(definition.read_text().replace('python = "3.11"', 'python = "3.1"'))
    environments = Environments(Settings(home=home), load_definitions(own_definitions))
    status = environments.status("base")
    assert status.availability is Availability.UNAVAILABLE
    assert "pyenv install 3.1" in status.unavailable_reason
    with pytest.raises(ModelmillError) as caught:
        environments.ensure("base", lambda message: None)
    assert caught.value.reason == "ENVIRONMENT_UNAVAILABLE"


def test_a_project_around_it_does_not_change_what_is_installed(tmp_path, definitions, monkeypatch):
    """uv reads the settings of a project that it is run in; these would break the installation."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.uv]\nno-index = true\n[tool.uv.pip]\nno-binary = ["numpy"]\nextra-index-url = ["file:///nowhere"]\n'
    )
    monkeypatch.chdir(tmp_path)
    environments = Environments(Settings(home=tmp_path / "home"), load_definitions(definitions))
    assert_works(environments.ensure("base", lambda message: None).python)
