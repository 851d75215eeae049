"""The coordinator as a process: `modelmill serve`, or embedded for the commands of one user.

    python -m modelmill.api.server --embedded

Either way it serves a socket in the home's state folder, where this user's commands find it. An embedded one serves
nothing else, and ends by itself when it has been idle.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from modelmill_protos.v1 import (
    artifact_pb2,
    artifact_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    conversion_pb2,
    conversion_pb2_grpc,
)

from modelmill.api.artifact_servicer import ArtifactServicer
from modelmill.api.catalog_servicer import CatalogServicer
from modelmill.api.conversion_servicer import ConversionServicer
from modelmill.api.errors import FailureInterceptor
from modelmill.artifacts.store import ArtifactStore
from modelmill.conversions import Conversions
from modelmill.errors import ModelmillError
from modelmill.fleet.code_layer import CodeLayer
from modelmill.fleet.definitions import load_definitions
from modelmill.fleet.installation import Environments
from modelmill.fleet.local import LocalFleet
from modelmill.settings import Settings, load

log = structlog.get_logger(__name__)

_SERVICES = (
    conversion_pb2.DESCRIPTOR.services_by_name["ConversionService"].full_name,
    artifact_pb2.DESCRIPTOR.services_by_name["ArtifactService"].full_name,
    catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"].full_name,
)


def run_server(settings: Settings, address: str, embedded: bool) -> int:
    """Serve until SIGTERM, SIGINT or, embedded, until idle; the exit code.

    address: host:port, or unix:PATH; port 0 takes a free one. Prints the address when it serves.
    """
    _configure_logs(sys.stderr.isatty())
    try:
        with _ownership(settings):
            asyncio.run(_Server(settings, address, embedded).serve())
    except ModelmillError as error:
        print(f"error {error.reason}: {error}", file=sys.stderr)  # noqa: T201 - the process's answer
        return 1
    return 0


class _ownership:  # noqa: N801 - used as a word in a `with`
    """The right to use a home folder: one coordinator at a time has it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> None:
        self._settings.state.mkdir(parents=True, exist_ok=True)
        self._lock = (self._settings.state / "coordinator.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelmillError(
                "HOME_IN_USE",
                f"Another coordinator uses {self._settings.home}; end it, or set MODELMILL_HOME to another folder.",
                {"home": str(self._settings.home)},
            ) from None

    def __exit__(self, *_: object) -> None:
        self._lock.close()


class _Server:
    def __init__(self, settings: Settings, address: str, embedded: bool) -> None:
        self._settings = settings
        self._address = address
        self._embedded = embedded
        self._activity = _Activity()

    async def serve(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)
        settings = self._settings
        store = ArtifactStore(settings.store)
        store.recover()
        fleet = LocalFleet(settings, Environments(settings, load_definitions()), CodeLayer(settings), store)
        conversions = Conversions(settings, store, fleet)
        server = await self._grpc_server(store, fleet, conversions)
        await fleet.start()
        try:
            await conversions.start()
            await server.start()
            self._announce()
            idle = asyncio.create_task(self._stop_when_idle(conversions, fleet, stop))
            await stop.wait()
            idle.cancel()
        finally:
            log.info("coordinator stops")
            await server.stop(grace=0.5)
            await conversions.close()
            await fleet.close()
            self._withdraw()

    async def _grpc_server(self, store: ArtifactStore, fleet: LocalFleet, conversions: Conversions) -> grpc.aio.Server:
        server = grpc.aio.server(
            interceptors=[self._activity, FailureInterceptor()],
            options=[
                ("grpc.max_receive_message_length", 16 << 20),
                ("grpc.so_reuseport", 0),
                # A client that watches a long step may ask whether the connection still lives.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
            ],
        )
        conversion_pb2_grpc.add_ConversionServiceServicer_to_server(ConversionServicer(conversions), server)
        artifact_pb2_grpc.add_ArtifactServiceServicer_to_server(ArtifactServicer(store), server)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(CatalogServicer(fleet), server)
        health_servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
        for name in ("", *_SERVICES):
            await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection((*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        self._bound = self._bind(server, self._address)
        self._home_address = f"unix:{self._settings.socket}"
        if self._bound != self._home_address:
            self._bind(server, self._home_address)
        return server

    def _bind(self, server: grpc.aio.Server, address: str) -> str:
        """Have the server listen at an address; the address, with the port that it got."""
        if address.startswith("unix:"):
            socket = Path(address.removeprefix("unix:"))
            socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            socket.unlink(missing_ok=True)  # left by a coordinator that was killed; this one owns the home
        try:
            port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise ModelmillError(
                "ADDRESS_UNAVAILABLE",
                f"{address} cannot be served: it is taken or not this machine's. Choose another with --address.",
                {"address": address},
            ) from error
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"

    def _announce(self) -> None:
        """Tell where this coordinator is: to this user's commands in the home, and to whoever started it."""
        state = {"pid": os.getpid(), "address": self._home_address, "version": self._settings.version}
        beside = self._settings.state / f"coordinator.json.{os.getpid()}"
        beside.write_text(json.dumps(state))
        beside.replace(self._settings.state / "coordinator.json")
        log.info("coordinator serves", pid=os.getpid(), address=self._bound)
        if not self._embedded:
            print(json.dumps({**state, "address": self._bound}), flush=True)  # noqa: T201 - for whoever started it

    def _withdraw(self) -> None:
        (self._settings.state / "coordinator.json").unlink(missing_ok=True)
        for address in {self._bound, self._home_address}:
            if address.startswith("unix:"):
                Path(address.removeprefix("unix:")).unlink(missing_ok=True)

    async def _stop_when_idle(self, conversions: Conversions, fleet: LocalFleet, stop: asyncio.Event) -> None:
        if not self._embedded:
            return
        limit = self._settings.coordinator_idle_seconds
        while True:
            await asyncio.sleep(min(limit, 1.0))
            if conversions.running or fleet.installing:
                self._activity.touch()
            if self._activity.idle_seconds > limit:
                log.info("idle")
                stop.set()
                return


class _Activity(grpc.aio.ServerInterceptor):
    """When a client was last heard of; health checks do not count."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self._last

    def touch(self) -> None:
        self._last = time.monotonic()

    async def intercept_service(self, continuation: Callable[..., Any], details: grpc.HandlerCallDetails) -> Any:
        if not details.method.startswith("/grpc.health."):
            self.touch()
        return await continuation(details)


def _configure_logs(terminal: bool) -> None:
    """Lines for people on a terminal, JSON elsewhere; always on stderr."""
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def main() -> int:
    """The embedded coordinator's entry point; people use `modelmill serve`."""
    parser = argparse.ArgumentParser(prog="modelmill.api.server")
    parser.add_argument("--embedded", action="store_true", help="serve this user's commands, and end when idle")
    parser.add_argument("--address", help="host:port or unix:PATH; embedded: the socket in the state folder")
    options = parser.parse_args()
    settings = load()
    return run_server(settings, options.address or f"unix:{settings.socket}", options.embedded)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
