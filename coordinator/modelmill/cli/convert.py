"""`modelmill convert`."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import click

from modelmill.cli.connection import Connection, connected, connection_options
from modelmill.cli.output import plain, print_json
from modelmill.cli.progress import Reporter, reporting
from modelmill.cli.summary import show_conversion
from modelmill.cli.wanted import Wanted, wanted_options
from modelmill.client import Source, conversion_pb2


@click.command("convert")
@wanted_options
@click.option("--output", type=click.Path(path_type=Path), help="The folder for the results; made where it is not.")
@click.option("--detach", is_flag=True, help="Print the conversion's id and do not wait for it.")
@connection_options
def command(wanted: Wanted, output: Path | None, detach: bool, server: str | None, as_json: bool) -> None:
    """Convert SOURCE and check the results against it.

    SOURCE is a checkpoint's prefix (with --graph, or a .meta beside it), a file, or a folder. Each target that
    succeeds goes to OUTPUT/TARGET/, the report to OUTPUT/report.json; what fails leaves nothing there.

    Ctrl-C cancels the conversion.
    """
    if (output is None) == (not detach):
        raise click.UsageError("Give --output for the results, or --detach to fetch them later: one of the two.")
    source = wanted.collect()
    with connected(server) as connection, reporting() as reporter:
        run = _Run(connection, wanted, reporter)
        try:
            signal.signal(signal.SIGTERM, _interrupt)
            conversion = run.begin(source) if output is None else run.complete(source)
            files = [] if output is None else connection.client.save(conversion, output, reporter.transferred)
        except KeyboardInterrupt:
            run.abandon()
            raise click.Abort from None
    _tell(conversion, files, detach, as_json)
    if conversion.state != conversion_pb2.Conversion.SUCCEEDED and not detach:
        raise click.exceptions.Exit(1)


class _Run:
    """A conversion on its way, and what is known of it when somebody presses Ctrl-C."""

    def __init__(self, connection: Connection, wanted: Wanted, reporter: Reporter) -> None:
        self._connection = connection
        self._wanted = wanted
        self._reporter = reporter
        self._id: str | None = None

    def begin(self, source: Source) -> conversion_pb2.Conversion:
        """Uploads and creates."""
        client, transferred = self._connection.client, self._reporter.transferred
        spec = self._wanted.specification(client, transferred)
        conversion = client.begin(source, spec, transferred)
        self._id = conversion.id
        return conversion

    def complete(self, source: Source) -> conversion_pb2.Conversion:
        """Uploads, creates and follows to the end."""
        conversion = self.begin(source)
        client = self._connection.client
        for event in client.watch_conversion(conversion.id):
            self._reporter.happened(event)
        return client.get_conversion(conversion.id)

    def abandon(self) -> None:
        """Ends what was begun."""
        self._reporter.said("cancelling ...")
        self._connection.abandon(self._id)


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    """SIGTERM asks for the same as Ctrl-C."""
    raise KeyboardInterrupt


def _tell(conversion: conversion_pb2.Conversion, files: list[Path], detach: bool, as_json: bool) -> None:
    if as_json:
        print_json({"conversion": plain(conversion), "files": [str(file) for file in files]})
    elif detach:
        click.echo(conversion.id)
    else:
        show_conversion(conversion, files)
