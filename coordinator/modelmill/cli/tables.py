"""Tables and numbers as text. Columns are as wide as they need to be, so that a pipe gets what a terminal gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under headers, in columns; nothing where there are no rows."""
    body = [list(row) for row in rows]
    if not body:
        return ""
    widths = [max(len(row[column]) for row in [headers, *body]) for column in range(len(headers))]
    lines = [headers, ["-" * width for width in widths], *body]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def size(count: float) -> str:
    """Bytes for people: 1536 is "1.5 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def seconds(duration: float) -> str:
    """Seconds for people: two digits below ten, none above."""
    return f"{duration:.2f}" if duration < 10 else f"{duration:.0f}"


def number(value: float) -> str:
    """A measured number, three digits of it."""
    return f"{value:.3g}"
