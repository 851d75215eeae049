"""`modelmill conversions`."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path

import click
from google.protobuf.timestamp_pb2 import Timestamp

from modelmill.cli.connection import connected, connection_options
from modelmill.cli.output import plain, print_json
from modelmill.cli.progress import reporting
from modelmill.cli.summary import show_conversion
from modelmill.cli.tables import table
from modelmill.client import conversion_pb2
from modelmill.errors import ModelmillError

Conversion = conversion_pb2.Conversion
_STATES = [name for name in Conversion.State.keys() if name != "STATE_UNSPECIFIED"]  # noqa: SIM118 - no mapping


@click.group("conversions")
def command() -> None:
    """List, show, watch, cancel and download conversions."""


@command.command("list")
@click.option("--state", type=click.Choice(_STATES, case_sensitive=False), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many, newest first.")
@connection_options
def list_(state: str | None, limit: int, server: str | None, as_json: bool) -> None:
    """List conversions, newest first."""
    with connected(server) as connection:
        page = connection.client.list_conversions((state or "").upper(), limit)
    if as_json:
        print_json({"conversions": [plain(conversion) for conversion in page.conversions]})
        return
    rows = [
        (
            conversion.id,
            Conversion.State.Name(conversion.state).lower(),
            _time(conversion.create_time),
            conversion.spec.display_name,
            ", ".join(target.name for target in conversion.spec.targets),
        )
        for conversion in page.conversions
    ]
    click.echo(table(("id", "state", "created", "model", "targets"), rows) or "there are no conversions")
    if page.next_page_token:
        click.echo("there are more: see --limit", err=True)


@command.command()
@click.argument("conversion_id", metavar="ID")
@connection_options
def show(conversion_id: str, server: str | None, as_json: bool) -> None:
    """Show a conversion as it is now."""
    with connected(server) as connection:
        _tell(connection.client.get_conversion(conversion_id), as_json)


@command.command()
@click.argument("conversion_id", metavar="ID")
@click.option("--from", "from_sequence", type=click.IntRange(min=1), default=1, help="The first event's number.")
@connection_options
def watch(conversion_id: str, from_sequence: int, server: str | None, as_json: bool) -> None:
    """Follow a conversion to its end. With --json, each event is a line. Ctrl-C ends the watch only."""
    with connected(server) as connection:
        client = connection.client
        if as_json:
            for event in client.watch_conversion(conversion_id, from_sequence):
                click.echo(_line_of(event))
            return
        with reporting() as reporter:
            for event in client.watch_conversion(conversion_id, from_sequence):
                reporter.happened(event)
        conversion = client.get_conversion(conversion_id)
    _tell(conversion, as_json)
    if conversion.state != Conversion.SUCCEEDED:
        raise click.exceptions.Exit(1)


@command.command()
@click.argument("conversion_id", metavar="ID")
@connection_options
def cancel(conversion_id: str, server: str | None, as_json: bool) -> None:
    """End a conversion's running steps. One that has ended stays as it is."""
    with connected(server) as connection:
        conversion = connection.client.cancel_conversion(conversion_id)
    if as_json:
        print_json(plain(conversion))
    else:
        click.echo(f"{conversion.id} {Conversion.State.Name(conversion.state).lower()}")


@command.command()
@click.argument("conversion_id", metavar="ID")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The folder for the results.")
@connection_options
def download(conversion_id: str, output: Path, server: str | None, as_json: bool) -> None:
    """Write what a conversion made, as `convert` does."""
    with connected(server) as connection, reporting() as reporter:
        conversion = connection.client.get_conversion(conversion_id)
        files = connection.client.save(conversion, output, reporter.transferred)
    if not files:
        state = Conversion.State.Name(conversion.state)
        raise ModelmillError(
            "NO_RESULTS",
            f"The conversion has no results: it is {state.lower()}. `modelmill conversions show {conversion_id}` "
            "says more.",
            {"id": conversion_id, "state": state},
        )
    if as_json:
        print_json({"conversion": plain(conversion), "files": [str(file) for file in files]})
    else:
        click.echo("\n".join(str(file) for file in files))


def _tell(conversion: conversion_pb2.Conversion, as_json: bool) -> None:
    if as_json:
        print_json(plain(conversion))
    else:
        show_conversion(conversion)


def _line_of(event: conversion_pb2.Event) -> str:
    return json.dumps(plain(event), ensure_ascii=False)


def _time(timestamp: Timestamp) -> str:
    return timestamp.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
