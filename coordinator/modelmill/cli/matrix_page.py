"""The matrix as one page of HTML that needs nothing but a browser: no other file, no network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from modelmill.cli.matrix_rows import MatrixRow, by_target
from modelmill.cli.matrix_text import state_of, verdict
from modelmill.cli.tables import number, seconds, size

#: The shades of the heat map lie between these powers of ten; float32 itself is precise to 1e-7.
_COLDEST, _HOTTEST = -8, 0

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2733; background: #fff; margin: 2rem auto; padding: 0 1.5rem;
  max-width: 110rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; } p { margin: .3rem 0; max-width: 60rem; } .quiet { color: #5b6875; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; text-align: left; white-space: nowrap; border-bottom: 1px solid #e3e8ed; }
th { font-weight: 600; background: #f5f7f9; } td.n, th.n { text-align: right; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
th button::after { content: "\\2195"; color: #9aa6b2; padding-left: .3rem; }
th[aria-sort=ascending] button::after { content: "\\2191"; color: inherit; }
th[aria-sort=descending] button::after { content: "\\2193"; color: inherit; }
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

_SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0], column = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = row => row.cells[column].dataset.value;
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return up ? order : -order;
  };
  body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
});
"""


def page_of(title: str, rows: Sequence[MatrixRow], notes: Sequence[str]) -> str:
    """The page; title: of the model. Nothing that a model or a server says can be more than text in it."""
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; ',
            "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">",
            f"<title>{escape(title)}: the matrix</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1><p class=quiet>Converted with each version of TensorFlow that can: ",
            f"{escape(verdict(rows))}. A click on a heading sorts.</p>",
            *(part for target, own in by_target(rows).items() for part in _target(target, own)),
            _notes(notes),
            f"<script>{_SCRIPT}</script></body></html>\n",
        ]
    )


def _target(target: str, rows: list[MatrixRow]) -> Iterator[str]:
    yield f"<h2>{escape(target)}</h2>"
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
    heads = "".join(f"<th class='{kind}'><button type=button>{name}</button></th>" for name, kind in _COLUMNS)
    body = "".join(f"<tr>{''.join(_cells(row, rank))}</tr>" for rank, row in enumerate(rows))
    return f"<div class=wide><table class=versions><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _cells(row: MatrixRow, rank: int) -> Iterator[str]:
    """The cells of one row; rank: where its version stands among the others, which sorts 1.5 before 1.10."""
    yield _cell(row.tensorflow, rank)
    yield _cell(row.environment, row.environment)
    yield f'<td data-value="{row.state.value}"><span class="state {row.state.name}">{escape(state_of(row))}</span></td>'
    yield _number(row.size, "" if row.size is None else size(row.size))
    yield _number(row.operator_count, "" if row.operator_count is None else str(row.operator_count))
    yield _number(row.seconds, "" if row.seconds is None else seconds(row.seconds))
    yield _number(row.max_abs_error)
    yield _number(row.of_range)
    farthest = row.farthest
    yield _cell("" if farthest is None else _version(farthest.label), "" if farthest is None else farthest.label)
    yield _number(None if farthest is None else farthest.max_abs)
    yield _number(None if farthest is None else farthest.of_range)


def _cell(text: str, value: object) -> str:
    return f'<td data-value="{escape(str(value))}">{escape(text)}</td>'


def _number(value: float | None, text: str | None = None) -> str:
    if value is None:
        return '<td class=n data-value=""></td>'
    return f'<td class=n data-value="{value!r}">{escape(number(value) if text is None else text)}</td>'


def _sentences(rows: list[MatrixRow]) -> str:
    told: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.sentence:
            told.setdefault((row.reason or row.state.value, row.sentence), []).append(row.tensorflow)
    terms = "".join(
        f"<dt>{escape(', '.join(versions))}: {escape(reason)}</dt><dd>{escape(sentence)}</dd>"
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
    heads = "".join(f"<th class=n>{escape(row.tensorflow)}</th>" for row in told)
    body = "".join(_operator(name, [row.operators.get(name, 0) for row in told]) for name in names)
    return (
        "<h3>Operators</h3><p class=quiet>How many of each; marked is what is not as in most versions.</p>"
        f"<div class=wide><table class=operators><thead><tr><th>operator</th>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _operator(name: str, counts: list[int]) -> str:
    usual = Counter(counts).most_common(1)[0][0]
    cells = "".join(f"<td class='n{'' if count == usual else ' other'}'>{count or ''}</td>" for count in counts)
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"


# Differences


def _heat_map(rows: list[MatrixRow]) -> str:
    """How far each result is from each other, relative to the output's range."""
    compared = [row for row in rows if row.differences]
    if not compared:
        return ""
    heads = "".join(f"<th>{escape(row.tensorflow)}</th>" for row in compared)
    body = "".join(
        f"<tr><th>{escape(row.tensorflow)}</th>{''.join(_heat_cells(row, compared))}</tr>" for row in compared
    )
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
            yield f'<td style="{style}" title="{escape(exact)}">{_short(one.of_range)}</td>'


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
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<h2>Notes</h2><ul>{items}</ul>" if items else ""
