"""`modelmill matrix`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from modelmill.cli.connection import connected, connection_options, end_on_sigterm
from modelmill.cli.conversion_run import ConversionRun, Specify
from modelmill.cli.html_page import write_page
from modelmill.cli.matrix_page import page_of
from modelmill.cli.matrix_rows import MatrixRow, State, other_notes, rows_of
from modelmill.cli.matrix_text import text_of
from modelmill.cli.output import plain, print_json
from modelmill.cli.progress import reporting
from modelmill.cli.summary import explain
from modelmill.cli.wanted import Wanted, wanted_options
from modelmill.client import Client, conversion_pb2
from modelmill.client.transfer import OnTransfer

_PATH = click.Path(path_type=Path)


@click.command("matrix")
@wanted_options
@click.option("--output", type=_PATH, help="A folder for what every version made: OUTPUT/TARGET@VERSION/.")
@click.option("--html", "page", metavar="FILE", type=_PATH, help="Write the matrix as a page that needs no other file.")
@connection_options
def command(wanted: Wanted, output: Path | None, page: Path | None, server: str | None, as_json: bool) -> None:
    """Convert SOURCE with every version of TensorFlow that can, check each result, and compare them with each other.

    The table has a row for each version: what became of it, the artifact's size and number of operators, the seconds
    that its conversion took, how far its outputs are from the source's, and from which other version's they are
    farthest. The exit code is 0 where at least one version is done.

    Ctrl-C cancels the conversion.
    """
    source = wanted.collect()
    written: dict[str, Path] = {}
    with connected(server) as connection, reporting() as reporter:
        run = ConversionRun(connection, _with_every_version(wanted), reporter)
        try:
            end_on_sigterm()
            conversion = run.complete(source)
            if output is not None and connection.client.save(conversion, output, reporter.transferred):
                written["results"] = output
        except KeyboardInterrupt:
            run.abandon()
            raise click.Abort from None
    rows, notes = rows_of(conversion), other_notes(conversion)
    if page is not None:
        write_page(page, page_of(conversion.spec.display_name or source.display_name, rows, notes))
        written["page"] = page
    _tell(conversion, rows, notes, written, as_json)
    if not any(row.state is State.DONE for row in rows):
        raise click.exceptions.Exit(1)


def _with_every_version(wanted: Wanted) -> Specify:
    """The specification that asks for a result of each version, of every target."""

    def specify(client: Client, on_transfer: OnTransfer) -> conversion_pb2.ConversionSpec:
        spec = wanted.specification(client, on_transfer)
        for target in spec.targets:
            target.every_version = True
        return spec

    return specify


def _tell(
    conversion: conversion_pb2.Conversion,
    rows: list[MatrixRow],
    notes: list[str],
    written: Mapping[str, Path],
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "rows": [row.to_json() for row in rows],
                "notes": notes,
                "written": {what: str(where) for what, where in written.items()},
                "conversion": plain(conversion),
            }
        )
        return
    click.echo(text_of(rows, notes))
    for what, where in written.items():
        click.echo(f"{what}: {where}")
    click.echo(f"every step: modelmill conversions show {conversion.id}")
    if not rows:
        click.echo(explain(conversion), err=True)
