"""What an inspection found, as one page: every table whole and sortable, and a picture of the graph.

Facts that this module has no title for are shown under their own names, so that what a plug-in adds is there too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from modelmill.cli import graph_view
from modelmill.cli.html_page import cell, number_cell, page, sortable, text
from modelmill.cli.inspect_text import shape_text
from modelmill.cli.inspect_versions import describe_versions

Facts = Mapping[str, Any]

#: Facts to titles, in the order in which they stand; a dot leads to what lies within.
_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "security.findings": "Security findings",
        "inputs": "Inputs",
        "outputs": "Outputs",
        "candidate_inputs": "What else could be an input",
        "candidate_outputs": "What else could be an output",
        "signatures": "Signatures",
        "support.targets": "Support by target and version",
        "support.nodes": "Support by node",
        "rewrites": "What a conversion would rewrite",
        "operations": "Operations",
        "training_only": "Operations that the outputs do not need",
        "parameters_by_dtype": "Parameters by type",
        "costs.input_shapes": "Shapes that the costs are for",
        "costs.nodes": "Costs by node",
        "costs.uncounted": "Operations that were not counted",
        "unknown_dimensions": "Unknown dimensions",
        "variable_list": "Variables",
        "control_flow": "Control flow",
        "functions": "Functions",
        "subgraphs": "Subgraphs",
        "layers": "Layers",
        "operators": "Operators",
        "tensors": "Tensors",
        "quantisation": "Quantisation",
        "edgetpu": "Edge TPU",
        "shards": "Shards",
        "metadata": "Metadata",
    }
)
#: What has a place of its own.
_ELSEWHERE = ("picture", "notes", "tensorflow")
#: The columns that come first, in this order.
_COLUMNS = ("severity", "reason", "target", "version", "index", "key", "name", "rule", "node", "op", "dtype", "shape")
_SHAPES = ("shape", "shapes", "shape_signature")

_STYLE = """
nav a { margin-right: 1rem; } td { max-width: 42rem; overflow: hidden; text-overflow: ellipsis; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 18rem; }
.high, .critical { background: #fde0dd; } .medium { background: #fff0cc; }
"""


def page_of(title: str, facts: Facts) -> str:
    """The page; title: of the model. Nothing that a model or a server says can be more than text in it."""
    sections = list(_sections(facts))
    picture = facts.get("picture")
    drawn = isinstance(picture, dict) and bool(picture.get("nodes"))
    links = [("graph-of", "Graph")] if drawn else []
    links += [(f"s{number}", name) for number, (name, _) in enumerate(sections)]
    body = [
        f"<h1>{text(title)}</h1><p>{text(facts.get('description') or facts.get('kind', ''))}</p>",
        _scalars(facts),
        _notes(facts.get("notes")),
        "<nav>",
        *(f'<a href="#{where}">{text(name)}</a>' for where, name in links),
        "</nav>",
        graph_view.section_of(picture, _ends(facts)) if drawn and isinstance(picture, dict) else "",
        *(f'<h2 id="s{number}">{text(name)}</h2>{content}' for number, (name, content) in enumerate(sections)),
    ]
    scripts = [graph_view.script()] if drawn else []
    return page(f"{title}: inspected", body, _STYLE + graph_view.STYLE, scripts)


def _ends(facts: Facts) -> list[str]:
    """The nodes of the inputs and the outputs."""
    tensors = [*_records(facts.get("inputs")), *_records(facts.get("outputs"))]
    return [str(one.get("tensor") or one.get("name", "")).partition(":")[0] for one in tensors]


def _scalars(facts: Facts) -> str:
    """The facts that are single values, those within others too."""
    try:
        versions = describe_versions(facts.get("tensorflow"))
    except (AttributeError, TypeError, ValueError):  # anybody's plug-in may add facts, of whatever form
        versions = ""
    rows = [*_single("", facts), ("TensorFlow", versions)]
    cells = "".join(f"<tr><th>{text(name)}</th><td class=long>{text(value)}</td></tr>" for name, value in rows if value)
    return f"<div class=wide><table class=facts><tbody>{cells}</tbody></table></div>"


def _single(before: str, facts: Facts) -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        name = f"{before}{key.replace('_', ' ')}"
        if isinstance(value, dict) and not before and f"{key}" not in (*_ELSEWHERE, *_TITLES):
            yield from _single(f"{name}: ", value)
        elif not isinstance(value, dict | list) and key != "description":
            yield name, _shown(key, value)


def _notes(notes: Any) -> str:
    items = "".join(f"<li>{text(note)}</li>" for note in (notes if isinstance(notes, list) else []))
    return f"<ul class=notes>{items}</ul>" if items else ""


# Tables


def _sections(facts: Facts) -> Iterator[tuple[str, str]]:
    """Titles and tables of all that is a list or an object, the known ones first."""
    left = dict(_collections("", facts))
    for key in (*_TITLES, *left):
        if key in left:
            value = left.pop(key)
            content = _table(key, value) + _rest(facts, key, value)
            if content:
                yield _TITLES.get(key, key.replace("_", " ").replace(".", ": ").capitalize()), content


def _collections(before: str, facts: Facts) -> Iterator[tuple[str, Any]]:
    """Lists and objects by their path. An object that has any of them in it, or a title for what is, is opened."""
    for key, value in facts.items():
        path = f"{before}{key}"
        if path in _ELSEWHERE or not value:
            continue
        if isinstance(value, dict) and not before and any(isinstance(item, dict | list) for item in value.values()):
            yield from _collections(f"{path}.", value)
            if path in _TITLES:
                yield path, {name: item for name, item in value.items() if not isinstance(item, dict | list)}
        elif isinstance(value, dict | list):
            yield path, value


def _table(key: str, value: Any) -> str:
    if isinstance(value, dict):
        column = "shape" if key.endswith("shapes") else "value"
        rows = [{"name": name, column: item} for name, item in value.items()]
        return _rows(sorted(rows, key=lambda row: -row[column] if _is_number(row[column]) else 0))
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return _rows(value)
    return _rows([{"value": item} for item in value])


def _rows(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    known = list(dict.fromkeys(key for row in rows for key in row))
    columns = sorted(known, key=lambda key: _COLUMNS.index(key) if key in _COLUMNS else len(_COLUMNS))
    numeric = {key for key in columns if all(_is_number(row[key]) for row in rows if row.get(key) is not None)}
    headers = [(key.replace("_", " "), "n" if key in numeric else "") for key in columns]
    return sortable(headers, ("".join(_cell(key, row.get(key), key in numeric) for key in columns) for row in rows))


def _cell(key: str, value: Any, numeric: bool) -> str:
    if numeric:
        return number_cell(value, f"{value:,}" if isinstance(value, int) else f"{value}")
    shown = _shown(key, value)
    if key == "severity":
        return f'<td data-value="{_SEVERITIES.get(shown, 9)}" class="{text(shown)}">{text(shown)}</td>'
    if len(shown) > 60:
        return f'<td class=long data-value="{text(shown)}">{text(shown)}</td>'
    return cell(shown)


_SEVERITIES = {"info": 0, "low": 1, "medium": 2, "high": 3, "critical": 4}


def _shown(key: str, value: Any) -> str:
    """A value as text: shapes as shapes, objects and lists as what is in them."""
    if isinstance(value, list):
        is_shape = key in _SHAPES and not (value and isinstance(value[0], list))
        return shape_text(value) if is_shape else ", ".join(_shown(key, item) for item in value)
    if isinstance(value, dict):
        if "name" in value:
            return " ".join(_shown(name, value[name]) for name in ("name", "dtype", "shape") if name in value)
        return ", ".join(f"{name} {_shown(name, item)}" for name, item in value.items())
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def _rest(facts: Facts, key: str, value: Any) -> str:
    """What a list that was cut leaves out."""
    where: Any = facts
    *path, last = key.split(".")
    for part in path:
        where = where.get(part, {})
    count = where.get(f"{last}_count") if isinstance(where, dict) else None
    if not isinstance(count, int) or not isinstance(value, list) or count <= len(value):
        return ""
    return f"<p class=quiet>The first {len(value):,} of {count:,}.</p>"


def _records(value: Any) -> list[Facts]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
