"""`modelmill inspect`."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
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
_TENSORFLOW = "tensorflow"


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
    if isinstance(versions := facts.get(_TENSORFLOW), dict):
        scalars.append((_TENSORFLOW, _versions(versions)))
    width = max((len(name) for name, _ in scalars), default=0)
    parts = ["\n".join(f"{name.ljust(width)}  {value}" for name, value in scalars)]
    tensors = [(kind.removesuffix("s"), *_tensor(item)) for kind in _TENSORS for item in facts.get(kind, [])]
    parts.append(table(("", "name", "dtype", "shape"), tensors))
    counts = sorted(facts.get(_OPERATIONS, {}).items(), key=lambda item: (-item[1], item[0]))
    parts.append(table(("operation", "count"), [(name, str(count)) for name, count in counts]))
    parts.append("\n".join(f"note: {note}" for note in facts.get("notes", [])))
    return "\n\n".join(part for part in parts if part)


def _versions(found: Mapping[str, Any]) -> str:
    """Who wrote the model and which TensorFlow versions read it, as "read by 1.12 to 2.21; not by 1.5 to 1.11: ..."."""
    stripped, unreadable = found.get("readable_stripped", {}), found.get("unreadable", {})
    known = [*found.get("readable", []), *stripped, *unreadable]
    order = sorted(known, key=lambda version: [int(part) for part in version.split(".")])
    parts = [f"written by {name} {found[key]}" for name, key in _WRITERS if found.get(key)]
    if readable := _ranges(found.get("readable", []), order):
        parts.append(f"read by {readable}")
    for attributes, versions in _grouped(stripped):
        parts.append(f"by {_ranges(versions, order)} without {attributes}")
    for reason, versions in _grouped(unreadable):
        parts.append(f"not by {_ranges(versions, order)}: {reason}")
    return "; ".join(parts)


_WRITERS = (("TensorFlow", "writer"), ("Keras", "keras"))


def _grouped(by_version: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """What is said of versions, each thing once with all versions that it is said of."""
    versions: dict[str, list[str]] = {}
    for version, said in by_version.items():
        versions.setdefault(said if isinstance(said, str) else ", ".join(said), []).append(version)
    return list(versions.items())


def _ranges(versions: Collection[str], order: list[str]) -> str:
    """Versions that follow one another in `order` as "1.5 to 1.9"."""
    chosen = [version in versions for version in order]
    ranges = []
    for found, group in itertools.groupby(range(len(order)), key=chosen.__getitem__):
        first, *rest = group
        if found:
            ranges.append(f"{order[first]} to {order[rest[-1]]}" if rest else order[first])
    return ", ".join(ranges)


def _tensor(item: Mapping[str, Any]) -> tuple[str, str, str]:
    shape = item.get("shape")
    dimensions = "?" if shape is None else "x".join("?" if size in (None, -1) else str(size) for size in shape)
    return str(item.get("name", "")), str(item.get("dtype", "")), dimensions or "scalar"
