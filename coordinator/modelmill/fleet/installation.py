"""Installed environments: made by uv from their locks when first used, found again by the digest of the lock."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from modelmill.errors import Fault, ModelmillError
from modelmill.fleet.built_folder import BuiltFolder, Hold
from modelmill.fleet.definitions import EnvironmentDefinition
from modelmill.fleet.disk_usage import DiskUsage, measure
from modelmill.fleet.import_check import check_imports
from modelmill.fleet.interpreters import Fetchable, Interpreter, Interpreters, Missing
from modelmill.fleet.node_packages import MODULES, MODULES_VARIABLE, install_node_packages, missing_node
from modelmill.fleet.tool_process import ToolProcesses, ToolResult
from modelmill.fleet.uv_command import uv_arguments, uv_variables
from modelmill.settings import Settings
from modelmill.values import Availability, Environment

log = structlog.get_logger(__name__)

Progress = Callable[[str], None]

#: The lines of uv that tell a person something; the others are lists and warnings.
_TOLD = re.compile(r"\s*(Downloading|Building|Built|Resolved|Prepared|Installed)\b")
_PYTHON = Path("bin") / "python"
#: Failures of an installation that the next one is likely to meet as well.
_LASTING = frozenset({"ENVIRONMENT_INSTALL_FAILED", "ENVIRONMENT_BROKEN"})
#: Seconds for which such a failure makes plans go round the environment.
_REMEMBERED_SECONDS = 600.0
#: The lines of uv that say why it failed: the error, and under it the causes.
_REASON = re.compile(r"\s*(?:error|cause): (.+)")


@dataclass(frozen=True)
class InstalledEnvironment:
    """An environment that is ready: its definition and the interpreter of its workers."""

    definition: EnvironmentDefinition
    python: Path

    @property
    def path(self) -> Path:
        """The environment's folder."""
        return self.python.parents[1]

    @property
    def variables(self) -> dict[str, str]:
        """What its workers have in their environment beyond the coordinator's."""
        modules = {MODULES_VARIABLE: str(self.path / MODULES)} if self.definition.node is not None else {}
        return {**self.definition.variables, **modules}


