"""`modelmill plugins`."""

from __future__ import annotations

import click

from modelmill.cli.connection import connected, connection_options
from modelmill.cli.failures import text_of
from modelmill.cli.options import describe_options
from modelmill.cli.output import plain, print_json
from modelmill.cli.tables import table
from modelmill.client import catalog_pb2
from modelmill.wire import failure_of


@click.command("plugins")
@connection_options
def command(server: str | None, as_json: bool) -> None:
    """List the plug-ins, what they do and their options (for --option PLUGIN.KEY=VALUE)."""
    with connected(server) as connection:
        response = connection.client.list_plugins()
    if as_json:
        print_json(plain(response))
        return
    click.echo("\n\n".join(_text_of(plugin) for plugin in response.plugins))
    for broken in response.broken:
        name = f"{broken.name} {broken.version} ({broken.distribution})"
        click.echo(f"\n{name} cannot be used:\n{text_of(failure_of(broken.failure))}", err=True)


def _text_of(plugin: catalog_pb2.Plugin) -> str:
    head = f"{plugin.name} {plugin.version}: {plugin.summary}"
    rows = [
        (
            f"  {edge.name}",
            catalog_pb2.Edge.Role.Name(edge.role).lower(),
            f"{', '.join(f'{item.name}: {item.kind}' for item in edge.inputs)} -> {edge.output}",
            ", ".join(edge.requires) or "no TensorFlow",
        )
        for edge in plugin.edges
    ]
    options = [describe_options(edge.options_schema, "    ") for edge in plugin.edges]
    return "\n".join(part for part in [head, table(("  edge", "role", "does", "needs"), rows), *options] if part)
