"""What a client asks for, and whether it can be asked for: known targets, known options, values of the right type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema

from modelmill.errors import ModelmillError
from modelmill.planning.versions import parse_wish
from modelmill.values import Artifact, Plugin, StepLimits, Target

#: More versions of TensorFlow that are tried for a target, where a client does not say how many.
VERSION_RETRIES = 2
#: There are not many more versions than this.
_MOST_RETRIES = 100


@dataclass(frozen=True)
class TargetRequest:
    """One `--to`: a target's name and the options of the plug-in that makes it.

    tensorflow: the versions that may make it, as `versions.parse_wish` reads them; empty for all.
    every_version: a result for each version that can make it, rather than one for the best.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tensorflow: str = ""
    every_version: bool = False

    def to_json(self) -> dict[str, Any]:
        """This request as a JSON object."""
        return {**self.__dict__, "options": dict(self.options)}


@dataclass(frozen=True)
class VerificationRequest:
    """How to check the results.

    dataset: inputs to use instead of seeded ones.
    prove: run the model before and after every change that a rewrite or an edit makes.
    tolerance: largest error relative to the reference output's range; None for what the target may cost by nature.
    input_shapes: shapes for inputs whose dimensions the model leaves open.
    """

    skip: bool = False
    seed: int = 0
    dataset: Artifact | None = None
    tolerance: float | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    prove: bool = False


@dataclass(frozen=True)
class ConversionSpec:
    """A whole conversion as asked for; equal specifications of equal files give equal steps.

    salt: part of every step's key, so that another salt disowns earlier results.
    conversion_deadline: seconds from start to end; None for no limit.
    edits: how to change the model before it is converted; what comes of that is what results are compared with.
    version_retries: how many more versions of TensorFlow are tried for each target when a step fails in a way that
        another version may not.
    """

    source: Artifact
    targets: tuple[TargetRequest, ...]
    plugin_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    verification: VerificationRequest = field(default_factory=VerificationRequest)
    limits: StepLimits = field(default_factory=StepLimits)
    conversion_deadline: float | None = None
    salt: str = ""
    ignore_cache: bool = False
    display_name: str = ""
    version_retries: int = VERSION_RETRIES
    edits: Artifact | None = None

    def to_json(self) -> dict[str, Any]:
        """This specification as a JSON object, for the journal."""
        verification = self.verification
        return {
            "source": self.source.to_json(),
            "targets": [target.to_json() for target in self.targets],
            "plugin_options": {name: dict(options) for name, options in self.plugin_options.items()},
            "verification": {
                "skip": verification.skip,
                "seed": verification.seed,
                "dataset": verification.dataset.to_json() if verification.dataset else None,
                "tolerance": verification.tolerance,
                "input_shapes": {name: list(shape) for name, shape in verification.input_shapes.items()},
                "prove": verification.prove,
            },
            "limits": {
                "deadline_seconds": self.limits.deadline_seconds,
                "memory_bytes": self.limits.memory_bytes,
                "log_bytes": self.limits.log_bytes,
            },
            "conversion_deadline": self.conversion_deadline,
            "salt": self.salt,
            "ignore_cache": self.ignore_cache,
            "display_name": self.display_name,
            "version_retries": self.version_retries,
            "edits": self.edits.to_json() if self.edits else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ConversionSpec:
        """The inverse of `to_json`."""
        verification = data["verification"]
        dataset = verification["dataset"]
        return cls(
            source=Artifact.from_json(data["source"]),
            targets=tuple(TargetRequest(**target) for target in data["targets"]),
            plugin_options=data["plugin_options"],
            verification=VerificationRequest(
                skip=verification["skip"],
                seed=verification["seed"],
                dataset=Artifact.from_json(dataset) if dataset else None,
                tolerance=verification["tolerance"],
                input_shapes={name: tuple(shape) for name, shape in verification["input_shapes"].items()},
                prove=verification.get("prove", False),
            ),
            limits=StepLimits(**data["limits"]),
            conversion_deadline=data["conversion_deadline"],
            salt=data["salt"],
            ignore_cache=data["ignore_cache"],
            display_name=data["display_name"],
            # Conversions that were begun before there were retries have none.
            version_retries=data.get("version_retries", 0),
            edits=Artifact.from_json(data["edits"]) if data.get("edits") else None,
        )


def check_specification(spec: ConversionSpec, plugins: Iterable[Plugin]) -> None:
    """Refuse what cannot be asked for, before anything is queued.

    Raises ModelmillError: NO_TARGET, UNKNOWN_TARGET, UNKNOWN_PLUGIN, UNKNOWN_OPTION, INVALID_OPTION,
    INVALID_TENSORFLOW_VERSION or INVALID_RETRIES.
    """
    plugins = tuple(plugins)
    targets = known_targets(plugins)
    if not 0 <= spec.version_retries <= _MOST_RETRIES:
        raise ModelmillError(
            "INVALID_RETRIES",
            f"From 0 to {_MOST_RETRIES} more versions can be tried, not {spec.version_retries}.",
            {"version_retries": spec.version_retries},
        )
    if not spec.targets:
        raise ModelmillError("NO_TARGET", f"Name at least one target; known are: {_listed(targets)}.")
    for request in spec.targets:
        if request.name not in targets:
            raise ModelmillError(
                "UNKNOWN_TARGET",
                f"There is no target {request.name!r}; known are: {_listed(targets)}.",
                {"target": request.name, "known": sorted(targets)},
            )
        target = targets[request.name]
        check_options(target.options_schema, request.options, f"the target {target.name}")
        parse_wish(request.tensorflow)
    by_name = {plugin.name: plugin for plugin in plugins}
    for name, options in spec.plugin_options.items():
        if name not in by_name:
            raise ModelmillError(
                "UNKNOWN_PLUGIN",
                f"There is no plug-in {name!r}; known are: {_listed(by_name)}.",
                {"plugin": name, "known": sorted(by_name)},
            )
        check_options(_schema_of_all_edges(by_name[name]), options, f"the plug-in {name}")


def known_targets(plugins: Iterable[Plugin]) -> dict[str, Target]:
    """Every target by name."""
    return {target.name: target for plugin in plugins for target in plugin.targets}


def check_options(schema: Mapping[str, Any], options: Mapping[str, Any], whose: str) -> None:
    """Refuse options that their JSON Schema does not allow: UNKNOWN_OPTION or INVALID_OPTION."""
    known = schema.get("properties", {})
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0.4) or sorted(known)
            meant = f"known are: {_listed(near)}" if near else "it takes none"
            raise ModelmillError(
                "UNKNOWN_OPTION",
                f"There is no option {name!r} of {whose}; {meant}.",
                {"option": name, "known": sorted(known)},
            )
    problems = jsonschema.Draft202012Validator(dict(schema)).iter_errors(dict(options))
    for problem in problems:
        path = ".".join(str(part) for part in problem.absolute_path)
        raise ModelmillError(
            "INVALID_OPTION",
            f"The option {path} of {whose} does not fit: {problem.message}. {_what_fits(problem.schema)}".strip(),
            {"option": path, "value": problem.instance},
        )


def _what_fits(schema: Mapping[str, Any]) -> str:
    if schema.get("enum"):
        return f"Give one of: {_listed(schema['enum'])}."
    kind = schema.get("type")
    return f"Give a value of type {' or '.join(kind) if isinstance(kind, list) else kind}." if kind else ""


def _schema_of_all_edges(plugin: Plugin) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for edge in plugin.edges:
        properties.update(edge.options_schema.get("properties", {}))
    return {"type": "object", "properties": properties}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
