"""`modelmill inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from modelmill.cli.connection import connected, connection_options
from modelmill.cli.output import print_json
from modelmill.cli.progress import reporting
from modelmill.cli.tables import table
from modelmill.client import collect
from modelmill.wire import value_of

_TENSORS = ("inputs", "outputs")
_OPERATIONS = "operations"


@click.command("inspect")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--graph", type=click.Path(path_type=Path), help="The graph of a checkpoint: .pb, .pbtxt or .meta.")
@connection_options
def command(source: Path, graph: Path | None, server: str | None, as_json: bool) -> None:
    """Show what SOURCE is: inputs, outputs, operations. Nothing of the model is run."""
    collected = collect(source, graph)
    with connected(server) as connection, reporting() as reporter:
        artifact = connection.client.upload(collected, "", reporter.transferred)
        facts = value_of(connection.client.inspect_model(artifact))
    if as_json:
        print_json(facts)
    else:
        click.echo(_text_of(facts))


def _text_of(facts: Mapping[str, Any]) -> str:
    scalars = [(name, str(value)) for name, value in facts.items() if not isinstance(value, dict | list)]
    width = max((len(name) for name, _ in scalars), default=0)
    parts = ["\n".join(f"{name.ljust(width)}  {value}" for name, value in scalars)]
    tensors = [(kind.removesuffix("s"), *_tensor(item)) for kind in _TENSORS for item in facts.get(kind, [])]
    parts.append(table(("", "name", "dtype", "shape"), tensors))
    counts = sorted(facts.get(_OPERATIONS, {}).items(), key=lambda item: (-item[1], item[0]))
    parts.append(table(("operation", "count"), [(name, str(count)) for name, count in counts]))
    parts.append("\n".join(f"note: {note}" for note in facts.get("notes", [])))
    return "\n\n".join(part for part in parts if part)


def _tensor(item: Mapping[str, Any]) -> tuple[str, str, str]:
    shape = item.get("shape")
    dimensions = "?" if shape is None else "x".join("?" if size in (None, -1) else str(size) for size in shape)
    return str(item.get("name", "")), str(item.get("dtype", "")), dimensions or "scalar"
