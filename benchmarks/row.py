"""A row of the table, and the table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What was compared with what: texts for people, and whether the aim was met (None: there is no aim)."""

    what: str
    modelmill: str
    other: str
    ratio: str
    aim: str
    met: bool | None


def table(rows: Sequence[Row]) -> str:
    lines = ["| what | modelmill | compared with | ratio | aim | met |", "|---|---|---|---|---|---|"]
    words = {True: "yes", False: "**no**", None: ""}
    lines += [
        f"| {row.what} | {row.modelmill} | {row.other} | {row.ratio} | {row.aim} | {words[row.met]} |" for row in rows
    ]
    return "\n".join(lines)


def seconds(values: Sequence[float]) -> str:
    """The median, and the smallest and the largest of the runs."""
    middle = statistics.median(values)
    if middle < 1:
        return f"{middle * 1000:.0f} ms ({min(values) * 1000:.0f}-{max(values) * 1000:.0f})"
    return f"{middle:.2f} s ({min(values):.2f}-{max(values):.2f})"