class Environments:
    """The environments of this machine. Methods block, and may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        definitions: Mapping[str, EnvironmentDefinition],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._folder = settings.environments
        self._definitions = dict(definitions)
        self._environ = environ
        self._interpreters = Interpreters(environ)
        self._tools = ToolProcesses()
        self._holds: dict[str, Hold] = {}
        self._missing: dict[str, str] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        self._disk = DiskUsage()
        self._guard = threading.Lock()

    @property
    def definitions(self) -> Mapping[str, EnvironmentDefinition]:
        """Every environment that is defined, by name."""
        return self._definitions

    def status(self, name: str) -> Environment:
        """Whether an environment is installed or can be. Quick but for the first look for its Python.

        Raises ModelmillError ENVIRONMENT_UNKNOWN.
        """
        definition = self._definition(name)
        if definition.defect is not None:
            return _environment(definition, Availability.UNAVAILABLE, reason=definition.defect.message)
        folder = self._built_folder(definition)
        record = folder.record()
        if record is not None:
            return _environment(
                definition, Availability.INSTALLED, disk_size=record["disk_size"], path=str(folder.path)
            )
        finding = self._interpreters.find(definition.python)
        if isinstance(finding, Missing):
            return _environment(definition, Availability.UNAVAILABLE, reason=finding.reason)
        if missing := self._missing_node(definition) or self._failed_lately(name):
            return _environment(definition, Availability.UNAVAILABLE, reason=missing)
        return replace(
            _environment(definition, Availability.INSTALLABLE), without_python=isinstance(finding, Fetchable)
        )

    def disk_size(self) -> int:
        """Bytes on disk of what is installed: a file that several environments share counts once.

        Takes a moment for each environment that was not looked at before, and next to none later.
        """
        return self._disk.together(
            folder.path for folder in map(self._built_folder, self._definitions.values()) if folder.record() is not None
        )

    def tools(self) -> AbstractContextManager[ToolProcesses]:
        """For an `ensure` that may have to be ended: close them, and it ends. They are closed with this one too."""
        return self._tools.apart()

    def ensure(self, name: str, progress: Progress, tools: ToolProcesses | None = None) -> InstalledEnvironment:
        """An environment, installed first if need be; it stays in use by this process until `remove` or `close`.

        Another process that installs the same one is waited for. One that could not be installed is tried again.

        tools: what runs the installation's programs, where it is not to run to its end whatever happens.

        Raises ModelmillError: ENVIRONMENT_UNKNOWN; ENVIRONMENT_DEFINITION_INVALID; ENVIRONMENT_UNAVAILABLE where there
        is no Python for it; ENVIRONMENT_INSTALL_FAILED or DISK_FULL with what uv said; ENVIRONMENT_BROKEN where what
        was installed does not import; COORDINATOR_STOPPED after `close`.
        """
        definition = self._definition(name)
        if definition.defect is not None:
            raise ModelmillError.of(definition.defect)
        folder = self._built_folder(definition)
        installation = _Installation(
            definition, folder.path, self._interpreters, tools or self._tools, self._environ, _prefixed(name, progress)
        )
        try:
            self._keep(name, folder.ensure(installation.run, installation.waits))
        except ModelmillError as error:
            if error.reason in _LASTING:
                self._failed[name] = (time.monotonic(), str(error))
            raise
        self._failed.pop(name, None)
        return InstalledEnvironment(definition, folder.path / _PYTHON)

    def remove(self, name: str) -> None:
        """Delete an environment's files, those of its earlier locks too; nothing happens where there are none.

        End its workers first. Raises ModelmillError ENVIRONMENT_UNKNOWN, or ENVIRONMENT_IN_USE where another
        process installs or uses it.
        """
        definition = self._definition(name)
        self._let_go(name)
        for folder in self._all_folders(definition):
            if not folder.remove():
                raise ModelmillError(
                    "ENVIRONMENT_IN_USE",
                    f"{name} was not removed: another modelmill process uses it. Stop that process and try again.",
                    {"environment": name, "path": str(folder.path)},
                    Fault.INFRASTRUCTURE,
                )
            log.info("environment removed", environment=name, path=str(folder.path))

    def close(self) -> None:
        """End installations that run and let go of what is in use; other threads get COORDINATOR_STOPPED."""
        self._tools.close()
        for name in self._definitions:
            self._let_go(name)

    def _failed_lately(self, name: str) -> str:
        """Why it could not be installed a moment ago, as a sentence; empty where nobody tried, or long ago."""
        when, why = self._failed.get(name, (0.0, ""))
        if not why or time.monotonic() - when > _REMEMBERED_SECONDS:
            return ""
        return f"its installation failed a moment ago: {why}"

    def _missing_node(self, definition: EnvironmentDefinition) -> str:
        """Why there can be no Node packages here; empty where there can, or none are wanted. Looked up once."""
        if definition.node is None:
            return ""
        if definition.name not in self._missing:
            self._missing[definition.name] = missing_node(definition.node, self._environ)
        return self._missing[definition.name]

    # What is in use

    def _keep(self, name: str, hold: Hold) -> None:
        with self._guard:
            if self._holds.setdefault(name, hold) is not hold:
                hold.release()

    def _let_go(self, name: str) -> None:
        with self._guard:
            hold = self._holds.pop(name, None)
            if hold is not None:
                hold.release()

    # Where things are

    def _definition(self, name: str) -> EnvironmentDefinition:
        definition = self._definitions.get(name)
        if definition is None:
            known = ", ".join(sorted(self._definitions))
            raise ModelmillError(
                "ENVIRONMENT_UNKNOWN",
                f"There is no environment {name!r}; there are {known}.",
                {"environment": name, "known": sorted(self._definitions)},
            )
        return definition

    def _built_folder(self, definition: EnvironmentDefinition) -> BuiltFolder:
        return BuiltFolder(self._folder / f"{definition.name}-{definition.digest[:16]}", str(_PYTHON))

    def _all_folders(self, definition: EnvironmentDefinition) -> list[BuiltFolder]:
        of_this = re.compile(re.escape(definition.name) + r"-[0-9a-f]{16}")
        found = self._folder.iterdir() if self._folder.exists() else ()
        return [BuiltFolder(path, str(_PYTHON)) for path in found if of_this.fullmatch(path.name) and path.is_dir()]


class _Installation:
    """One environment on its way into its folder."""

    def __init__(
        self,
        definition: EnvironmentDefinition,
        folder: Path,
        interpreters: Interpreters,
        tools: ToolProcesses,
        environ: Mapping[str, str],
        progress: Progress,
    ) -> None:
        self._definition = definition
        self._folder = folder
        self._interpreters = interpreters
        self._tools = tools
        self._environ = environ
        self._progress = progress
        self._has_waited = False

    def run(self, lock: int) -> Mapping[str, Any]:
        """Fill the folder; what is to be recorded of it. lock: a descriptor that every program keeps open."""
        started = time.monotonic()
        definition, folder = self._definition, self._folder
        python = self._interpreter(lock)
        if definition.node is not None and (missing := missing_node(definition.node, self._environ)):
            raise _unavailable(definition, missing, {"node": definition.node})
        self._progress(f"Installing with Python {definition.python}")
        self._uv(lock, "venv", "--no-project", "--python", python, folder)
        self._uv(lock, *_sync_arguments(definition, folder))
        if definition.node is not None:
            self._progress("Installing Node packages")
            install_node_packages(self._tools, definition, folder, self._environ, lock)
        self._progress("Importing " + ", ".join(definition.imports))
        check_imports(self._tools, definition, folder / _PYTHON, lock)
        seconds = time.monotonic() - started
        log.info("environment installed", environment=definition.name, path=str(folder), seconds=round(seconds, 1))
        return {"environment": definition.name, "digest": definition.digest, "disk_size": measure(folder)}

    def waits(self) -> None:
        """Says once that another process is at work, and ends the waiting when the tools are closed."""
        self._tools.check_open()
        if not self._has_waited:
            self._has_waited = True
            self._progress("Waiting for another modelmill process that installs it")

    def _interpreter(self, lock: int) -> Path:
        definition = self._definition
        finding = self._interpreters.find(definition.python, afresh=True)
        if isinstance(finding, Fetchable):
            self._progress(f"Fetching Python {finding.version}")
            self._uv(lock, "python", "install", "--no-bin", finding.version)
            finding = self._interpreters.find(definition.python, afresh=True)
        if isinstance(finding, Interpreter):
            return finding.path
        tried = finding.tried if isinstance(finding, Missing) else {}
        reason = finding.reason if isinstance(finding, Missing) else "the Python that uv fetched does not run."
        raise _unavailable(definition, reason, {"python": definition.python, "tried": dict(tried)})

    def _uv(self, lock: int, *arguments: str | Path) -> None:
        def told(line: str) -> None:
            if _TOLD.match(line):
                self._progress(line.strip())

        result = self._tools.run(uv_arguments(*arguments), uv_variables(self._environ), told=told, held=lock)
        result.check_space(self._definition.name)
        if result.exit_code:
            raise _failed(self._definition, result)


def _sync_arguments(definition: EnvironmentDefinition, folder: Path) -> list[str | Path]:
    arguments: list[str | Path] = ["pip", "sync", "--strict", "--require-hashes", "--python", folder / _PYTHON]
    if definition.build_constraints is not None:
        arguments += ["--build-constraints", definition.build_constraints]
    return [*arguments, definition.lock]


def _failed(definition: EnvironmentDefinition, result: ToolResult) -> ModelmillError:
    why = _last_words(result.tail)
    return ModelmillError(
        "ENVIRONMENT_INSTALL_FAILED",
        f"uv could not install {definition.name} ({why}). Is the package index reachable? Then try again with "
        f"`modelmill environments install {definition.name}`; else its lock, {definition.lock}, is at fault.",
        {"environment": definition.name, "exit_code": result.exit_code, "why": why},
        Fault.INFRASTRUCTURE,
        result.tail,
    )


def _last_words(tail: str) -> str:
    """Why uv failed, from what it printed: the last cause that it names."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    reasons = [match[1] for line in lines if (match := _REASON.match(line))]
    return next(iter([*reversed(reasons), *reversed(lines)]), "it said nothing").rstrip(".")


def _unavailable(definition: EnvironmentDefinition, why: str, details: Mapping[str, Any]) -> ModelmillError:
    return ModelmillError(
        "ENVIRONMENT_UNAVAILABLE",
        f"{definition.name} cannot be installed: {why}",
        {"environment": definition.name, **details},
        Fault.INFRASTRUCTURE,
    )


def _environment(
    definition: EnvironmentDefinition,
    availability: Availability,
    reason: str = "",
    disk_size: int = 0,
    path: str = "",
) -> Environment:
    return Environment(
        name=definition.name,
        summary=definition.summary,
        digest=definition.digest,
        python=definition.python,
        provides=definition.provides,
        graph_def_producer=definition.graph_def_producer,
        availability=availability,
        unavailable_reason=reason,
        disk_size=disk_size,
        path=path,
    )


def _prefixed(name: str, progress: Progress) -> Progress:
    return lambda message: progress(f"{name}: {message}")
