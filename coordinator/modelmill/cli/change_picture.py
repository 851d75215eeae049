"""What a rewrite changed, drawn: the nodes as they were on the left, as they are on the right.

Data flows downwards. A node stands below all that it reads; what lies outside the change is named where it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill.cli.html_page import text

STYLE = """
.changes { display: flex; flex-wrap: wrap; gap: .6rem; }
.change { display: flex; gap: 1.2rem; overflow-x: auto; padding: .4rem .6rem; border: 1px solid #e3e8ed;
  border-radius: .4rem; align-items: flex-start; }
.change figure { margin: 0; } .change figcaption { color: #5b6875; font-size: .85rem; }
.change svg { font: 12px system-ui, sans-serif; } .change rect { fill: #eef4fa; stroke: #8495a5; }
.change .outside rect { fill: #fff; stroke: #c9d2da; stroke-dasharray: 3 3; }
.change path { fill: none; stroke: #8495a5; } .change .waits { stroke-dasharray: 3 3; }
.change .name { fill: #5b6875; font-size: 10px; }
"""

_WIDTH, _HEIGHT = 148, 36
_ACROSS, _DOWN = 18, 30
#: Characters of a name that a box has room for.
_ROOM = 24


@dataclass(frozen=True)
class _Box:
    """A node, or a tensor from outside, and where it stands."""

    name: str
    operation: str
    inputs: tuple[str, ...]
    row: int
    column: int

    @property
    def left(self) -> int:
        """In pixels."""
        return self.column * (_WIDTH + _ACROSS) + 1

    @property
    def top(self) -> int:
        """In pixels."""
        return self.row * (_HEIGHT + _DOWN) + 1


def picture_of(change: Mapping[str, Any]) -> str:
    """One change as HTML; change: `before` and `after`, each a list of [name, operation, [inputs]]."""
    sides = ((side, _boxes(change.get(side) or [])) for side in ("before", "after"))
    return f"<div class=change>{''.join(_side(side, boxes) for side, boxes in sides)}</div>"


def _boxes(nodes: Sequence[Sequence[Any]]) -> list[_Box]:
    inputs = {str(name): tuple(map(str, read)) for name, _, read in nodes}
    operations = {str(name): str(operation) for name, operation, _ in nodes}
    outside = [read for reads in inputs.values() for read in reads if _node(read) not in inputs]
    rows = _rows(inputs)
    names = dict.fromkeys([*(_node(read) for read in outside), *inputs])
    columns: dict[int, int] = {}
    boxes = []
    for name in names:
        row = rows.get(name, 0)
        column = columns.get(row, 0)
        columns[row] = column + 1
        boxes.append(_Box(name, operations.get(name, ""), inputs.get(name, ()), row, column))
    return boxes


def _rows(inputs: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """How far below what comes from outside each node stands; a circle of a loop is cut where it is entered."""
    rows: dict[str, int] = {}
    for _ in inputs:
        before = dict(rows)
        for name, reads in inputs.items():
            rows[name] = 1 + max((min(rows.get(_node(read), 0), len(inputs)) for read in reads), default=-1)
        if rows == before:
            break
    return rows


def _side(caption: str, boxes: Sequence[_Box]) -> str:
    if not boxes:
        return f"<figure><figcaption>{text(caption)}: nothing</figcaption></figure>"
    width = max(box.left for box in boxes) + _WIDTH + 1
    height = max(box.top for box in boxes) + _HEIGHT + 1
    places = {box.name: box for box in boxes}
    lines = [_line(places[_node(read)], box, read.startswith("^")) for box in boxes for read in box.inputs]
    shown = "".join([*lines, *(_drawn(box) for box in boxes)])
    return (
        f"<figure><figcaption>{text(caption)}</figcaption>"
        f'<svg width="{width}" height="{height}" role=img aria-label="{text(caption)}">{shown}</svg></figure>'
    )


def _drawn(box: _Box) -> str:
    middle = box.left + _WIDTH // 2
    kind = "" if box.operation else " class=outside"
    title = f"{box.operation} {box.name}".strip()
    lines = [(_short(box.name), 22, "")]
    if box.operation:
        lines = [(box.operation, 15, ""), (_short(box.name), 29, " class=name")]
    words = "".join(
        f'<text x="{middle}" y="{box.top + down}" text-anchor="middle"{css}>{text(word)}</text>'
        for word, down, css in lines
    )
    rectangle = f'<rect x="{box.left}" y="{box.top}" width="{_WIDTH}" height="{_HEIGHT}" rx="4"/>'
    return f"<g{kind}><title>{text(title)}</title>{rectangle}{words}</g>"


def _line(start: _Box, end: _Box, waits: bool) -> str:
    x, y = start.left + _WIDTH // 2, start.top + _HEIGHT
    to_x, to_y = end.left + _WIDTH // 2, end.top
    bend = (y + to_y) // 2
    kind = " class=waits" if waits else ""
    return f'<path{kind} d="M{x} {y}C{x} {bend} {to_x} {bend} {to_x} {to_y}"/>'


def _node(reference: str) -> str:
    return reference.removeprefix("^").partition(":")[0]


def _short(name: str) -> str:
    """The end of a name, which tells more than its scopes."""
    return name if len(name) <= _ROOM else f"\N{HORIZONTAL ELLIPSIS}{name[1 - _ROOM :]}"
