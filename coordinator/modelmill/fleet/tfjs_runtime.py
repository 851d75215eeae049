"""The Node packages with which the verifier runs TensorFlow.js models: made by npm from the verifier's lock."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from modelmill.errors import Fault, ModelmillError
from modelmill.fleet.built_folder import BuiltFolder, Hold
from modelmill.fleet.tool_process import ToolProcesses
from modelmill.settings import Settings

log = structlog.get_logger(__name__)

#: The variable through which the verifier finds the packages.
MODULES_VARIABLE = "MODELMILL_TFJS_MODULES"
#: The oldest Node that runs TensorFlow.js 4.22 and its wasm backend here.
OLDEST_NODE = 18

_MANIFESTS = Path("modelmill_verifier") / "tfjs_runtime"
_LOCK = "package-lock.json"


@dataclass(frozen=True)
class TfjsModules:
    """The folder `node_modules`, or None and a sentence that says why TensorFlow.js models cannot be run here."""

    path: Path | None
    missing: str = ""


class TfjsRuntime:
    """TensorFlow.js on this machine. Methods block, and may be called from any thread."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
        self._folder = settings.cache / "node"
        self._environ = {name: value for name, value in environ.items() if not name.startswith(("NODE_", "npm_"))}
        self._tools = ToolProcesses()
        self._guard = threading.Lock()
        self._holds: dict[Path, Hold] = {}

    def ensure(self, code: Path, progress: Callable[[str], None]) -> TfjsModules:
        """The packages that the verifier in the code layer `code` wants, installed first if need be.

        What is missing is told, not raised: conversions work without, and their report says that the check was
        skipped. Raises ModelmillError only for DISK_FULL and COORDINATOR_STOPPED.
        """
        manifests = code / _MANIFESTS
        if not (manifests / _LOCK).exists():
            return TfjsModules(None, "The verifier that is installed brings no TensorFlow.js.")
        missing = self._missing_tool()
        if missing:
            return TfjsModules(None, missing)
        try:
            return TfjsModules(self._installed(manifests, progress))
        except ModelmillError as error:
            if error.reason != "NODE_PACKAGES_FAILED":
                raise
            log.warning("npm failed", log_tail=error.failure.log_tail)
            return TfjsModules(None, str(error))

    def close(self) -> None:
        """End an installation that runs and let go of what is in use."""
        self._tools.close()
        with self._guard:
            for hold in self._holds.values():
                hold.release()
            self._holds.clear()

    def _installed(self, manifests: Path, progress: Callable[[str], None]) -> Path:
        digest = hashlib.sha256((manifests / _LOCK).read_bytes()).hexdigest()
        folder = BuiltFolder(self._folder / digest[:32], "node_modules")

        def build(lock: int) -> Mapping[str, Any]:
            progress("Installing TensorFlow.js for Node")
            return self._install(manifests, folder.path, lock)

        with self._guard:
            if folder.path not in self._holds:
                self._holds[folder.path] = folder.ensure(build, self._tools.check_open)
        return folder.path / "node_modules"

    def _install(self, manifests: Path, folder: Path, lock: int) -> Mapping[str, Any]:
        folder.mkdir()
        for name in ("package.json", _LOCK):
            shutil.copyfile(manifests / name, folder / name)
        arguments = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"]
        result = self._tools.run(arguments, self._environ, folder, held=lock)
        result.check_space("TensorFlow.js")
        if result.exit_code or not (folder / "node_modules").is_dir():
            raise ModelmillError(
                "NODE_PACKAGES_FAILED",
                f"npm could not install TensorFlow.js ({_last_words(result.tail)}): see whether its registry can be "
                "reached.",
                {"exit_code": result.exit_code},
                Fault.INFRASTRUCTURE,
                result.tail,
            )
        return {"lock": _LOCK}

    def _missing_tool(self) -> str:
        path = self._environ.get("PATH", os.defpath)
        node = shutil.which("node", path=path)
        if node is None:
            return f"There is no Node on PATH: install Node {OLDEST_NODE} or newer with npm."
        version = self._node_version(node)
        if version < OLDEST_NODE:
            return f"The Node on PATH ({node}) is version {version}: install Node {OLDEST_NODE} or newer."
        if shutil.which("npm", path=path) is None:
            return "There is no npm on PATH: install it beside Node."
        return ""

    def _node_version(self, node: str) -> int:
        """Its major version; 0 where it does not run."""
        try:
            told = subprocess.run(
                [node, "--version"], env=self._environ, capture_output=True, text=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            log.warning("node does not run", path=node, error=str(error))
            return 0
        found = re.match(r"v(\d+)\.", told.stdout)
        return int(found.group(1)) if found else 0


def _last_words(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip() and "complete log" not in line]
    errors = [line for line in lines if line.startswith(("npm error", "npm ERR!"))]
    return next(iter([*errors, *lines[-1:]]), "it said nothing")
