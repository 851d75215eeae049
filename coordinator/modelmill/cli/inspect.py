"""`modelmill inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from modelmill.cli.connection import connected, connection_options
from modelmill.cli.html_page import write_page
from modelmill.cli.inspect_page import page_of
from modelmill.cli.inspect_security import SEVERITIES, is_as_severe
from modelmill.cli.inspect_text import finding_text, summary_of
from modelmill.cli.output import print_json
from modelmill.cli.parameters import InputShape, ShapeType
from modelmill.cli.progress import reporting
from modelmill.client import collect

_PATH = click.Path(path_type=Path)

#: The exit code where `--fail-on` finds something: another than that of an inspection that failed.
FOUND = 3


@click.command("inspect")
@click.argument("source", type=_PATH)
@click.option("--graph", type=_PATH, help="The graph of a checkpoint: .pb, .pbtxt or .meta.")
@click.option("--signature", default="", metavar="KEY", help="The signature of a SavedModel that is meant.")
@click.option("--tag", "tags", multiple=True, help="A tag of the SavedModel's graph that is meant; may be repeated.")
@click.option("--input-shape", "shapes", type=ShapeType(), multiple=True, help="The shape to count costs with.")
@click.option("--output-node", "outputs", multiple=True, metavar="NAME", help="Take this node as an output.")
@click.option("--html", "page", metavar="FILE", type=_PATH, help="Write all of it, with a picture, as one page.")
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    help=f"End with exit code {FOUND} where a security finding is as severe as this, or more.",
)
@connection_options
def command(
    source: Path,
    graph: Path | None,
    signature: str,
    tags: tuple[str, ...],
    shapes: tuple[InputShape, ...],
    outputs: tuple[str, ...],
    page: Path | None,
    fail_on: str | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Show what SOURCE is: inputs, outputs, operations, costs, support, dangers. Nothing of the model is run.

    Exit codes: 0 done, 1 it could not be inspected, 2 wrong usage, 3 --fail-on found something.
    """
    options: dict[str, Any] = {
        "outputs": list(outputs),
        "input_shapes": {shape.name: list(shape.dimensions) for shape in shapes},
        "signature_key": signature,
        "tags": list(tags),
        "picture": page is not None,
    }
    collected = collect(source, graph)
    with connected(server) as connection, reporting() as reporter:
        reporter.began(f"inspecting {collected.display_name}")
        facts = connection.client.inspect(collected, options, reporter.transferred)
    if page is not None:
        write_page(page, page_of(collected.display_name, facts))
    if as_json:
        print_json({"model": facts})
    else:
        click.echo(summary_of(facts, collected))
        if page is not None:
            click.echo(f"page: {page}")
    if fail_on is not None:
        _judge(facts, fail_on)


def _judge(facts: Mapping[str, Any], fail_on: str) -> None:
    """Tell every finding that is severe enough, and end with FOUND where there is one.

    A model that was not scanned has not passed: its kind has nothing that could be looked at, and the user must know.
    """
    security = facts.get("security")
    if security is None:
        click.echo("--fail-on: this kind of model is not scanned.", err=True)
        raise click.exceptions.Exit(FOUND)
    severe = [finding for finding in security.get("findings", []) if is_as_severe(finding.get("severity"), fail_on)]
    for finding in severe:
        click.echo(finding_text(finding), err=True)
    if severe or is_as_severe(security.get("highest"), fail_on):
        raise click.exceptions.Exit(FOUND)
