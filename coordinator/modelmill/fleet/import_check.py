"""The first part of an environment's smoke test: what it is for imports, in one process, in the versions it claims."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from modelmill.errors import Fault, ModelmillError
from modelmill.fleet.definitions import EnvironmentDefinition
from modelmill.fleet.tool_process import ToolProcesses
from modelmill.fleet.uv_command import uv_variables

_ANSWER = "modelmill-imports:"
#: Runs on Python 3.6 and newer. Prints the versions of the modules, and TensorFlow's own GraphDef version.
_PROGRAM = f"""
import importlib, json, sys
modules = {{name: importlib.import_module(name) for name in sys.argv[1:]}}
told = {{name: getattr(module, "__version__", "") for name, module in modules.items()}}
tensorflow = modules.get("tensorflow")
named = getattr(tensorflow, "version", tensorflow)  # before 1.13 the name is in the package itself
producer = None if tensorflow is None else named.GRAPH_DEF_VERSION
print("\\n{_ANSWER}" + json.dumps({{"versions": told, "producer": producer}}))
"""


def check_imports(
    tools: ToolProcesses, definition: EnvironmentDefinition, python: Path, held: int | None = None
) -> None:
    """Import in one process what a definition names, and compare versions with what it claims.

    held: see `ToolProcesses.run`.

    Raises ModelmillError ENVIRONMENT_BROKEN with what was printed.
    """
    variables = {**uv_variables(os.environ), **definition.variables}
    result = tools.run([str(python), "-c", _PROGRAM, *definition.imports], variables, held=held)
    result.check_space(definition.name)
    answers = [line[len(_ANSWER) :] for line in result.tail.splitlines() if line.startswith(_ANSWER)]
    if result.exit_code or not answers:
        said = next((line for line in reversed(result.tail.splitlines()) if line.strip()), "it said nothing")
        raise _broken(definition, f"importing {', '.join(definition.imports)} failed ({said.strip()})", result.tail)
    told = json.loads(answers[-1])
    wrong = _contradictions(definition, told["versions"], told["producer"])
    if wrong:
        raise _broken(definition, wrong, result.tail)


def _contradictions(definition: EnvironmentDefinition, versions: Mapping[str, str], producer: int | None) -> str:
    wrong = [
        f"it claims {package} {version} and has {versions[package]}"
        for package, version in definition.provides.items()
        if versions.get(package, version) != version
    ]
    if producer != definition.graph_def_producer:
        wrong.append(f"it claims GraphDef version {definition.graph_def_producer} and has {producer}")
    return "; ".join(wrong)


def _broken(definition: EnvironmentDefinition, what: str, tail: str) -> ModelmillError:
    name = definition.name
    return ModelmillError(
        "ENVIRONMENT_BROKEN",
        f"{name} does not work: {what}. Install it anew with `modelmill environments remove {name}` and "
        f"`modelmill environments install {name}`; if that does not help, its lock is at fault.",
        {"environment": name, "what": what},
        Fault.INFRASTRUCTURE,
        tail,
    )
