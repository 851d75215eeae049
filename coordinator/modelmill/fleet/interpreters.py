"""Finding a Python of a wanted minor version on this machine, or a way to get one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from modelmill.fleet.uv_command import uv_arguments, uv_variables

log = structlog.get_logger(__name__)

_PROBE_SECONDS = 30.0
#: Runs on any Python. ctypes and zlib are missing from a Python that was built without their libraries' headers.
_PROBE = """
import ctypes, json, platform, struct, sys, zlib
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "implementation": platform.python_implementation(),
    "machine": platform.machine(),
    "system": platform.system(),
    "bits": struct.calcsize("P") * 8,
    "path": getattr(sys, "_base_executable", None) or sys.executable,
}))
"""
_WANTED = {"implementation": "CPython", "machine": "x86_64", "system": "Linux", "bits": 64}


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs."""

    path: Path


@dataclass(frozen=True)
class Fetchable:
    """A Python that is not here and that uv can fetch."""

    version: str


@dataclass(frozen=True)
class Missing:
    """A Python that is not here and that uv cannot fetch: why, and what was tried, path to what was wrong."""

    reason: str
    tried: Mapping[str, str]


Finding = Interpreter | Fetchable | Missing


class Interpreters:
    """Finds interpreters and remembers what it found as long as it lives; safe to use from any thread."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._found: dict[str, Finding] = {}
        self._guard = threading.Lock()

    def find(self, version: str, afresh: bool = False) -> Finding:
        """The Python of that minor version, such as "3.7".

        Looked at in this order: the Python that runs this, PATH, pyenv's versions, uv's own. A candidate counts
        if it runs: pyenv's shims are there for versions that are not chosen, and exit with 127.

        afresh: look again where none was found; somebody may have installed it since.
        """
        with self._guard:
            known = self._found.get(version)
            if known is None or (afresh and not isinstance(known, Interpreter)):
                self._found[version] = self._search(version)
            return self._found[version]

    def _search(self, version: str) -> Finding:
        tried: dict[str, str] = {}
        for candidate in self._candidates(version):
            if str(candidate) in tried:
                continue
            path, why_not = _probe(candidate, version, self._environ)
            if path is not None:
                log.debug("interpreter found", version=version, path=str(path))
                return Interpreter(path)
            tried[str(candidate)] = why_not
        if self._uv("python", "list", "--only-downloads", "--offline", f"cpython-{version}-linux-x86_64-gnu"):
            return Fetchable(version)
        return Missing(_missing(version), tried)

    def _candidates(self, version: str) -> Iterator[Path]:
        if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
            yield Path(sys.executable)
        for name in (f"python{version}", "python3", "python"):
            for folder in self._environ.get("PATH", os.defpath).split(os.pathsep):
                if folder and os.access(Path(folder) / name, os.X_OK):
                    yield Path(folder) / name
        for root in self._pyenv_roots():
            yield from sorted(root.glob(f"versions/{version}.*/bin/python"), key=_patch, reverse=True)
        managed = self._uv("python", "find", "--managed-python", "--no-python-downloads", "--no-project", version)
        if managed:
            yield Path(managed.splitlines()[0])

    def _pyenv_roots(self) -> list[Path]:
        roots = [self._environ.get("PYENV_ROOT", "")]
        pyenv = shutil.which("pyenv", path=self._environ.get("PATH", os.defpath))
        if pyenv:
            roots.append(_output([pyenv, "root"], self._environ))
        roots.append(str(Path(self._environ.get("HOME", "~")).expanduser() / ".pyenv"))
        return [Path(root) for root in dict.fromkeys(roots) if root]

    def _uv(self, *arguments: str) -> str:
        return _output([*uv_arguments(*arguments)], uv_variables(self._environ))


def _probe(candidate: Path, version: str, environ: Mapping[str, str]) -> tuple[Path | None, str]:
    """The interpreter behind a path, or what is wrong with it."""
    clean = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    try:
        process = subprocess.run(
            [candidate, "-c", _PROBE],
            env=clean,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    if process.returncode:
        said = process.stderr.decode(errors="replace").strip().splitlines()
        return None, f"exit code {process.returncode}: {said[-1] if said else 'it said nothing'}"
    try:
        told = json.loads(process.stdout)
    except ValueError:
        return None, "it does not answer like a Python"
    for key, wanted in {"version": version, **_WANTED}.items():
        if told[key] != wanted:
            return None, f"its {key} is {told[key]}, not {wanted}"
    return Path(told["path"]), ""


def _output(arguments: list[str], environ: Mapping[str, str]) -> str:
    """What a short command prints; empty where it fails."""
    try:
        process = subprocess.run(
            arguments,
            env=dict(environ),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("command failed", command=arguments[0], error=str(error))
        return ""
    return process.stdout.decode(errors="replace").strip() if process.returncode == 0 else ""


def _patch(python: Path) -> int:
    """The patch version of `versions/3.7.16/bin/python`; -1 for a name with letters in it, such as 3.12.0rc1."""
    patch = python.parents[1].name.rsplit(".", 1)[-1]
    return int(patch) if patch.isdigit() else -1


def _missing(version: str) -> str:
    return (
        f"there is no 64-bit x86 CPython {version} on PATH or among pyenv's versions, and uv has none to fetch: "
        f"install it, for example with `pyenv install {version}`, or run modelmill in a container image "
        "that has it."
    )
