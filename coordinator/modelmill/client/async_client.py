"""The client for asyncio."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.struct_pb2 import Struct
from modelmill_protos.v1 import (
    artifact_pb2,
    artifact_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    conversion_pb2,
    conversion_pb2_grpc,
)

from modelmill.client.downloading import Downloader, move_folder, staging
from modelmill.client.failures import error_of
from modelmill.client.outcome import ENDED, has_ended
from modelmill.client.patience import Patience, call
from modelmill.client.saving import save
from modelmill.client.side_by_side import side_by_side
from modelmill.client.sources import Source, collect
from modelmill.client.transfer import OnTransfer, ignore_transfer
from modelmill.client.uploading import Uploader
from modelmill.errors import ModelmillError
from modelmill.wire import struct_of, value_of

#: Bytes of one message: a conversion's facts may be large.
_MESSAGE_LIMIT = 64 << 20

_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
    ("grpc.max_send_message_length", _MESSAGE_LIMIT),
    # A connection that is gone is tried again soon: `Patience` does the waiting.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A watch may be silent for long: a peer that is gone without a word is noticed in a minute or two.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)

#: Is told of a conversion's events; called on the client's event loop, so it must return at once.
OnEvent = Callable[[conversion_pb2.Event], None]


def ignore_event(event: conversion_pb2.Event) -> None:
    """For those who do not want to know."""


class AsyncClient:
    """A connection to a coordinator. Close it, or use it as an asynchronous context.

    Every method raises ModelmillError with the farm's reason, or SERVER_UNAVAILABLE after `patience` where the
    coordinator cannot be reached. All requests may be repeated without harm, and are.
    """

    def __init__(self, address: str, patience: Patience | None = None) -> None:
        """A client of the coordinator at `address`: host:port, or unix:/path/to/socket. It connects when needed."""
        self._patience = patience or Patience()
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._conversions = conversion_pb2_grpc.ConversionServiceStub(self._channel)
        self._catalog = catalog_pb2_grpc.CatalogServiceStub(self._channel)
        artifacts = artifact_pb2_grpc.ArtifactServiceStub(self._channel)
        self._uploader = Uploader(artifacts, self._patience)
        self._downloader = Downloader(artifacts, self._patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    # Conversions

    async def create_conversion(
        self, spec: conversion_pb2.ConversionSpec, request_id: str = ""
    ) -> conversion_pb2.Conversion:
        """Begins a conversion of files that are uploaded; with an equal request_id, returns the one begun before."""
        request = conversion_pb2.CreateConversionRequest(spec=spec, request_id=request_id or str(uuid.uuid4()))
        return await call(self._patience, lambda: self._conversions.CreateConversion(request))

    async def get_conversion(self, conversion_id: str) -> conversion_pb2.Conversion:
        """A conversion as it is now."""
        request = conversion_pb2.GetConversionRequest(id=conversion_id)
        return await call(self._patience, lambda: self._conversions.GetConversion(request))

    async def list_conversions(
        self, state: str = "", page_size: int = 0, page_token: str = ""
    ) -> conversion_pb2.ListConversionsResponse:
        """A page of conversions, newest first; of those in a state such as "FAILED" only, where one is given."""
        request = conversion_pb2.ListConversionsRequest(
            page_size=page_size, page_token=page_token, filter=f"state={state}" if state else ""
        )
        return await call(self._patience, lambda: self._conversions.ListConversions(request))

    async def watch_conversion(
        self, conversion_id: str, from_sequence: int = 1
    ) -> AsyncGenerator[conversion_pb2.Event, None]:
        """A conversion's events from a sequence number on, each once, to its end.

        Where the connection is lost, the watch goes on at the next event as soon as there is one again.
        """
        tries = self._patience.tries()
        following = max(from_sequence, 1)
        while True:
            request = conversion_pb2.WatchConversionRequest(id=conversion_id, from_sequence=following)
            stream = self._conversions.WatchConversion(request)
            try:
                async for event in stream:
                    tries.progressed()
                    following = event.sequence + 1
                    yield event
                    if event.state_change.state in ENDED:
                        return
                if has_ended(await self.get_conversion(conversion_id)):
                    return
                await asyncio.sleep(self._patience.first)
            except grpc.aio.AioRpcError as error:
                await tries.pause(error)
            finally:
                stream.cancel()

    async def cancel_conversion(self, conversion_id: str) -> conversion_pb2.Conversion:
        """Ends a conversion's running steps; one that has ended is returned as it is."""
        request = conversion_pb2.CancelConversionRequest(id=conversion_id)
        return await call(self._patience, lambda: self._conversions.CancelConversion(request))

    async def plan_conversion(self, spec: conversion_pb2.ConversionSpec) -> conversion_pb2.Plan:
        """What a conversion would do, and why."""
        request = conversion_pb2.PlanConversionRequest(spec=spec)
        return await call(self._patience, lambda: self._conversions.PlanConversion(request))

    async def inspect_model(self, source: artifact_pb2.Artifact, options: Struct | None = None) -> Struct:
        """What an uploaded model is, read as data; options: those of the inspector."""
        request = conversion_pb2.InspectModelRequest(source=source, options=options)
        response: conversion_pb2.InspectModelResponse = await call(
            self._patience, lambda: self._conversions.InspectModel(request)
        )
        return response.model

    async def check_connection(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - gRPC's own deadline
        """Asks once, without patience, whether the coordinator answers: SERVER_UNAVAILABLE where it does not."""
        request = conversion_pb2.ListConversionsRequest(page_size=1)
        try:
            await self._conversions.ListConversions(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error

    # Catalog

    async def list_targets(self) -> list[catalog_pb2.Target]:
        """What can be converted to."""
        response = await call(self._patience, lambda: self._catalog.ListTargets(catalog_pb2.ListTargetsRequest()))
        return list(response.targets)

    async def list_plugins(self) -> catalog_pb2.ListPluginsResponse:
        """The plug-ins, and those that could not be used."""
        return await call(self._patience, lambda: self._catalog.ListPlugins(catalog_pb2.ListPluginsRequest()))

    async def list_environments(self) -> list[catalog_pb2.Environment]:
        """The environments, installed or not."""
        return list((await self.survey_environments()).environments)

    async def survey_environments(self) -> catalog_pb2.ListEnvironmentsResponse:
        """The environments, and what all together take on the disk: a file that several share counts once."""
        request = catalog_pb2.ListEnvironmentsRequest()
        return await call(self._patience, lambda: self._catalog.ListEnvironments(request))

    def install_environment(self, name: str) -> AsyncIterator[catalog_pb2.EnvironmentProgress]:
        """Installs an environment; the last message carries it, or the failure.

        Where the iteration is given up, so is the installation.
        """
        request = catalog_pb2.InstallEnvironmentRequest(name=name)
        return _follow(lambda: self._catalog.InstallEnvironment(request))

    def check_environment(self, name: str) -> AsyncIterator[catalog_pb2.EnvironmentProgress]:
        """Runs an environment's smoke test, installing it first if need be; the last message is as in installing."""
        request = catalog_pb2.CheckEnvironmentRequest(name=name)
        return _follow(lambda: self._catalog.CheckEnvironment(request))

    def install_environments(
        self, names: Sequence[str], jobs: int
    ) -> AsyncGenerator[tuple[str, catalog_pb2.EnvironmentProgress], None]:
        """Installs several, at most so many at once; each message comes with the environment's name.

        The last one of each carries it, or its failure, which does not stop the others.
        """
        return side_by_side(names, self.install_environment, jobs)

    def check_environments(
        self, names: Sequence[str], jobs: int
    ) -> AsyncGenerator[tuple[str, catalog_pb2.EnvironmentProgress], None]:
        """Checks several, at most so many at once; the messages are as in installing."""
        return side_by_side(names, self.check_environment, jobs)

    async def remove_environment(self, name: str) -> catalog_pb2.Environment:
        """Stops an environment's workers and deletes its files."""
        request = catalog_pb2.RemoveEnvironmentRequest(name=name)
        return await call(self._patience, lambda: self._catalog.RemoveEnvironment(request))

    # Files

    async def upload(
        self, source: Source | Path, kind: str = "", on_transfer: OnTransfer = ignore_transfer
    ) -> artifact_pb2.Artifact:
        """Sends those files of a source that the farm lacks; its artifact, ready to be named in a specification.

        kind: such as "dataset"; empty for a model, whose kind the farm finds out.
        """
        files = collect(source).files if isinstance(source, Path) else source.files
        return await self._uploader.upload(files, kind, on_transfer)

    async def download(
        self, artifact: artifact_pb2.Artifact, folder: Path, on_transfer: OnTransfer = ignore_transfer
    ) -> None:
        """Writes an artifact's files into a folder, which is replaced when all are there and none is damaged."""
        with staging(folder.parent) as stage:
            await self._downloader.download([(artifact, stage / "new")], on_transfer)
            move_folder(stage / "new", folder)

    async def save(
        self, conversion: conversion_pb2.Conversion, output: Path, on_transfer: OnTransfer = ignore_transfer
    ) -> list[Path]:
        """Writes the targets of a conversion that succeeded, and its report; the files, none where none succeeded.

        Each target goes to `output/<label>/`, which is replaced, and the report to `output/report.json`.
        """
        return await save(conversion, output, self._downloader, on_transfer)

    # All at once

    async def inspect(
        self,
        source: Source | Path,
        options: Mapping[str, Any] | None = None,
        on_transfer: OnTransfer = ignore_transfer,
    ) -> dict[str, Any]:
        """Uploads a model and says what it is: the facts, as JSON values.

        options: of the inspector, such as `input_shapes`, `outputs`, `signature_key`, `tags`, `picture`.
        """
        collected = collect(source) if isinstance(source, Path) else source
        given = struct_of(options or {})
        artifact = await self.upload(collected, "", on_transfer)
        try:
            return value_of(await self.inspect_model(artifact, given))
        except ModelmillError as error:
            if error.reason != "FILES_MISSING":
                raise
        await self.upload(collected, "", on_transfer)  # they were there, and were tidied away
        return value_of(await self.inspect_model(artifact, given))

    async def convert(
        self,
        source: Source | Path,
        spec: conversion_pb2.ConversionSpec,
        output: Path,
        on_event: OnEvent = ignore_event,
        on_transfer: OnTransfer = ignore_transfer,
    ) -> conversion_pb2.Conversion:
        """Uploads, converts, and saves what succeeded; the conversion as it ended, which need not be well.

        spec: what is wanted; its source is set here.
        """
        conversion = await self.begin(source, spec, on_transfer)
        answered = has_ended(conversion)  # with what the farm had kept, and so at once
        if not answered or on_event is not ignore_event:
            async with aclosing(self.watch_conversion(conversion.id)) as events:
                async for event in events:
                    on_event(event)
        if not answered:
            conversion = await self.get_conversion(conversion.id)
        await self.save(conversion, output, on_transfer)
        return conversion

    async def begin(
        self, source: Source | Path, spec: conversion_pb2.ConversionSpec, on_transfer: OnTransfer = ignore_transfer
    ) -> conversion_pb2.Conversion:
        """Uploads a source and begins its conversion."""
        collected = collect(source) if isinstance(source, Path) else source
        wanted = conversion_pb2.ConversionSpec()
        wanted.CopyFrom(spec)
        wanted.display_name = spec.display_name or collected.display_name
        request_id = str(uuid.uuid4())
        wanted.source.CopyFrom(await self.upload(collected, "", on_transfer))
        try:
            return await self.create_conversion(wanted, request_id)
        except ModelmillError as error:
            if error.reason != "FILES_MISSING":
                raise
        await self.upload(collected, "", on_transfer)  # they were there, and were tidied away
        return await self.create_conversion(wanted, request_id)


async def _follow(
    begin: Callable[[], grpc.aio.UnaryStreamCall[Any, catalog_pb2.EnvironmentProgress]],
) -> AsyncIterator[catalog_pb2.EnvironmentProgress]:
    stream = begin()
    try:
        async for message in stream:
            yield message
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error
    finally:
        stream.cancel()
