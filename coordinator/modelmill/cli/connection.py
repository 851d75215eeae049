"""The coordinator that a command talks to: one of this machine, started where none runs, or a server."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

import click

from modelmill.cli import failures
from modelmill.client import Client, Patience, has_ended
from modelmill.client.embedded import Coordinator, end_if_idle, ensure
from modelmill.errors import ModelmillError
from modelmill.settings import Settings, load

F = TypeVar("F", bound=Callable[..., Any])

#: Seconds that a cancelled conversion is given to end.
_CANCEL_SECONDS = 10.0


@dataclass(frozen=True)
class Connection:
    """A client, and the coordinator where it is this machine's own."""

    client: Client
    coordinator: Coordinator | None

    def abandon(self, conversion_id: str | None) -> None:
        """What Ctrl-C asks for: nothing goes on, and nothing runs that was started for this command alone."""
        if conversion_id is not None:
            self._cancel(conversion_id)
        if self.coordinator is not None and self.coordinator.started:
            end_if_idle(self.coordinator)

    def _cancel(self, conversion_id: str) -> None:
        try:
            self.client.cancel_conversion(conversion_id)
            deadline = time.monotonic() + _CANCEL_SECONDS
            while not has_ended(self.client.get_conversion(conversion_id)) and time.monotonic() < deadline:
                time.sleep(0.05)
        except ModelmillError as error:
            click.echo(f"The conversion {conversion_id} could not be cancelled: {error}", err=True)


def connection_options(command: F) -> F:
    """Adds `--server` and `--json` to a command."""
    server = click.option(
        "--server", envvar="MODELMILL_SERVER", metavar="HOST:PORT", help="A server, instead of this machine's own."
    )
    as_json = click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=failures.remember_json,
        help="Print JSON, and nothing else, on standard output.",
    )
    return server(as_json(command))


@contextmanager
def connected(server: str | None) -> Iterator[Connection]:
    """A connection to the server, or where none is named, to this machine's coordinator."""
    if server:
        with Client(server) as client:
            client.check_connection()
            yield Connection(client, None)
        return
    settings = load()
    coordinator = ensure(settings)
    with Client(coordinator.address, Patience(revive=_reviver(settings))) as client:
        yield Connection(client, coordinator)


def end_on_sigterm() -> None:
    """SIGTERM asks for the same as Ctrl-C from now on."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _reviver(settings: Settings) -> Callable[[], Any]:
    async def revive() -> None:
        await asyncio.to_thread(ensure, settings)

    return revive
