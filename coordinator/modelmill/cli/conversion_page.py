"""A conversion as one page: its steps, how far its outputs are from the source's, and all that was rewritten, drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelmill.cli import change_picture
from modelmill.cli.html_page import cell, number_cell, page, sortable, text
from modelmill.cli.progress import describe_step, run_seconds
from modelmill.cli.summary import explain, moved_most, notes_of
from modelmill.cli.tables import number, seconds
from modelmill.client import conversion_pb2
from modelmill.wire import value_of

_STYLE = """
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 18rem; } details { margin: .3rem 0; }
summary { cursor: pointer; } .failed { color: #a02020; }
"""


def page_of(conversion: conversion_pb2.Conversion) -> str:
    """The page. Nothing that a model or a server says can be more than text in it."""
    title = conversion.spec.display_name or conversion.id
    state = conversion_pb2.Conversion.State.Name(conversion.state).lower()
    why = explain(conversion)
    body = [
        f"<h1>{text(title)}</h1><p>conversion {text(conversion.id)} {text(state)}</p>",
        f"<p class=failed>{text(why)}</p>" if why else "",
        _notes(conversion),
        "<h2>Outputs against the source</h2>",
        _outputs(conversion),
        "<h2>Steps</h2>",
        _steps(conversion),
        *_rewrites(conversion),
    ]
    return page(f"{title}: converted", body, _STYLE + change_picture.STYLE)


def _notes(conversion: conversion_pb2.Conversion) -> str:
    items = "".join(f"<li>{text(note)}</li>" for note in notes_of(conversion))
    return f"<ul class=notes>{items}</ul>" if items else ""


def _outputs(conversion: conversion_pb2.Conversion) -> str:
    headers = (("target", ""), ("output", ""), ("max abs error", "n"), ("reference range", "n"), ("verdict", ""))
    rows = [
        cell(result.target)
        + cell(output.output)
        + number_cell(output.max_abs_error, number(output.max_abs_error))
        + number_cell(output.reference_range, number(output.reference_range))
        + cell("passed" if output.passed else "FAILED")
        for result in conversion.results
        for output in result.verification.outputs
    ]
    return sortable(headers, rows)


def _steps(conversion: conversion_pb2.Conversion) -> str:
    records = {step.id: step for step in conversion.steps}
    rows = []
    for planned in conversion.plan.steps:
        record = records.get(planned.id, conversion_pb2.Step(id=planned.id))
        took = run_seconds(record)
        rows.append(
            cell(planned.id)
            + cell(planned.plugin)
            + cell(planned.environment)
            + number_cell(took, seconds(took))
            + cell(describe_step(record))
            + cell(planned.reason)
        )
    headers = (("step", ""), ("plug-in", ""), ("environment", ""), ("seconds", "n"), ("state", ""), ("why", ""))
    return sortable(headers, rows)


def _rewrites(conversion: conversion_pb2.Conversion) -> Iterator[str]:
    """A section for each step that changed the model by rules, with a picture of each change that is small enough."""
    proofs = {step.id: value_of(step.facts).get("proof", {}) for step in conversion.steps}
    for step in conversion.steps:
        rules = value_of(step.facts).get("rules")
        if not rules:
            continue
        proved = {rule["rule"]: rule for rule in proofs.get(f"prove.{step.id}", {}).get("rules", [])}
        yield f"<h2>What {text(step.id)} changed</h2>"
        yield _rules_table(rules, proved)
        for rule in rules:
            yield from _rule(rule)


def _rules_table(rules: list[Mapping[str, Any]], proved: Mapping[str, Mapping[str, Any]]) -> str:
    headers = (("rule", ""), ("fired", "n"), ("nearly", "n"), ("proof: max abs difference", ""), ("of range", ""))
    rows = []
    for rule in rules:
        fired, refused = len(rule["fired"]), len(rule["refused"])
        moved = moved_most(proved[rule["rule"]]) if rule["rule"] in proved else ("", "")
        counts = number_cell(fired, str(fired)) + number_cell(refused, str(refused))
        rows.append(cell(rule["rule"]) + counts + cell(moved[0]) + cell(moved[1]))
    return sortable(headers, rows)


def _rule(rule: Mapping[str, Any]) -> Iterator[str]:
    pictures = rule.get("pictures", [])
    if pictures:
        many = f"the first {len(pictures)} of {len(rule['fired'])} changes"
        yield f"<details open><summary>{text(rule['rule'])}: {text(many)}</summary><div class=changes>"
        yield from (change_picture.picture_of(picture) for picture in pictures)
        yield "</div></details>"
    if rule["refused"]:
        rows = [cell(refusal["node"]) + cell(refusal["reason"]) for refusal in rule["refused"]]
        yield f"<details><summary>{text(rule['rule'])}: left alone</summary>"
        yield sortable((("node", ""), ("why", "")), rows) + "</details>"
