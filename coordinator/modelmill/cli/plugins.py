"""`modelmill plugins`."""

from __future__ import annotations

import click

from modelmill.cli.connection import connected, connection_options
from modelmill.cli.failures import text_of
from modelmill.cli.options import describe_options
from modelmill.cli.output import plain, print_json
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
    return "\n".join([f"{plugin.name} {plugin.version}: {plugin.summary}", *map(_edge, plugin.edges)])


def _edge(edge: catalog_pb2.Edge) -> str:
    role = catalog_pb2.Edge.Role.Name(edge.role).lower()
    takes = ", ".join(f"{item.name}: {item.kind}" for item in edge.inputs)
    needs = ", ".join(edge.requires) or "no TensorFlow"
    head = f"  {edge.name} ({role}): {takes} -> {edge.output}; needs {needs}"
    return "\n".join(part for part in (head, describe_options(edge.options_schema, "      ")) if part)
