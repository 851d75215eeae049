"""The client for blocking code: an `AsyncClient` on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from google.protobuf.struct_pb2 import Struct
from modelmill_protos.v1 import artifact_pb2, catalog_pb2, conversion_pb2

from modelmill.client.async_client import AsyncClient, OnEvent, ignore_event
from modelmill.client.patience import Patience
from modelmill.client.sources import Source
from modelmill.client.transfer import OnTransfer, ignore_transfer

T = TypeVar("T")

#: Seconds that an interrupted call is given to tidy up, such as to remove what it had begun to write.
_TIDYING_SECONDS = 10.0


class Client:
    """`AsyncClient` for blocking code; its methods are told there. Close it, or use it as a context.

    It may be shared by threads. What is passed as `on_event` or `on_transfer` is called in the client's own thread.
    """

    def __init__(self, address: str, patience: Patience | None = None) -> None:
        """A client of the coordinator at `address`: host:port, or unix:/path/to/socket. It connects when needed."""
        self._loop = _BackgroundLoop()
        self._client = self._loop.run(_connect(address, patience))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and the thread."""
        self._loop.run(self._client.close())
        self._loop.stop()

    # Conversions

    def create_conversion(self, spec: conversion_pb2.ConversionSpec, request_id: str = "") -> conversion_pb2.Conversion:
        """See `AsyncClient.create_conversion`."""
        return self._loop.run(self._client.create_conversion(spec, request_id))

    def get_conversion(self, conversion_id: str) -> conversion_pb2.Conversion:
        """See `AsyncClient.get_conversion`."""
        return self._loop.run(self._client.get_conversion(conversion_id))

    def list_conversions(
        self, state: str = "", page_size: int = 0, page_token: str = ""
    ) -> conversion_pb2.ListConversionsResponse:
        """See `AsyncClient.list_conversions`."""
        return self._loop.run(self._client.list_conversions(state, page_size, page_token))

    def watch_conversion(self, conversion_id: str, from_sequence: int = 1) -> Iterator[conversion_pb2.Event]:
        """See `AsyncClient.watch_conversion`."""
        return self._loop.iterate(self._client.watch_conversion(conversion_id, from_sequence))

    def cancel_conversion(self, conversion_id: str) -> conversion_pb2.Conversion:
        """See `AsyncClient.cancel_conversion`."""
        return self._loop.run(self._client.cancel_conversion(conversion_id))

    def plan_conversion(self, spec: conversion_pb2.ConversionSpec) -> conversion_pb2.Plan:
        """See `AsyncClient.plan_conversion`."""
        return self._loop.run(self._client.plan_conversion(spec))

    def inspect_model(self, source: artifact_pb2.Artifact, options: Struct | None = None) -> Struct:
        """See `AsyncClient.inspect_model`."""
        return self._loop.run(self._client.inspect_model(source, options))

    def check_connection(self, timeout: float = 10.0) -> None:
        """See `AsyncClient.check_connection`."""
        self._loop.run(self._client.check_connection(timeout))

    # Catalog

    def list_targets(self) -> list[catalog_pb2.Target]:
        """See `AsyncClient.list_targets`."""
        return self._loop.run(self._client.list_targets())

    def list_plugins(self) -> catalog_pb2.ListPluginsResponse:
        """See `AsyncClient.list_plugins`."""
        return self._loop.run(self._client.list_plugins())

    def list_environments(self) -> list[catalog_pb2.Environment]:
        """See `AsyncClient.list_environments`."""
        return self._loop.run(self._client.list_environments())

    def survey_environments(self) -> catalog_pb2.ListEnvironmentsResponse:
        """See `AsyncClient.survey_environments`."""
        return self._loop.run(self._client.survey_environments())

    def install_environment(self, name: str) -> Iterator[catalog_pb2.EnvironmentProgress]:
        """See `AsyncClient.install_environment`."""
        return self._loop.iterate(self._client.install_environment(name))

    def check_environment(self, name: str) -> Iterator[catalog_pb2.EnvironmentProgress]:
        """See `AsyncClient.check_environment`."""
        return self._loop.iterate(self._client.check_environment(name))

    def install_environments(
        self, names: Sequence[str], jobs: int
    ) -> Generator[tuple[str, catalog_pb2.EnvironmentProgress], None, None]:
        """See `AsyncClient.install_environments`."""
        return self._loop.iterate(self._client.install_environments(names, jobs))

    def check_environments(
        self, names: Sequence[str], jobs: int
    ) -> Generator[tuple[str, catalog_pb2.EnvironmentProgress], None, None]:
        """See `AsyncClient.check_environments`."""
        return self._loop.iterate(self._client.check_environments(names, jobs))

    def remove_environment(self, name: str) -> catalog_pb2.Environment:
        """See `AsyncClient.remove_environment`."""
        return self._loop.run(self._client.remove_environment(name))

    # Files

    def upload(
        self, source: Source | Path, kind: str = "", on_transfer: OnTransfer = ignore_transfer
    ) -> artifact_pb2.Artifact:
        """See `AsyncClient.upload`."""
        return self._loop.run(self._client.upload(source, kind, on_transfer))

    def download(
        self, artifact: artifact_pb2.Artifact, folder: Path, on_transfer: OnTransfer = ignore_transfer
    ) -> None:
        """See `AsyncClient.download`."""
        self._loop.run(self._client.download(artifact, folder, on_transfer))

    def save(
        self, conversion: conversion_pb2.Conversion, output: Path, on_transfer: OnTransfer = ignore_transfer
    ) -> list[Path]:
        """See `AsyncClient.save`."""
        return self._loop.run(self._client.save(conversion, output, on_transfer))

    # All at once

    def inspect(
        self,
        source: Source | Path,
        options: Mapping[str, Any] | None = None,
        on_transfer: OnTransfer = ignore_transfer,
    ) -> dict[str, Any]:
        """See `AsyncClient.inspect`."""
        return self._loop.run(self._client.inspect(source, options, on_transfer))

    def convert(
        self,
        source: Source | Path,
        spec: conversion_pb2.ConversionSpec,
        output: Path,
        on_event: OnEvent = ignore_event,
        on_transfer: OnTransfer = ignore_transfer,
    ) -> conversion_pb2.Conversion:
        """See `AsyncClient.convert`."""
        return self._loop.run(self._client.convert(source, spec, output, on_event, on_transfer))

    def begin(
        self, source: Source | Path, spec: conversion_pb2.ConversionSpec, on_transfer: OnTransfer = ignore_transfer
    ) -> conversion_pb2.Conversion:
        """See `AsyncClient.begin`."""
        return self._loop.run(self._client.begin(source, spec, on_transfer))


async def _connect(address: str, patience: Patience | None) -> AsyncClient:
    """A channel belongs to the loop in which it is made."""
    return AsyncClient(address, patience)


class _BackgroundLoop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modelmill-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. Where the waiting thread is interrupted, the coroutine is cancelled and tidies up."""
        ended = threading.Event()

        async def run() -> T:
            try:
                return await coroutine
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(run(), self._loop)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                future.cancel()
                ended.wait(_TIDYING_SECONDS)
            raise

    def iterate(self, items: AsyncIterator[T]) -> Generator[T, None, None]:
        """The items, each waited for when it is asked for."""
        try:
            while (item := self.run(_following(items))) is not None:
                yield item
        finally:
            self.run(_close(items))

    def stop(self) -> None:
        """Ends the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


async def _following(items: AsyncIterator[T]) -> T | None:
    """The next item; None after the last."""
    return await anext(items, None)


async def _close(items: AsyncIterator[T]) -> None:
    close = getattr(items, "aclose", None)
    if close is not None:
        await close()
