"""CatalogService: protobuf in, protobuf out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from modelmill_protos.v1 import catalog_pb2, catalog_pb2_grpc

from modelmill.errors import ModelmillError
from modelmill.fleet.local import LocalFleet
from modelmill.fleet.smoke import check_environment
from modelmill.values import BrokenPlugin, Environment
from modelmill.wire import failure_message, plugin_message, target_message

Context = grpc.aio.ServicerContext[Any, Any]


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Answers with what the fleet says of itself."""

    def __init__(self, fleet: LocalFleet) -> None:
        self._fleet = fleet

    async def ListTargets(
        self, request: catalog_pb2.ListTargetsRequest, context: Context
    ) -> catalog_pb2.ListTargetsResponse:
        description = await self._fleet.describe()
        targets = [target_message(target) for plugin in description.plugins for target in plugin.targets]
        return catalog_pb2.ListTargetsResponse(targets=sorted(targets, key=lambda target: target.name))

    async def ListPlugins(
        self, request: catalog_pb2.ListPluginsRequest, context: Context
    ) -> catalog_pb2.ListPluginsResponse:
        description = await self._fleet.describe()
        return catalog_pb2.ListPluginsResponse(
            plugins=[plugin_message(plugin) for plugin in description.plugins],
            broken=[_broken_message(broken) for broken in description.broken],
        )

    async def ListEnvironments(
        self, request: catalog_pb2.ListEnvironmentsRequest, context: Context
    ) -> catalog_pb2.ListEnvironmentsResponse:
        environments, disk_size = await asyncio.gather(self._fleet.environments(), self._fleet.disk_size())
        return catalog_pb2.ListEnvironmentsResponse(
            environments=[_environment_message(item) for item in environments], disk_size=disk_size
        )

    async def InstallEnvironment(
        self, request: catalog_pb2.InstallEnvironmentRequest, context: Context
    ) -> AsyncIterator[catalog_pb2.EnvironmentProgress]:
        async for message in _follow(lambda progress: self._fleet.install(request.name, progress)):
            yield message

    async def CheckEnvironment(
        self, request: catalog_pb2.CheckEnvironmentRequest, context: Context
    ) -> AsyncIterator[catalog_pb2.EnvironmentProgress]:
        async for message in _follow(lambda progress: check_environment(self._fleet, request.name, progress)):
            yield message

    async def RemoveEnvironment(
        self, request: catalog_pb2.RemoveEnvironmentRequest, context: Context
    ) -> catalog_pb2.Environment:
        return _environment_message(await self._fleet.remove(request.name))


async def _follow(
    work: Callable[[Callable[[str], None]], Awaitable[Environment]],
) -> AsyncIterator[catalog_pb2.EnvironmentProgress]:
    """What the work tells, as it tells it, and last what came of it; a failure is told, not raised."""
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[str | None] = asyncio.Queue()

    def progress(message: str) -> None:
        loop.call_soon_threadsafe(told.put_nowait, message)

    task = asyncio.ensure_future(work(progress))
    task.add_done_callback(lambda _: loop.call_soon(told.put_nowait, None))  # after the last thing it told
    try:
        while (message := await told.get()) is not None:
            yield catalog_pb2.EnvironmentProgress(message=message)
        try:
            yield catalog_pb2.EnvironmentProgress(environment=_environment_message(await task))
        except ModelmillError as error:
            yield catalog_pb2.EnvironmentProgress(failure=failure_message(error.failure))
    finally:
        task.cancel()


def _environment_message(environment: Environment) -> catalog_pb2.Environment:
    return catalog_pb2.Environment(
        name=environment.name,
        summary=environment.summary,
        digest=environment.digest,
        python=environment.python,
        provides=environment.provides,
        state=catalog_pb2.Environment.State.Value(environment.availability.value),
        unavailable_reason=environment.unavailable_reason,
        disk_size=environment.disk_size,
        path=environment.path,
    )


def _broken_message(broken: BrokenPlugin) -> catalog_pb2.BrokenPlugin:
    return catalog_pb2.BrokenPlugin(
        name=broken.name,
        version=broken.version,
        distribution=broken.distribution,
        failure=failure_message(broken.failure),
    )
