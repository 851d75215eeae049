"""The command `modelmill`. Each subcommand is a module, imported when it is called: `--help` answers at once."""

from modelmill.cli.root import main

__all__ = ["main"]
