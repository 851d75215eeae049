"""`modelmill serve`."""

from __future__ import annotations

import click

from modelmill.api.server import run_server
from modelmill.settings import load


@click.command("serve")
@click.option(
    "--address", default="127.0.0.1:50051", show_default=True, help="HOST:PORT, or unix:PATH; port 0 takes a free one."
)
def command(address: str) -> None:
    """Run a coordinator for others, until Ctrl-C. Prints a JSON line with its address when it serves.

    There is no encryption and no login: serve on this machine or in a network that you trust.
    """
    raise click.exceptions.Exit(run_server(load(), address, embedded=False))
