import os
import platform
import shlex
import sys
from pathlib import Path

import pytest
from modelmill.fleet.interpreters import Fetchable, Interpreter, Interpreters, Missing

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="environments are for 64-bit x86")


def claims(version: str, path: str, machine: str = "x86_64") -> str:
    """A script that answers the probe like a Python of that version."""
    answer = (
        f'{{"version": "{version}", "implementation": "CPython", "machine": "{machine}", '
        f'"system": "Linux", "bits": 64, "path": "{path}"}}'
    )
    return f"echo {shlex.quote(answer)}\n"


@pytest.fixture
def machine(tmp_path, script, uv_is):
    """The variables of a machine with nothing on PATH, no pyenv, and a uv that has nothing to offer."""
    uv_is("exit 2\n")
    (tmp_path / "home").mkdir()
    return {"PATH": f"{tmp_path / 'scripts'}:/usr/bin:/bin", "HOME": str(tmp_path / "home")}


def test_takes_the_python_that_runs_this(machine):
    found = Interpreters(machine).find(RUNNING)
    assert isinstance(found, Interpreter)
    assert found.path.exists()
    assert not str(found.path).startswith(sys.prefix) or sys.prefix == sys.base_prefix


def test_passes_over_a_shim_that_does_not_run(machine, script, tmp_path):
    """As pyenv has one for every version that it manages, chosen or not."""
    shim = script("python3.1", "echo 'pyenv: python3.1: command not found' >&2; exit 127\n")
    real = tmp_path / "home" / ".pyenv" / "versions" / "3.1.9" / "bin" / "python"
    real.parent.mkdir(parents=True)
    real.write_text("#!/bin/sh\n" + claims("3.1", str(real)))
    real.chmod(0o755)
    assert Interpreters(machine).find("3.1") == Interpreter(real)

    real.unlink()
    missing = Interpreters(machine).find("3.1")
    assert isinstance(missing, Missing)
    assert missing.tried[str(shim)] == "exit code 127: pyenv: python3.1: command not found"
    assert "pyenv install 3.1" in missing.reason
    assert "container image" in missing.reason


def test_takes_the_newest_patch_of_pyenv(machine, tmp_path):
    for patch in ("9", "16", "0rc1"):
        python = tmp_path / "pyenv" / "versions" / f"3.1.{patch}" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text("#!/bin/sh\n" + claims("3.1", str(python)))
        python.chmod(0o755)
    found = Interpreters({**machine, "PYENV_ROOT": str(tmp_path / "pyenv")}).find("3.1")
    assert found == Interpreter(tmp_path / "pyenv" / "versions" / "3.1.16" / "bin" / "python")


def test_a_python_under_a_plain_name_counts_if_its_version_fits(machine, script):
    script("python3", claims("3.1", "/somewhere/python3"))
    interpreters = Interpreters(machine)
    assert interpreters.find("3.1") == Interpreter(Path("/somewhere/python3"))
    missing = interpreters.find("3.2")
    assert isinstance(missing, Missing)
    assert "its version is 3.1, not 3.2" in missing.tried.values()


def test_refuses_another_machine(machine, script):
    script("python3.1", claims("3.1", "/somewhere/python3.1", machine="aarch64"))
    missing = Interpreters(machine).find("3.1")
    assert isinstance(missing, Missing)
    assert "its machine is aarch64, not x86_64" in missing.tried.values()


def test_refuses_a_python_without_ctypes(machine, script):
    script("python3.1", "echo \"ModuleNotFoundError: No module named '_ctypes'\" >&2; exit 1\n")
    missing = Interpreters(machine).find("3.1")
    assert isinstance(missing, Missing)
    assert "exit code 1: ModuleNotFoundError: No module named '_ctypes'" in missing.tried.values()


def test_uses_what_uv_has_or_can_fetch(machine, script, uv_is):
    python = script("managed", claims("3.1", "/managed/python3.1"))
    uv_is(f'[ "$2" = find ] && echo {python}\n')
    assert Interpreters(machine).find("3.1") == Interpreter(Path("/managed/python3.1"))
    uv_is('[ "$2" = list ] && echo "cpython-3.1.9-linux-x86_64-gnu <download available>"\n')
    assert Interpreters(machine).find("3.1") == Fetchable("3.1")


def test_looks_again_only_when_asked(machine, script):
    interpreters = Interpreters(machine)
    assert isinstance(interpreters.find("3.1"), Missing)
    script("python3.1", claims("3.1", "/late/python3.1"))
    assert isinstance(interpreters.find("3.1"), Missing)
    assert interpreters.find("3.1", afresh=True) == Interpreter(Path("/late/python3.1"))


def test_the_real_uv_can_fetch_a_current_python_and_not_an_old_one(tmp_path):
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "UV_PYTHON_INSTALL_DIR": str(tmp_path / "pythons")}
    interpreters = Interpreters(bare)
    absent = [
        version for version in ("3.12", "3.13", "3.14") if version != RUNNING and not _on_path(version, bare["PATH"])
    ]
    assert interpreters.find(absent[0]) == Fetchable(absent[0])
    if not _on_path("3.7", bare["PATH"]):
        assert isinstance(interpreters.find("3.7"), Missing)


def _on_path(version: str, path: str) -> bool:
    return any(os.access(Path(folder) / f"python{version}", os.X_OK) for folder in path.split(":"))
