"""The Node packages of an environment that has some: installed by npm from the environment's package-lock.json."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import structlog

from modelmill.errors import Fault, ModelmillError
from modelmill.fleet.definitions import EnvironmentDefinition
from modelmill.fleet.tool_process import ToolProcesses

log = structlog.get_logger(__name__)

#: The variable through which a worker finds the packages.
MODULES_VARIABLE = "MODELMILL_NODE_MODULES"
MODULES = "node_modules"


def missing_node(oldest: int, environ: Mapping[str, str]) -> str:
    """What this machine lacks for Node packages, and what to do about it, as a sentence; empty where it lacks nothing.

    oldest: the smallest major version of Node that will do.
    """
    path = environ.get("PATH", os.defpath)
    node = shutil.which("node", path=path)
    if node is None:
        return f"there is no Node on PATH: install Node {oldest} or newer, with npm."
    version = _major_version(node, environ)
    if version < oldest:
        return f"the Node on PATH ({node}) is version {version}: install Node {oldest} or newer."
    if shutil.which("npm", path=path) is None:
        return "there is no npm on PATH: install it beside Node."
    return ""


def install_node_packages(
    tools: ToolProcesses, definition: EnvironmentDefinition, folder: Path, environ: Mapping[str, str], held: int
) -> None:
    """Fill `folder/node_modules` with what the definition's lock names, and see whether Node can load it.

    No script of a package is run. held: see `ToolProcesses.run`.

    Raises ModelmillError ENVIRONMENT_INSTALL_FAILED with what npm said, ENVIRONMENT_BROKEN or DISK_FULL.
    """
    variables = node_variables(environ)
    for manifest in definition.node_manifests:
        shutil.copyfile(manifest, folder / manifest.name)
    arguments = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"]
    result = tools.run(arguments, variables, folder, held=held)
    result.check_space(definition.name)
    if result.exit_code or not (folder / MODULES).is_dir():
        raise ModelmillError(
            "ENVIRONMENT_INSTALL_FAILED",
            f"npm could not install the packages of {definition.name} ({_last_words(result.tail)}). Is its registry "
            f"reachable? Then try again with `modelmill environments install {definition.name}`.",
            {"environment": definition.name, "exit_code": result.exit_code},
            Fault.INFRASTRUCTURE,
            result.tail,
        )
    check_node_packages(tools, definition, folder, environ, held)


def check_node_packages(
    tools: ToolProcesses,
    definition: EnvironmentDefinition,
    folder: Path,
    environ: Mapping[str, str],
    held: int | None = None,
) -> None:
    """See whether Node loads every package that the definition asks for; ENVIRONMENT_BROKEN where it does not."""
    wanted = json.loads((folder / "package.json").read_text(encoding="utf-8")).get("dependencies", {})
    program = f"for (const name of {json.dumps(sorted(wanted))}) require(name);"
    result = tools.run(["node", "-e", program], node_variables(environ), folder, held=held)
    if result.exit_code:
        raise ModelmillError(
            "ENVIRONMENT_BROKEN",
            f"{definition.name} does not work: Node cannot load its packages. Install it anew with `modelmill "
            f"environments remove {definition.name}` and `modelmill environments install {definition.name}`.",
            {"environment": definition.name},
            Fault.INFRASTRUCTURE,
            result.tail,
        )


def node_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that would lead Node or npm to other packages."""
    return {
        name: value for name, value in environ.items() if not name.startswith(("NODE_PATH", "NODE_OPTIONS", "npm_"))
    }


def _major_version(node: str, environ: Mapping[str, str]) -> int:
    """0 where it does not run."""
    try:
        told = subprocess.run(
            [node, "--version"], env=node_variables(environ), capture_output=True, text=True, timeout=30, check=False
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
