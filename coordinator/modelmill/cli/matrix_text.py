"""The matrix as text: a table for each target, and below it what the reasons mean."""

from __future__ import annotations

from collections.abc import Sequence

from modelmill.cli.matrix_rows import MatrixRow, State, by_target
from modelmill.cli.tables import number, seconds, size, table

_HEADERS = (
    "version",
    "environment",
    "state",
    "size",
    "operators",
    "seconds",
    "max abs error",
    "of range",
    "farthest from",
    "by",
    "of range",
)


def text_of(rows: Sequence[MatrixRow], notes: Sequence[str]) -> str:
    """Everything but the progress; notes: what else there is to know."""
    parts = []
    grouped = by_target(rows)
    for target, own in grouped.items():
        heading = f"{target}\n" if len(grouped) > 1 else ""
        parts += [heading + table(_HEADERS, [_cells(row) for row in own]), _sentences(own)]
    parts += ["\n".join(f"note: {note}" for note in notes), verdict(rows)]
    return "\n\n".join(part for part in parts if part)


def verdict(rows: Sequence[MatrixRow]) -> str:
    """How many versions are in which state, in one line."""
    counts = {state: sum(row.state is state for row in rows) for state in State}
    return ", ".join(f"{count} {state.value}" for state, count in counts.items() if count) or "no version can make it"


def state_of(row: MatrixRow) -> str:
    """The state, with the reason where there is one that it does not say already."""
    return f"{row.state.value}: {row.reason}" if row.state is State.FAILED else row.state.value


def _cells(row: MatrixRow) -> tuple[str, ...]:
    farthest = row.farthest
    return (
        row.tensorflow,
        row.environment,
        state_of(row),
        "" if row.size is None else size(row.size),
        "" if row.operator_count is None else str(row.operator_count),
        "" if row.seconds is None else seconds(row.seconds),
        "" if row.max_abs_error is None else number(row.max_abs_error),
        "" if row.of_range is None else number(row.of_range),
        "" if farthest is None else farthest.label.partition("@")[2] or farthest.label,
        "" if farthest is None else number(farthest.max_abs),
        "" if farthest is None else number(farthest.of_range),
    )


def _sentences(rows: Sequence[MatrixRow]) -> str:
    """Each sentence once, with the versions that it is about."""
    versions: dict[str, list[str]] = {}
    for row in rows:
        if row.sentence:
            told = f"{row.reason or row.state.value}: {row.sentence}"
            versions.setdefault(told, []).append(row.tensorflow)
    return "\n".join(f"{', '.join(about)}: {told}" for told, about in versions.items())
