"""A conversion for people: its steps, how far its outputs are from the source's, what the user should know."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from modelmill.cli import failures
from modelmill.cli.progress import describe_step, run_seconds
from modelmill.cli.tables import number, seconds, table
from modelmill.client import conversion_pb2, has_succeeded
from modelmill.wire import failure_of, value_of

Step = conversion_pb2.Step
Verification = conversion_pb2.Verification

#: What a step makes that proves rewrites.
_PROOF = "report.proof"
#: How many nodes a change names.
_NAMED = 3


def show_conversion(conversion: conversion_pb2.Conversion, files: Sequence[Path] = ()) -> None:
    """The summary on standard output, and why it failed on standard error."""
    click.echo(summarise(conversion, files))
    why = explain(conversion)
    if why:
        click.echo(why, err=True)


def summarise(conversion: conversion_pb2.Conversion, files: Sequence[Path] = ()) -> str:
    """All of it but why it failed, which `explain` tells; parts with nothing to say are left out."""
    parts = [
        _steps(conversion),
        _outputs(conversion),
        _differences(conversion),
        _proofs(conversion),
        _notes(conversion),
        _files(files),
        _verdict(conversion),
    ]
    return "\n\n".join(part for part in parts if part)


def explain(conversion: conversion_pb2.Conversion) -> str:
    """The conversion's failure in full, and of its targets' those that are others."""
    told = [conversion.failure] if conversion.HasField("failure") else []
    for result in conversion.results:
        if result.HasField("failure") and result.failure not in told:
            told.append(result.failure)
    return "\n".join(failures.text_of(failure_of(failure)) for failure in told)


def _steps(conversion: conversion_pb2.Conversion) -> str:
    records = {step.id: step for step in conversion.steps}
    planned = [(step, records.get(step.id, Step(id=step.id))) for step in conversion.plan.steps]
    rows = [
        (step.id, step.plugin, step.environment, seconds(run_seconds(record)), _cached(record), _state(record))
        for step, record in planned
    ]
    return table(("step", "plug-in", "environment", "seconds", "cached", "state"), rows)


def _cached(record: conversion_pb2.Step) -> str:
    if record.state != Step.SUCCEEDED:
        return ""
    return "yes" if record.cached else "no"


def _state(record: conversion_pb2.Step) -> str:
    return "done" if record.state == Step.SUCCEEDED else describe_step(record)


def _outputs(conversion: conversion_pb2.Conversion) -> str:
    rows = [
        (
            result.target,
            output.output,
            "x".join(map(str, output.shape)) or "scalar",
            number(output.max_abs_error),
            _relative(output),
            f"{output.cosine_similarity:.6f}",
            "passed" if output.passed else "FAILED",
        )
        for result in conversion.results
        for output in result.verification.outputs
    ]
    headers = ("target", "output", "shape", "max abs error", "of range", "cosine", "verdict")
    return table(headers, rows)


def _differences(conversion: conversion_pb2.Conversion) -> str:
    """How far the results of several versions of TensorFlow are from each other; each pair once."""
    told: set[frozenset[str]] = set()
    rows: list[tuple[str, ...]] = []
    for result in conversion.results:
        for difference in result.differences:
            pair = frozenset((result.target, difference.target))
            if pair not in told:
                told.add(pair)
                numbers = number(difference.max_abs_difference), number(difference.of_range)
                rows.append((result.target, difference.target, *numbers))
    return table(("target", "compared with", "max abs difference", "of range"), rows)


def _proofs(conversion: conversion_pb2.Conversion) -> str:
    """What each rewrite moved, by running the model before and after it: the worst of the outputs."""
    rows: list[tuple[str, ...]] = []
    for step in conversion.steps:
        proof = value_of(step.facts).get("proof")
        if proof:
            rows += [(step.id, rule["rule"], str(int(rule["fired"])), *moved_most(rule)) for rule in proof["rules"]]
            rows.append((step.id, "all together", "", *moved_most(proof)))
    return table(("proof", "rule", "fired", "max abs difference", "of range"), rows)


def moved_most(proved: Mapping[str, Any]) -> tuple[str, str]:
    """The largest difference of any output, absolute and relative to its range; or that it could not be run."""
    if "why_not" in proved:
        return "could not be run", "-"
    worst = max(proved["outputs"], key=lambda output: _sortable(output["of_range"]), default=None)
    if worst is None or worst["max_abs_difference"] is None:
        return "not comparable", "-"
    relative = worst["of_range"]
    return number(worst["max_abs_difference"]), "-" if relative is None else number(relative)


def _sortable(relative: float | None) -> float:
    """What has no number is worse than what has one."""
    return math.inf if relative is None else relative


def _relative(output: conversion_pb2.OutputComparison) -> str:
    """The error relative to the reference's range; nothing to say where that is a single value."""
    return number(output.max_abs_error / output.reference_range) if output.reference_range else "-"


def _notes(conversion: conversion_pb2.Conversion) -> str:
    lines = [f"change: {change}" for change in dict.fromkeys(_step_changes(conversion.steps))]
    return "\n".join([*lines, *(f"note: {note}" for note in notes_of(conversion))])


def notes_of(conversion: conversion_pb2.Conversion) -> list[str]:
    """What the user should know, each sentence once."""
    told = [*_step_notes(conversion.steps), *_unverified(conversion), *_unproved(conversion)]
    return list(dict.fromkeys([*conversion.plan.notes, *told]))


def _step_changes(steps: Iterable[conversion_pb2.Step]) -> Iterator[str]:
    """What a step changed in the model, with the names of a few nodes of each change."""
    for step in steps:
        for change in value_of(step.facts).get("changes", []):
            nodes, count = change["nodes"], int(change["count"])
            more = f" and {count - _NAMED} more" if count > _NAMED else ""
            yield f"{change['what']} ({', '.join(nodes[:_NAMED])}{more})"


def _step_notes(steps: Iterable[conversion_pb2.Step]) -> Iterator[str]:
    for step in steps:
        notes = value_of(step.facts).get("notes", [])
        yield from (str(note) for note in notes) if isinstance(notes, list) else [str(notes)]


def _unverified(conversion: conversion_pb2.Conversion) -> Iterator[str]:
    for result in conversion.results:
        check = result.verification
        if check.state == Verification.SKIPPED:
            yield f"{result.target} was not verified: {check.reason}"
        elif check.state == Verification.FAILED and check.reason:
            yield f"{result.target} could not be verified: {check.reason}"


def _unproved(conversion: conversion_pb2.Conversion) -> Iterator[str]:
    """Proofs that failed, and what of the others could not be run."""
    proving = {step.id for step in conversion.plan.steps if step.output == _PROOF}
    for step in conversion.steps:
        if step.id in proving and step.state == Step.FAILED:
            yield f"{step.id} failed: {step.failure.message}"
        for rule in value_of(step.facts).get("proof", {}).get("rules", []):
            if "why_not" in rule:
                yield f"{step.id}: what {rule['rule']} made could not be run: {rule['why_not']}"


def _files(files: Sequence[Path]) -> str:
    return "\n".join(["files written:", *(f"  {file}" for file in files)]) if files else ""


def _verdict(conversion: conversion_pb2.Conversion) -> str:
    state = conversion_pb2.Conversion.State.Name(conversion.state).lower()
    good = [result.target for result in conversion.results if has_succeeded(result)]
    bad = [result.target for result in conversion.results if not has_succeeded(result)]
    verdict = f"conversion {conversion.id} {state}"
    if bad and good:
        verdict += f": {', '.join(good)} succeeded, {', '.join(bad)} did not"
    return verdict
