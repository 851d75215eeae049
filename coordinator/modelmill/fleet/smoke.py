"""An environment's smoke test: what it is for imports, and a small model goes through it in a real worker."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelmill.artifacts.store import ArtifactStore
from modelmill.errors import Fault, ModelmillError
from modelmill.fleet.definitions import EnvironmentDefinition, definitions_folder, load_definitions
from modelmill.fleet.import_check import check_imports
from modelmill.fleet.local import LocalFleet
from modelmill.fleet.node_packages import check_node_packages
from modelmill.fleet.tool_process import ToolProcesses
from modelmill.planning.need import meets
from modelmill.values import Artifact, Edge, Environment, File, Plugin, Role, StepOrder

Progress = Callable[[str], None]

_SOURCE = "tf.graph_def"
_FROZEN = "tf.frozen_graph"


async def check_environment(fleet: LocalFleet, name: str, progress: Progress) -> Environment:
    """Show that an environment works, installed first if need be.

    Its imports are made in a process of their own. Then the graph of `workers/environments/smoke` is frozen in it,
    and converted along every edge from a frozen graph whose requirements it meets, with default options.

    Raises ModelmillError: ENVIRONMENT_BROKEN where an import fails or a version is not the one promised; the
    step's own failure where a conversion fails; CONVERTER_MISSING where no plug-in can freeze the graph.
    """
    environment = await fleet.install(name, progress)
    definition = load_definitions()[name]
    progress(f"{name}: Importing {', '.join(definition.imports)}")
    await asyncio.to_thread(_check_imports, definition, Path(environment.path))
    description = await fleet.describe()
    check = _ConversionCheck(fleet, environment, progress)
    frozen = await check.run(_freezing(description.plugins), await asyncio.to_thread(_smoke_model, fleet.store))
    for way in _conversions(description.plugins, environment):
        await check.run(way, frozen)
    progress(f"{name}: It works")
    return environment


def smoke_graph() -> Path:
    """The small model, as GraphDef in text form; `scores` [1, 5] of `image` [1, 8, 8, 3], both float32."""
    return definitions_folder() / "smoke" / "graph.pbtxt"


def _check_imports(definition: EnvironmentDefinition, folder: Path) -> None:
    tools = ToolProcesses()
    try:
        check_imports(tools, definition, folder / "bin" / "python")
        if definition.node is not None:
            check_node_packages(tools, definition, folder, os.environ)
    finally:
        tools.close()


def _smoke_model(store: ArtifactStore) -> Artifact:
    data = smoke_graph().read_bytes()
    return Artifact(_SOURCE, (File("graph.pbtxt", store.put_bytes(data), len(data)),))


@dataclass(frozen=True)
class _Way:
    """One edge of one plug-in."""

    plugin: Plugin
    edge: Edge


@dataclass(frozen=True)
class _ConversionCheck:
    """Runs steps in the environment and tells of each."""

    fleet: LocalFleet
    environment: Environment
    progress: Progress

    async def run(self, way: _Way, model: Artifact) -> Artifact:
        """The artifact that a step makes of a model; nothing is answered from the cache."""
        name = self.environment.name
        self.progress(f"{name}: {way.plugin.name} {way.edge.name}: {way.edge.output}")
        order = StepOrder(
            conversion_id=f"check-{uuid.uuid4().hex}",
            step_id=f"{way.plugin.name}.{way.edge.name}",
            plugin=way.plugin.name,
            edge=way.edge.name,
            environment=name,
            options={},
            inputs={next(iter(way.edge.inputs)): model},
        )
        result = await self.fleet.run(order, _Listener(self.progress))
        return result.output


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


def _freezing(plugins: tuple[Plugin, ...]) -> _Way:
    """The edge from a GraphDef to a frozen graph, which needs no TensorFlow and so runs everywhere."""
    for plugin in plugins:
        for edge in plugin.edges:
            if tuple(edge.inputs.values()) == (_SOURCE,) and edge.output == _FROZEN and not edge.requires:
                return _Way(plugin, edge)
    raise ModelmillError(
        "CONVERTER_MISSING",
        "No plug-in makes a frozen graph of a GraphDef, so no conversion can be tried: is the freezer installed?",
        fault=Fault.INFRASTRUCTURE,
    )


def _conversions(plugins: tuple[Plugin, ...], environment: Environment) -> Iterator[_Way]:
    for plugin in plugins:
        for edge in plugin.edges:
            takes_frozen = edge.role is Role.CONVERT and tuple(edge.inputs.values()) == (_FROZEN,)
            if takes_frozen and meets(environment, edge):
                yield _Way(plugin, edge)
