"""`modelmill targets`."""

from __future__ import annotations

import click

from modelmill.cli.connection import connected, connection_options
from modelmill.cli.options import describe_options
from modelmill.cli.output import print_messages


@click.command("targets")
@connection_options
def command(server: str | None, as_json: bool) -> None:
    """List what can be converted to, with the options (for --to NAME:KEY=VALUE,...)."""
    with connected(server) as connection:
        targets = connection.client.list_targets()
    if as_json:
        print_messages("targets", targets)
        return
    for target in targets:
        click.echo(f"{target.name}: {target.summary} ({target.plugin})")
        options = describe_options(target.options_schema, "    ")
        if options:
            click.echo(options)
