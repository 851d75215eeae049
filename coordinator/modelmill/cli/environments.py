"""`modelmill environments`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from modelmill.cli.connection import connected, connection_options, end_on_sigterm
from modelmill.cli.environment_outcomes import Outcome, follow, tell
from modelmill.cli.environment_table import abilities_of, in_order, table_of
from modelmill.cli.output import plain, print_json
from modelmill.client import Client, catalog_pb2
from modelmill.errors import ModelmillError

Command = Callable[..., Any]
Environment = catalog_pb2.Environment


@click.group("environments")
def command() -> None:
    """List, install, check and remove environments."""


@command.command("list")
@connection_options
def list_(server: str | None, as_json: bool) -> None:
    """List the environments by TensorFlow, installed or not.

    The plug-ins named are those with a step that needs what the environment has; a step that needs nothing runs in
    any of them.
    """
    with connected(server) as connection:
        response = connection.client.survey_environments()
        environments = in_order(response.environments)
        plugins = connection.client.list_plugins().plugins if _can_tell_plugins(environments) else ()
    if not as_json:
        click.echo(table_of(environments, plugins, response.disk_size))
        return
    listed = [{**plain(item), "plugins": abilities_of(item, plugins)} for item in environments]
    apart = sum(item.disk_size for item in environments)
    print_json({"environments": listed, "disk_size": str(response.disk_size), "disk_size_apart": str(apart)})


def _can_tell_plugins(environments: Sequence[Environment]) -> bool:
    """Whether the farm has an installed environment that it would ask: a list must not install one."""
    return any(item.state == Environment.INSTALLED and "tensorflow" not in item.provides for item in environments)


def _several(command: Command) -> Command:
    """Adds NAME... and --all to a command."""
    names = click.argument("names", metavar="[NAME]...", nargs=-1)
    return names(click.option("--all", "all_", is_flag=True, help="All of them, instead of NAMEs.")(command))


def _at_once(command: Command) -> Command:
    """Adds --jobs to a command."""
    cores = os.cpu_count() or 1
    jobs = click.IntRange(min=1)
    return click.option("--jobs", type=jobs, default=cores, show_default="cores", help="How many at once.")(command)


@command.command()
@_several
@_at_once
@connection_options
def install(names: tuple[str, ...], all_: bool, jobs: int, server: str | None, as_json: bool) -> None:
    """Install the environments NAME... now, rather than when they are first used.

    One that fails does not stop the others. With --all, those whose Python or Node this machine lacks are told and
    left out. Ctrl-C ends the installations and leaves nothing of them.
    """
    _check_names(names, all_)
    with _interruptible(server) as client:
        wanted = _unique(names) or [item.name for item in in_order(client.list_environments())]
        outcomes = follow(client.install_environments(wanted, jobs), wanted)
    if all_:
        for outcome in outcomes:
            outcome.is_left_out = outcome.failure is not None and outcome.failure.reason == "ENVIRONMENT_UNAVAILABLE"
    tell(outcomes, "installed", as_json)


@command.command()
@_several
@_at_once
@connection_options
def check(names: tuple[str, ...], all_: bool, jobs: int, server: str | None, as_json: bool) -> None:
    """Run the smoke test of the environments NAME..., installed first if need be; --all: of those installed.

    Each imports what it is for, freezes and converts a small model, and what it made is run and compared with the
    model's own results, in another environment where it has no interpreter.
    """
    _check_names(names, all_)
    with _interruptible(server) as client:
        wanted = _unique(names) or _installed(client)
        outcomes = follow(client.check_environments(wanted, jobs), wanted)
    tell(outcomes, "works", as_json)


@command.command()
@_several
@connection_options
def remove(names: tuple[str, ...], all_: bool, server: str | None, as_json: bool) -> None:
    """Stop the workers of the environments NAME... and delete their files."""
    _check_names(names, all_)
    with connected(server) as connection:
        client = connection.client
        wanted = _unique(names) or [item.name for item in in_order(client.list_environments())]
        outcomes = [_remove(client, name) for name in wanted]
    tell(outcomes, "removed", as_json)


def _remove(client: Client, name: str) -> Outcome:
    outcome = Outcome(name)
    try:
        outcome.environment = client.remove_environment(name)
    except ModelmillError as error:
        outcome.failure = error.failure
    outcome.end()
    return outcome


def _check_names(names: tuple[str, ...], all_: bool) -> None:
    if bool(names) == all_:
        raise click.UsageError("Give NAMEs or --all: one of the two.")


def _unique(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _installed(client: Client) -> list[str]:
    return [item.name for item in in_order(client.list_environments()) if item.state == Environment.INSTALLED]


@contextmanager
def _interruptible(server: str | None) -> Iterator[Client]:
    """A client; Ctrl-C and SIGTERM end what it waits for, and the coordinator if it was started for this command."""
    with connected(server) as connection:
        end_on_sigterm()
        try:
            yield connection.client
        except KeyboardInterrupt:
            connection.abandon(None)
            raise click.Abort from None
