"""Failures for people and for programs; never a traceback."""

from __future__ import annotations

import json
from typing import Any

import click

from modelmill.errors import Failure, Fault

_JSON = "modelmill.cli.json"
_LOG_LINES = 20
_DETAIL_LIMIT = 500


def remember_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    """Callback of `--json`: failures too are told as JSON then."""
    ctx.meta[_JSON] = value
    return value


def wants_json(ctx: click.Context) -> bool:
    """Whether the command was called with `--json`."""
    return bool(ctx.meta.get(_JSON))


def show(failure: Failure, as_json: bool) -> None:
    """Tells a failure: as JSON on stdout, or as text on stderr."""
    if as_json:
        click.echo(json.dumps({"failure": failure.to_json()}, ensure_ascii=False, indent=2))
    else:
        click.echo(text_of(failure), err=True)


def text_of(failure: Failure) -> str:
    """`error REASON: message`, the details, and the end of the log where there is one."""
    lines = [f"error {failure.reason}: {failure.message}"]
    lines += [f"  {name}: {_detail(value)}" for name, value in failure.details.items()]
    if failure.log_tail.strip():
        lines.append("  the end of its log (--json shows more):")
        lines += [f"  | {line}" for line in failure.log_tail.rstrip().splitlines()[-_LOG_LINES:]]
    return "\n".join(lines)


def of_a_mistake(error: Exception) -> Failure:
    """The failure for an exception that should not have come so far."""
    return Failure(
        "INTERNAL_ERROR",
        f"The command met an error of its own ({type(error).__name__}: {error}). Please report it; with "
        "MODELMILL_TRACEBACK=1 it says where.",
        Fault.INFRASTRUCTURE,
    )


def _detail(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _DETAIL_LIMIT else text[:_DETAIL_LIMIT] + "..."
