"""`modelmill convert`."""

from __future__ import annotations

from pathlib import Path

import click

from modelmill.cli.connection import connected, connection_options, end_on_sigterm
from modelmill.cli.conversion_page import page_of
from modelmill.cli.conversion_run import ConversionRun
from modelmill.cli.html_page import write_page
from modelmill.cli.output import plain, print_json
from modelmill.cli.progress import reporting
from modelmill.cli.summary import show_conversion
from modelmill.cli.wanted import Wanted, wanted_options
from modelmill.client import conversion_pb2


@click.command("convert")
@wanted_options
@click.option("--output", type=click.Path(path_type=Path), help="The folder for the results; made where it is not.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="A page to write: the report, rewrites drawn.")
@click.option("--detach", is_flag=True, help="Print the conversion's id and do not wait for it.")
@connection_options
def command(
    wanted: Wanted, output: Path | None, page: Path | None, detach: bool, server: str | None, as_json: bool
) -> None:
    """Convert SOURCE and check the results against it.

    SOURCE is a checkpoint's prefix (with --graph, or a .meta beside it), a file, or a folder. Each target that
    succeeds goes to OUTPUT/TARGET/, the report to OUTPUT/report.json; what fails leaves nothing there.

    Ctrl-C cancels the conversion.
    """
    if (output is None) == (not detach):
        raise click.UsageError("Give --output for the results, or --detach to fetch them later: one of the two.")
    if page is not None and detach:
        raise click.UsageError("A page is written of a conversion that has ended: give --html without --detach.")
    source = wanted.collect()
    with connected(server) as connection, reporting() as reporter:
        run = ConversionRun(connection, wanted.specification, reporter)
        try:
            end_on_sigterm()
            conversion = run.begin(source) if output is None else run.complete(source)
            files = [] if output is None else connection.client.save(conversion, output, reporter.transferred)
        except KeyboardInterrupt:
            run.abandon()
            raise click.Abort from None
    if page is not None:
        write_page(page, page_of(conversion))
    _tell(conversion, files, detach, as_json)
    if conversion.state != conversion_pb2.Conversion.SUCCEEDED and not detach:
        raise click.exceptions.Exit(1)


def _tell(conversion: conversion_pb2.Conversion, files: list[Path], detach: bool, as_json: bool) -> None:
    if as_json:
        print_json({"conversion": plain(conversion), "files": [str(file) for file in files]})
    elif detach:
        click.echo(conversion.id)
    else:
        show_conversion(conversion, files)
