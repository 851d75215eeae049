"""An environment's smoke test: what it is for imports, and a small model goes through it in a real worker."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from modelmill.artifacts.store import ArtifactStore
from modelmill.errors import Fault, ModelmillError
from modelmill.fleet.definitions import EnvironmentDefinition, definitions_folder
from modelmill.fleet.import_check import check_imports
from modelmill.fleet.local import LocalFleet
from modelmill.fleet.node_packages import check_node_packages
from modelmill.fleet.tool_process import ToolProcesses
from modelmill.planning.need import meets
from modelmill.values import Artifact, Availability, Edge, Environment, File, Plugin, Role, StepOrder, StepResult

Progress = Callable[[str], None]

_SOURCE = "tf.graph_def"
_FROZEN = "tf.frozen_graph"
_DATASET = "dataset"


async def check_environment(fleet: LocalFleet, name: str, progress: Progress) -> Environment:
    """Show that an environment works, installed first if need be.

    Its imports are made in a process of their own. Then the graph of `workers/environments/smoke` is frozen in it and
    converted along every edge from a frozen graph whose requirements it meets, with default options. Where it can run
    the graph too, what was made is run on the same inputs, here or, where this environment cannot, in another one, and
    has to be as near to the graph's own results as the conversion may cost by nature. The last thing told is a summary.

    Raises ModelmillError: ENVIRONMENT_BROKEN where an import fails or a version is not the one promised; the
    step's own failure where a conversion fails; WRONG_NUMBERS where a result is too far off; CONVERTER_MISSING where
    no plug-in can freeze the graph.
    """
    environment = await fleet.install(name, progress)
    definition = fleet.definition(name)
    progress(f"{name}: Importing {', '.join(definition.imports)}")
    await _check_imports(definition, Path(environment.path))
    plugins = (await fleet.describe()).plugins
    check = _Check(fleet, plugins, environment, progress)
    source = await asyncio.to_thread(_smoke_model, fleet.store)
    frozen = await check.run(_freezing(plugins), [source])
    reference = await check.reference(frozen.output)
    findings = ["freezes"]
    for way in _from_frozen(plugins, environment):
        made = await check.run(way, [frozen.output])
        findings.append(f"makes {way.edge.output}{await check.compare(made.output, reference)}")
    progress(f"{name}: It works: imports, {', '.join(findings)}")
    return environment


def smoke_graph() -> Path:
    """The small model, as GraphDef in text form; `scores` [1, 5] of `image` [1, 8, 8, 3], both float32."""
    return definitions_folder() / "smoke" / "graph.pbtxt"


async def _check_imports(definition: EnvironmentDefinition, folder: Path) -> None:
    tools = ToolProcesses()
    try:
        await asyncio.to_thread(check_imports, tools, definition, folder / "bin" / "python")
        if definition.node is not None:
            await asyncio.to_thread(check_node_packages, tools, definition, folder, os.environ)
    finally:
        tools.close()  # whoever goes away meanwhile leaves no process


def _smoke_model(store: ArtifactStore) -> Artifact:
    data = smoke_graph().read_bytes()
    return Artifact(_SOURCE, (File("graph.pbtxt", store.put_bytes(data), len(data)),))


@dataclass(frozen=True)
class _Way:
    """One edge of one plug-in."""

    plugin: Plugin
    edge: Edge


@dataclass(frozen=True)
class _Reference:
    """Inputs, and what the graph itself makes of them."""

    inputs: Artifact
    outputs: Artifact


@dataclass(frozen=True)
class _Check:
    """Runs steps and tells of each; nothing is answered from the cache."""

    fleet: LocalFleet
    plugins: tuple[Plugin, ...]
    environment: Environment
    progress: Progress

    async def run(self, way: _Way, inputs: Iterable[Artifact], environment: str = "") -> StepResult:
        """What a step makes of its inputs, in the environment under test where no other is named.

        A model and a dataset are told apart by kind; several of a kind come in the order of the edge's own.
        """
        where = environment or self.environment.name
        elsewhere = f" in {where}" if environment not in ("", self.environment.name) else ""
        self.progress(f"{self.environment.name}: {way.plugin.name} {way.edge.name}: {way.edge.output}{elsewhere}")
        order = StepOrder(
            conversion_id=f"check-{uuid.uuid4().hex}",
            step_id=f"{way.plugin.name}.{way.edge.name}",
            plugin=way.plugin.name,
            edge=way.edge.name,
            environment=where,
            options={},
            inputs=_bound(way.edge, list(inputs)),
        )
        return await self.fleet.run(order, _Listener(self.progress))

    async def reference(self, frozen: Artifact) -> _Reference | None:
        """Inputs, and the frozen graph's own results in this environment; None where it cannot run the graph."""
        samples = [way for way in _ways(self.plugins, Role.SAMPLE, (_FROZEN,)) if meets(self.environment, way.edge)]
        runs = [way for way in _ways(self.plugins, Role.RUN, (_FROZEN, _DATASET)) if meets(self.environment, way.edge)]
        if not samples or not runs:
            return None
        inputs = (await self.run(samples[0], [frozen])).output
        return _Reference(inputs, (await self.run(runs[0], [frozen, inputs])).output)

    async def compare(self, model: Artifact, reference: _Reference | None) -> str:
        """How far a converted model is from the graph, as the end of a sentence; WRONG_NUMBERS where it is too far."""
        if reference is None:
            return ""
        comparisons = _ways(self.plugins, Role.COMPARE, (_DATASET, _DATASET))
        for run in _ways(self.plugins, Role.RUN, (model.kind, _DATASET)):
            where = await self._runner(run.edge)
            if where is not None and comparisons:
                outputs = (await self.run(run, [model, reference.inputs], where)).output
                facts = (await self.run(comparisons[0], [outputs, reference.outputs])).facts
                place = "" if where == self.environment.name else f", run in {where}"
                return f" ({_distance(self.environment.name, model.kind, facts)}{place})"
        return " (nothing here can run it)"

    async def _runner(self, edge: Edge) -> str | None:
        """Where to run a model that was made here: here, else where it costs least, nearest to this TensorFlow."""
        if meets(self.environment, edge):
            return self.environment.name
        others = [
            other
            for other in await self.fleet.environments()
            if other.availability is not Availability.UNAVAILABLE and meets(other, edge)
        ]
        own = Version(self.environment.tensorflow or "0")

        def effort(other: Environment) -> tuple[object, ...]:
            version = Version(other.tensorflow or "0")
            is_there = other.availability is Availability.INSTALLED
            return not is_there, len(other.provides), version < own, version, other.name

        return min(others, key=effort).name if others else None


