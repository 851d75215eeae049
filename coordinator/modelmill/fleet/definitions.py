"""What an environment is: read from the folders of `workers/environments`, one an environment."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema

from modelmill.errors import Failure, Fault, ModelmillError
from modelmill.fleet.locks import lock_error, pinned_tensorflow
from modelmill.values import digest_of

_PACKAGE = Path(__file__).resolve().parents[1]
_NODE_LOCK = "package-lock.json"
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_SCHEMA = {
    "type": "object",
    "required": ["summary", "python", "imports", "provides"],
    "additionalProperties": False,
    "properties": {
        "summary": {"type": "string", "minLength": 1},
        "python": {"type": "string", "pattern": r"^3\.\d+$"},
        "graph_def_producer": {"type": "integer", "minimum": 1},
        "imports": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "provides": _TEXTS,
        "variables": _TEXTS,
        "node": {"type": "integer", "minimum": 1},
    },
}


@dataclass(frozen=True)
class EnvironmentDefinition:
    """One environment as it is defined, installed or not.

    folder: where the definition lies.
    python: its minor version, such as "3.7".
    imports: modules that must import in one process, in this order.
    provides: package to version, as far as plug-ins may require them.
    graph_def_producer: what its TensorFlow writes into GraphDef.versions.producer; None without TensorFlow.
    variables: environment variables of its workers.
    node: the oldest major version of Node that its package.json needs; None where it has no Node packages.
    digest: SHA-256 over all that a step's result can depend on: the locks, the Python, the variables.
    defect: why it cannot be used, where what is written in its folder is no definition; the rest is then what could
        still be read, so that it can be shown, planned around, and named to whoever needs it.
    """

    name: str
    folder: Path
    summary: str
    python: str
    imports: tuple[str, ...]
    provides: Mapping[str, str]
    digest: str
    graph_def_producer: int | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    node: int | None = None
    defect: Failure | None = None

    @property
    def lock(self) -> Path:
        """Every package, pinned and hashed."""
        return self.folder / "requirements.txt"

    @property
    def node_manifests(self) -> tuple[Path, Path]:
        """What npm installs from: every Node package, pinned and with its checksum in the second file."""
        return self.folder / "package.json", self.folder / _NODE_LOCK

    @property
    def build_constraints(self) -> Path | None:
        """What builds the packages that are published as source only, pinned and hashed; None where none is."""
        file = self.folder / "build-constraints.txt"
        return file if file.exists() else None


def definitions_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the definitions lie: MODELMILL_ENVIRONMENTS, else inside the installed package, else the checkout.

    Raises ModelmillError ENVIRONMENTS_NOT_FOUND.
    """
    given = environ.get("MODELMILL_ENVIRONMENTS")
    checkouts = [parent / "workers" / "environments" for parent in _PACKAGE.parents]
    candidates = [Path(given).expanduser().resolve()] if given else [_PACKAGE / "_bundle" / "environments", *checkouts]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise ModelmillError(
        "ENVIRONMENTS_NOT_FOUND",
        f"There are no environment definitions in {candidates[0]}: install modelmill anew, or let "
        "MODELMILL_ENVIRONMENTS name the folder that holds them.",
        {"folder": str(candidates[0])},
        Fault.INFRASTRUCTURE,
    )


def load_definitions(folder: Path | None = None) -> dict[str, EnvironmentDefinition]:
    """The definitions in a folder, by name; `definitions_folder()` where none is given.

    A folder within it without `environment.toml` is none. One whose files are no definition has a `defect`, with the
    file and what is wrong with it (ENVIRONMENT_DEFINITION_INVALID); the others are unharmed.
    """
    files = sorted((folder or definitions_folder()).glob("*/environment.toml"))
    return {file.parent.name: _load(file) for file in files}


def _load(file: Path) -> EnvironmentDefinition:
    try:
        return _valid(file)
    except ModelmillError as error:
        return _defective(file, error.failure)


def _valid(file: Path) -> EnvironmentDefinition:
    """Raises ModelmillError ENVIRONMENT_DEFINITION_INVALID."""
    data = _read(file)
    folder = file.parent
    variables = data.get("variables", {})
    return EnvironmentDefinition(
        name=folder.name,
        folder=folder,
        summary=data["summary"],
        python=data["python"],
        imports=tuple(data["imports"]),
        provides=data["provides"],
        digest=_digest(folder, data["python"], variables),
        graph_def_producer=data.get("graph_def_producer"),
        variables=variables,
        node=data.get("node"),
    )


def _defective(file: Path, defect: Failure) -> EnvironmentDefinition:
    """What can still be read: above all which TensorFlow it would be, from its definition or else from its lock."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        data = {}
    provides, python, summary = data.get("provides"), data.get("python"), data.get("summary")
    if not isinstance(provides, dict) or not all(isinstance(version, str) for version in provides.values()):
        pinned = _pinned_tensorflow(file.parent)
        provides = {"tensorflow": pinned} if pinned else {}
    return EnvironmentDefinition(
        name=file.parent.name,
        folder=file.parent,
        summary=summary if isinstance(summary, str) else "",
        python=python if isinstance(python, str) else "",
        imports=(),
        provides=provides,
        digest=digest_of(defect.to_json()),
        defect=defect,
    )


def _pinned_tensorflow(folder: Path) -> str:
    try:
        return pinned_tensorflow((folder / "requirements.txt").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""


def _read(file: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        jsonschema.validate(data, _SCHEMA)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(file, str(error)) from error
    except jsonschema.ValidationError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        raise _invalid(file, f"{where}: {error.message}" if where else error.message) from error
    return data


def _digest(folder: Path, python: str, variables: Mapping[str, str]) -> str:
    locks = [folder / "requirements.txt", folder / "build-constraints.txt", folder / _NODE_LOCK]
    if not locks[0].exists():
        raise _invalid(locks[0], f"the file is missing; make it with `workers/environments/lock {folder.name}`")
    for lock in locks[:2]:
        _check_lock(lock)
    digests = {lock.name: hashlib.sha256(lock.read_bytes()).hexdigest() for lock in locks if lock.exists()}
    return digest_of({"python": python, "locks": digests, "variables": dict(variables)})


def _check_lock(lock: Path) -> None:
    try:
        wrong = lock_error(lock.read_text(encoding="utf-8")) if lock.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        wrong = str(error)
    if wrong:
        raise _invalid(lock, f"{wrong}; make it anew with `workers/environments/lock {lock.parent.name}`")


def _invalid(file: Path, what: str) -> ModelmillError:
    return ModelmillError(
        "ENVIRONMENT_DEFINITION_INVALID",
        f"The environment definition {file} cannot be used: {what}.",
        {"file": str(file), "what": what},
        Fault.INFRASTRUCTURE,
    )
