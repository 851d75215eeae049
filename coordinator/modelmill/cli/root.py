"""The command's root: what subcommands there are, and how errors and exit codes come out of them.

Exit codes: 0 done, 1 it failed, 2 it was called in a way that makes no sense; 3 is `inspect --fail-on`'s own.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from types import MappingProxyType

import click

from modelmill.cli import failures
from modelmill.errors import ModelmillError

#: Subcommand to one line for people; the module of that name in this package has it as `command`.
_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "convert": "Convert a model and check the result against it.",
        "plan": "Show what a conversion would do, and why, without doing it.",
        "matrix": "Convert a model with every version of TensorFlow that can, and compare.",
        "inspect": "Show what a model is, read as data.",
        "conversions": "List, show, watch, cancel and download conversions.",
        "environments": "List, install, check and remove environments, several at once.",
        "plugins": "List the plug-ins, what they do and their options.",
        "targets": "List what can be converted to, with the options.",
        "serve": "Run a coordinator for others on a port.",
    }
)


class _LazyGroup(click.Group):
    """Imports a subcommand's module when it is called and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"modelmill.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ModelmillError as error:
            failures.show(error.failure, as_json=failures.wants_json(ctx))
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get("MODELMILL_TRACEBACK"):
                raise
            failures.show(failures.of_a_mistake(error), as_json=failures.wants_json(ctx))
        raise click.exceptions.Exit(1)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelmill")
def root() -> None:
    """Converts TensorFlow models, with the TensorFlow versions that can do it, and checks the results.

    Commands use a coordinator of their own, which they start where none runs; MODELMILL_SERVER or --server names
    another. State lives under MODELMILL_HOME.
    """


def main() -> None:
    """The entry point."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what gRPC has to say about connections, the client says better
    root.main(prog_name="modelmill")
