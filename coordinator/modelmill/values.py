"""The values that pass between the coordinator's packages: artifacts, plug-in descriptions, limits.

Below `api` nobody knows protobuf; what crosses a package's border is one of these.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelmill.errors import Failure


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values: sorted keys, no spaces, whole floats written as integers."""
    return json.dumps(_with_whole_numbers(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value's canonical text."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _with_whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _with_whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_whole_numbers(item) for item in value]
    return value


@dataclass(frozen=True, order=True)
class File:
    """One file of an artifact: its path within it, the SHA-256 of its bytes, its size in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True)
class Artifact:
    """A tree of files of one kind; two artifacts of equal kind and files are the same one."""

    kind: str
    files: tuple[File, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over kind and files, whatever their order."""
        return digest_of([self.kind, [[file.path, file.digest, file.size] for file in sorted(self.files)]])

    def of_kind(self, kind: str) -> Artifact:
        """The same files, known to be of this kind."""
        return Artifact(kind, self.files)

    def to_json(self) -> dict[str, Any]:
        """This artifact as a JSON object."""
        files = [{"path": file.path, "digest": file.digest, "size": file.size} for file in self.files]
        return {"kind": self.kind, "files": files}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Artifact:
        """The inverse of `to_json`."""
        return cls(data["kind"], tuple(File(file["path"], file["digest"], file["size"]) for file in data["files"]))


class Role(enum.Enum):
    """What a step along an edge is there for; the names are those of catalog.proto."""

    CONVERT = "CONVERT"
    REWRITE = "REWRITE"
    INSPECT = "INSPECT"
    SAMPLE = "SAMPLE"
    RUN = "RUN"
    COMPARE = "COMPARE"
    CONTRAST = "CONTRAST"
    EDIT = "EDIT"
    PROVE = "PROVE"


class Preference(enum.Enum):
    """Which environment is the best choice for an edge; the names are those of catalog.proto."""

    NEWEST = "NEWEST"
    WRITER = "WRITER"
    MAKER = "MAKER"


class Direction(enum.Enum):
    """In which versions of TensorFlow a failed step may succeed, seen from the one in which it failed."""

    NEWER = "NEWER"
    OLDER = "OLDER"
    ANY = "ANY"


@dataclass(frozen=True)
class Edge:
    """One thing that a plug-in can do. `inputs` maps names to kinds, where "*" takes any."""

    name: str
    role: Role
    inputs: Mapping[str, str]
    output: str
    options_schema: Mapping[str, Any]
    requires: tuple[str, ...]
    preference: Preference
    cost: float
    prefers: str = ""
    input_made_by: str = ""


@dataclass(frozen=True)
class Target:
    """What a client may name with `--to`."""

    name: str
    kind: str
    summary: str
    plugin: str
    options_schema: Mapping[str, Any]


@dataclass(frozen=True)
class Plugin:
    """A plug-in as its worker describes it."""

    name: str
    version: str
    api_version: int
    summary: str
    distribution: str
    code_digest: str
    edges: tuple[Edge, ...]
    targets: tuple[Target, ...]

    def edge(self, name: str) -> Edge:
        """The edge of that name; KeyError where there is none."""
        for edge in self.edges:
            if edge.name == name:
                return edge
        raise KeyError(name)


class Availability(enum.Enum):
    """Whether an environment can be used on this machine; the names are those of catalog.proto."""

    INSTALLED = "INSTALLED"
    INSTALLABLE = "INSTALLABLE"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True)
class Environment:
    """An environment as planner and clients see it.

    digest: of its lock file.
    python: its minor version, such as "3.7".
    provides: package to version, as far as plug-ins may require them; TensorFlow among them.
    graph_def_producer: what its TensorFlow writes into GraphDef.versions.producer; None without TensorFlow.
    unavailable_reason: one sentence, empty unless UNAVAILABLE.
    disk_size: bytes; 0 where not installed.
    path: where it is installed; empty where it is not.
    without_python: its Python is not on this machine and has to be fetched first.
    """

    name: str
    summary: str
    digest: str
    python: str
    provides: Mapping[str, str]
    graph_def_producer: int | None
    availability: Availability
    unavailable_reason: str = ""
    disk_size: int = 0
    path: str = ""
    without_python: bool = False

    @property
    def tensorflow(self) -> str | None:
        """Its TensorFlow's version, if it has one; the name of the wheel does not matter."""
        return self.provides.get("tensorflow")


@dataclass(frozen=True)
class BrokenPlugin:
    """A plug-in that a worker found and could not use."""

    name: str
    version: str
    distribution: str
    failure: Failure


@dataclass(frozen=True)
class WorkerDescription:
    """What a worker says of itself: the plug-ins that it loaded and those that it could not."""

    environment: str
    python: str
    plugins: tuple[Plugin, ...]
    broken: tuple[BrokenPlugin, ...]


@dataclass(frozen=True)
class StepLimits:
    """What one step may use: seconds of run time, bytes of memory, bytes printed."""

    deadline_seconds: float = 900.0
    memory_bytes: int = 8 << 30
    log_bytes: int = 32 << 20


@dataclass(frozen=True)
class StepOrder:
    """One step, ready to be run by a worker: everything that decides its result, and its limits."""

    conversion_id: str
    step_id: str
    plugin: str
    edge: str
    environment: str
    options: Mapping[str, Any]
    inputs: Mapping[str, Artifact]
    limits: StepLimits = field(default_factory=StepLimits)


@dataclass(frozen=True)
class StepResult:
    """What a step gave: its artifact, the plug-in's facts, and what the run took (seconds, bytes)."""

    output: Artifact
    facts: Mapping[str, Any]
    run_seconds: float
    peak_memory: int

    def to_json(self) -> dict[str, Any]:
        """This result as a JSON object."""
        return {
            "output": self.output.to_json(),
            "facts": dict(self.facts),
            "run_seconds": self.run_seconds,
            "peak_memory": self.peak_memory,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StepResult:
        """The inverse of `to_json`."""
        return cls(Artifact.from_json(data["output"]), data["facts"], data["run_seconds"], data["peak_memory"])
