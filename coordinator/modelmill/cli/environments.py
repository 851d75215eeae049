"""`modelmill environments`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from modelmill.cli.connection import connected, connection_options
from modelmill.cli.output import plain, print_json, print_messages
from modelmill.cli.tables import size, table
from modelmill.client import Client, catalog_pb2
from modelmill.errors import ModelmillError
from modelmill.wire import failure_of

Environment = catalog_pb2.Environment
Work = Callable[[str], Iterator[catalog_pb2.EnvironmentProgress]]


@click.group("environments")
def command() -> None:
    """List, install, check and remove environments."""


@command.command("list")
@connection_options
def list_(server: str | None, as_json: bool) -> None:
    """List the environments, installed or not."""
    with connected(server) as connection:
        environments = connection.client.list_environments()
    if as_json:
        print_messages("environments", environments)
        return
    rows = [
        (
            environment.name,
            Environment.State.Name(environment.state).lower(),
            environment.python,
            environment.provides.get("tensorflow", ""),
            size(environment.disk_size) if environment.disk_size else "",
            environment.unavailable_reason or environment.summary,
        )
        for environment in environments
    ]
    click.echo(table(("name", "state", "python", "tensorflow", "on disk", ""), rows))


@command.command()
@click.argument("name", required=False)
@click.option("--all", "all_", is_flag=True, help="All that can be had on this machine.")
@connection_options
def install(name: str | None, all_: bool, server: str | None, as_json: bool) -> None:
    """Install the environment NAME now, rather than when it is first used."""
    if (name is None) == (not all_):
        raise click.UsageError("Give a NAME or --all: one of the two.")
    with connected(server) as connection:
        client = connection.client
        names = [name] if name else _installable(client)
        installed = [_follow(client.install_environment, each) for each in names]
    if as_json:
        print_messages("environments", installed)
    else:
        click.echo("\n".join(f"{environment.name} is installed" for environment in installed))


@command.command()
@click.argument("name")
@connection_options
def check(name: str, server: str | None, as_json: bool) -> None:
    """Run the smoke test of the environment NAME: imports, and one conversion."""
    with connected(server) as connection:
        environment = _follow(connection.client.check_environment, name)
    if as_json:
        print_json(plain(environment))
    else:
        click.echo(f"{environment.name} works")


@command.command()
@click.argument("name")
@connection_options
def remove(name: str, server: str | None, as_json: bool) -> None:
    """Stop the workers of the environment NAME and delete its files."""
    with connected(server) as connection:
        environment = connection.client.remove_environment(name)
    if as_json:
        print_json(plain(environment))
    else:
        click.echo(f"{environment.name} is removed")


def _installable(client: Client) -> list[str]:
    return [item.name for item in client.list_environments() if item.state != Environment.UNAVAILABLE]


def _follow(work: Work, name: str) -> catalog_pb2.Environment:
    """Tells progress on standard error, line by line; the environment that came of it, or its failure raised."""
    last = catalog_pb2.EnvironmentProgress()
    for last in work(name):
        if last.message:
            click.echo(last.message, err=True)
    if last.HasField("failure"):
        raise ModelmillError.of(failure_of(last.failure))
    return last.environment
