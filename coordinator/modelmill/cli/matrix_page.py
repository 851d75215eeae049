"""The matrix as one page of HTML that needs nothing but a browser: no other file, no network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from modelmill.cli.html_page import cell, number_cell, page, sortable, text
from modelmill.cli.matrix_rows import MatrixRow, by_target
from modelmill.cli.matrix_text import state_of, verdict
from modelmill.cli.tables import number, seconds, size

#: The shades of the heat map lie between these powers of ten; float32 itself is precise to 1e-7.
_COLDEST, _HOTTEST = -8, 0

_STYLE = """
.state { border-radius: .7rem; padding: .05rem .55rem; background: #e8ecf0; }
.DONE { background: #d9f2e0; color: #0d5527; } .WRONG_NUMBERS, .FAILED { background: #fde0dd; color: #8a1c12; }
.UNCHECKED { background: #fff0cc; color: #6b4a00; }
.other { background: #fff0cc; }
tbody th, thead th:first-child { position: sticky; left: 0; }
.heat td { border: 1px solid #fff; text-align: center; padding: .2rem .3rem; font-size: .8rem; min-width: 2.6rem; }
.heat th { font-size: .8rem; padding: .2rem .35rem; border: 0; } .heat .self { background: #f0f2f4; }
.legend span { display: inline-block; padding: .1rem .5rem; font-size: .8rem; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin: 0 0 0 1.2rem; max-width: 60rem; }
"""


def page_of(title: str, rows: Sequence[MatrixRow], notes: Sequence[str]) -> str:
    """The page; title: of the model. Nothing that a model or a server says can be more than text in it."""
    intro = f"Converted with each version of TensorFlow that can: {verdict(rows)}. A click on a heading sorts."
    body = [
        f"<h1>{text(title)}</h1><p class=quiet>{text(intro)}</p>",
        *(part for target, own in by_target(rows).items() for part in _target(target, own)),
        _notes(notes),
    ]
    return page(f"{title}: the matrix", body, _STYLE)


def _target(target: str, rows: list[MatrixRow]) -> Iterator[str]:
    yield f"<h2>{text(target)}</h2>"
    yield _versions(rows)
    yield _sentences(rows)
    yield _operators(rows)
    yield _heat_map(rows)


# Versions

_COLUMNS = (
    ("version", ""),
    ("environment", ""),
    ("state", ""),
    ("size", "n"),
    ("operators", "n"),
    ("seconds", "n"),
    ("max abs error", "n"),
    ("of range", "n"),
    ("farthest from", ""),
    ("by", "n"),
    ("of range", "n"),
)


def _versions(rows: list[MatrixRow]) -> str:
    return sortable(_COLUMNS, ("".join(_cells(row, rank)) for rank, row in enumerate(rows)), "versions")


def _cells(row: MatrixRow, rank: int) -> Iterator[str]:
    """The cells of one row; rank: where its version stands among the others, which sorts 1.5 before 1.10."""
    yield cell(row.tensorflow, rank)
    yield cell(row.environment, row.environment)
    yield f'<td data-value="{row.state.value}"><span class="state {row.state.name}">{text(state_of(row))}</span></td>'
    yield _number(row.size, "" if row.size is None else size(row.size))
    yield _number(row.operator_count, "" if row.operator_count is None else str(row.operator_count))
    yield _number(row.seconds, "" if row.seconds is None else seconds(row.seconds))
    yield _number(row.max_abs_error)
    yield _number(row.of_range)
    farthest = row.farthest
    yield cell("" if farthest is None else _version(farthest.label), "" if farthest is None else farthest.label)
    yield _number(None if farthest is None else farthest.max_abs)
    yield _number(None if farthest is None else farthest.of_range)


def _number(value: float | None, shown: str | None = None) -> str:
    return number_cell(value, "" if value is None else number(value) if shown is None else shown)


def _sentences(rows: list[MatrixRow]) -> str:
    told: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.sentence:
            told.setdefault((row.reason or row.state.value, row.sentence), []).append(row.tensorflow)
    terms = "".join(
        f"<dt>{text(', '.join(versions))}: {text(reason)}</dt><dd>{text(sentence)}</dd>"
        for (reason, sentence), versions in told.items()
    )
    return f"<h3>What the reasons say</h3><dl>{terms}</dl>" if terms else ""


# Operators


def _operators(rows: list[MatrixRow]) -> str:
    """A row for each operator, a column for each version; what is not as in most versions is marked."""
    told = [row for row in rows if row.operators]
    if not told:
        return ""
    names = sorted({name for row in told for name in row.operators})
    heads = "".join(f"<th class=n>{text(row.tensorflow)}</th>" for row in told)
    body = "".join(_operator(name, [row.operators.get(name, 0) for row in told]) for name in names)
    return (
        "<h3>Operators</h3><p class=quiet>How many of each; marked is what is not as in most versions.</p>"
        f"<div class=wide><table class=operators><thead><tr><th>operator</th>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _operator(name: str, counts: list[int]) -> str:
    usual = Counter(counts).most_common(1)[0][0]
    cells = "".join(f"<td class='n{'' if count == usual else ' other'}'>{count or ''}</td>" for count in counts)
    return f"<tr><th>{text(name)}</th>{cells}</tr>"


# Differences


def _heat_map(rows: list[MatrixRow]) -> str:
    """How far each result is from each other, relative to the output's range."""
    compared = [row for row in rows if row.differences]
    if not compared:
        return ""
    heads = "".join(f"<th>{text(row.tensorflow)}</th>" for row in compared)
    body = "".join(f"<tr><th>{text(row.tensorflow)}</th>{''.join(_heat_cells(row, compared))}</tr>" for row in compared)
    return (
        "<h3>Differences between versions</h3><p class=quiet>The largest difference of the outputs on the same "
        "inputs, relative to the output's range; the exact numbers show under the pointer.</p>"
        f"<p class=legend>{''.join(_legend())}</p>"
        f"<div class=wide><table class=heat><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _heat_cells(row: MatrixRow, columns: Iterable[MatrixRow]) -> Iterator[str]:
    known = {one.label: one for one in row.differences}
    for column in columns:
        if column is row:
            yield "<td class=self></td>"
        elif column.label not in known:
            yield "<td></td>"
        else:
            one = known[column.label]
            exact = f"{row.tensorflow} and {column.tensorflow}: {one.of_range:.3g} of the range, {one.max_abs:.3g}"
            style = f"background:{_shade(one.of_range)}"
            yield f'<td style="{style}" title="{text(exact)}">{_short(one.of_range)}</td>'


def _legend() -> Iterator[str]:
    yield f'<span style="background:{_shade(0.0)}">equal</span>'
    for exponent in range(_COLDEST, _HOTTEST + 1):
        yield f'<span style="background:{_shade(10.0**exponent)}">1e{exponent}</span>'


def _short(of_range: float) -> str:
    """A number that fits a small square: its power of ten."""
    return "0" if of_range == 0 else f"{of_range:.0e}".replace("e-0", "e-").replace("e+00", "")


def _shade(of_range: float) -> str:
    """White for equal; else from pale blue over yellow to red, all light enough for dark text. A CSS colour."""
    if of_range == 0:
        return "#ffffff"
    warmth = 1.0 if not math.isfinite(of_range) else (math.log10(of_range) - _COLDEST) / (_HOTTEST - _COLDEST)
    warmth = min(max(warmth, 0.0), 1.0)
    return f"hsl({210 - 205 * warmth:.0f} {45 + 40 * warmth:.0f}% {92 - 20 * warmth:.0f}%)"


def _version(label: str) -> str:
    return label.partition("@")[2] or label


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{text(note)}</li>" for note in notes)
    return f"<h2>Notes</h2><ul>{items}</ul>" if items else ""