@dataclass(frozen=True)
class _Listener:
    """Tells what a step waits for; how far it is does not matter, for it takes a moment."""

    progress: Progress

    def waits(self, message: str) -> None:
        self.progress(message)

    def started(self) -> None:
        """It runs."""

    def progressed(self, fraction: float, message: str) -> None:
        """It is so far."""

    def logged(self, text: str) -> None:
        """It printed something; of a failure the log is part."""


def _ways(plugins: tuple[Plugin, ...], role: Role, kinds: tuple[str, ...]) -> list[_Way]:
    """The edges of a role that take these kinds, in whatever order."""
    return [
        _Way(plugin, edge)
        for plugin in plugins
        for edge in plugin.edges
        if edge.role is role and sorted(edge.inputs.values()) == sorted(kinds)
    ]


def _freezing(plugins: tuple[Plugin, ...]) -> _Way:
    """The edge from a GraphDef to a frozen graph, which needs no TensorFlow and so runs everywhere."""
    for way in _ways(plugins, Role.CONVERT, (_SOURCE,)):
        if way.edge.output == _FROZEN and not way.edge.requires:
            return way
    raise ModelmillError(
        "CONVERTER_MISSING",
        "No plug-in makes a frozen graph of a GraphDef, so no conversion can be tried: is the freezer installed?",
        fault=Fault.INFRASTRUCTURE,
    )


def _from_frozen(plugins: tuple[Plugin, ...], environment: Environment) -> Iterator[_Way]:
    return (way for way in _ways(plugins, Role.CONVERT, (_FROZEN,)) if meets(environment, way.edge))


def _bound(edge: Edge, artifacts: list[Artifact]) -> dict[str, Artifact]:
    """Each input's artifact: the next one of its kind."""
    waiting = list(artifacts)
    bound = {}
    for name, kind in edge.inputs.items():
        artifact = next(artifact for artifact in waiting if artifact.kind == kind)
        waiting.remove(artifact)
        bound[name] = artifact
    return bound


def _distance(name: str, kind: str, facts: Mapping[str, Any]) -> str:
    """What a comparison says, in a few words; WRONG_NUMBERS where it did not pass."""
    if facts.get("skipped"):
        return f"not compared: {facts['skipped']}"
    error = max((float(output["max_abs_error"]) for output in facts["outputs"]), default=0.0)
    if not facts["passed"]:
        raise ModelmillError(
            "WRONG_NUMBERS",
            f"{name} makes a {kind} whose results are up to {error:.3g} away from those of the graph that it was made "
            f"of; {facts['tolerance']:.3g} of their range is allowed. Do not use what it makes.",
            {"environment": name, "kind": kind, "outputs": facts["outputs"], "tolerance": facts["tolerance"]},
            Fault.TOOL,
        )
    return f"{error:.1e} from the graph's own results"
