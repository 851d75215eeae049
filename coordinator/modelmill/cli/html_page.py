"""A page of HTML that needs nothing but a browser: no other file, no network. Its tables sort by a click.

What a page shows comes from models and servers that nobody vouches for. All of it goes through `text` or `data`, and
the page's policy lets a browser run no other script than those that the page was made with.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from modelmill.client.downloading import disk_named

STYLE = """
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
"""

_SORTING = """
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


def page(title: str, body: Iterable[str], style: str = "", scripts: Sequence[str] = ()) -> str:
    """The page; body: HTML in which nothing of a model's is markup; style and scripts: what it needs besides."""
    everything = [_SORTING, *scripts]
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in everything)
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; ',
            f"style-src 'unsafe-inline'; script-src {allowed}\">",
            f"<title>{text(title)}</title><style>{STYLE}{style}</style></head><body>",
            *body,
            *(f"<script>{script}</script>" for script in everything),
            "</body></html>\n",
        ]
    )


def text(value: object) -> str:
    """A value as text of the page, or as an attribute's value in double quotes."""
    return escape(str(value))


def data(name: str, value: Any) -> str:
    """JSON that a script of the page reads from the element of that id. No text in it can end the element."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":
        plain = plain.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{text(name)}">{plain}</script>'


def sortable(headers: Iterable[tuple[str, str]], rows: Iterable[str], kind: str = "") -> str:
    """A table that sorts; headers: pairs of a name and a class, "n" for numbers; rows: of `cell` and `number_cell`."""
    heads = "".join(f"<th class='{css}'><button type=button>{text(name)}</button></th>" for name, css in headers)
    table = f"<table class='{kind}'>" if kind else "<table>"
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<div class=wide>{table}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def cell(shown: object, value: object | None = None) -> str:
    """A cell of a table that sorts; value: what it is sorted by, where that is not what it shows."""
    return f'<td data-value="{text(shown if value is None else value)}">{text(shown)}</td>'


def number_cell(value: float | None, shown: str) -> str:
    """A cell with a number; one that has none sorts last."""
    if value is None:
        return '<td class=n data-value=""></td>'
    return f'<td class=n data-value="{value!r}">{text(shown)}</td>'


def write_page(file: Path, content: str) -> None:
    """Whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with disk_named(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_text(content, encoding="utf-8", errors="replace")
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
