"""The picture of a graph on a page: what `graph_view.js` draws, and the elements that it draws in."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from typing import Any

from modelmill.cli.html_page import data, text
from modelmill.cli.inspect_text import shape_text

STYLE = """
.graph { display: flex; gap: 1rem; height: min(44rem, 80vh); border: 1px solid #d5dce3; border-radius: .4rem; }
.graph canvas { flex: 1; min-width: 0; height: 100%; cursor: grab; touch-action: none; background: #fbfcfd; }
.graph aside { width: 19rem; overflow: auto; padding: .3rem .8rem; border-left: 1px solid #e3e8ed; font-size: .85rem;
  overflow-wrap: anywhere; }
.graph aside ul { margin: .2rem 0; padding-left: 1.1rem; } .graph aside h4 { margin: .7rem 0 0; }
.graph aside button { font: inherit; text-align: left; background: none; border: 0; padding: 0; color: #1d5fa8;
  cursor: pointer; }
.tools { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .5rem 0; }
.tools input { font: inherit; padding: .2rem .5rem; width: 18rem; }
.tools button { font: inherit; padding: .2rem .6rem; }
"""


def script() -> str:
    """The program that draws."""
    return importlib.resources.files("modelmill.cli").joinpath("graph_view.js").read_text(encoding="utf-8")


def section_of(picture: Mapping[str, Any], ends: Sequence[str]) -> str:
    """The section with the picture.

    picture: the inspector's fact.
    ends: the nodes of the model's inputs and outputs, the inputs first.
    """
    nodes = picture.get("nodes", [])
    count = picture.get("nodes_count", len(nodes))
    cut = f" Only the first {len(nodes):,} of {count:,} nodes are drawn." if count > len(nodes) else ""
    return (
        "<h2 id=graph-of>Graph</h2><p class=quiet>The wheel zooms, dragging moves, a click tells more, a double click "
        "opens a scope. Constants and variables stand in the nodes that read them; dashed lines only order execution."
        f"{text(cut)}</p>"
        '<div class=tools><input id=search type=search placeholder="name or operation" aria-label="search the graph">'
        "<button id=larger type=button aria-label=larger>+</button>"
        "<button id=smaller type=button aria-label=smaller>&minus;</button>"
        "<button id=whole type=button>whole</button><button id=opened type=button>open all</button>"
        "<button id=closed type=button>close all</button><span id=found aria-live=polite></span></div>"
        '<div class=graph><canvas id=graph tabindex=0 role=img aria-label="the graph"></canvas>'
        "<aside id=details aria-live=polite></aside></div>" + data("picture", _compact(nodes, ends))
    )


def _compact(nodes: list[Mapping[str, Any]], ends: Sequence[str]) -> dict[str, Any]:
    """The nodes with their inputs as numbers: names are long, and are there once for each edge otherwise."""
    numbers = {(node.get("within", ""), node["name"]): number for number, node in enumerate(nodes)}
    return {
        "nodes": [_node(node, numbers) for node in nodes],
        "ends": [numbers["", name] for name in ends if ("", name) in numbers],
    }


def _node(node: Mapping[str, Any], numbers: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    within = node.get("within", "")
    known = [(name, numbers.get((within, name.lstrip("^")))) for name in node.get("inputs", [])]
    made = {
        "n": node["name"],
        "o": node["op"],
        "i": [number for name, number in known if number is not None and not name.startswith("^")],
        "c": [number for name, number in known if number is not None and name.startswith("^")],
        "s": shape_text(node["shape"]) if node.get("shape") is not None else "",
        "d": node.get("dtype", ""),
        "w": within,
        "f": node.get("calls", []),
    }
    return {key: value for key, value in made.items() if value}
