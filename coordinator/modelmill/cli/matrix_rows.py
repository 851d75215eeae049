"""What became of each version of TensorFlow that was to make a target: a row each, read from the conversion."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from modelmill.cli.progress import run_seconds
from modelmill.client import conversion_pb2
from modelmill.version_order import version_of
from modelmill.wire import value_of

Conversion = conversion_pb2.Conversion
Verification = conversion_pb2.Verification

#: The planner's note about versions of which there is no result.
_LEFT_OUT = re.compile(
    r"(?P<target>\S+): TensorFlow (?P<versions>[^ ,]+(?:, [^ ,]+)*) (?:is|are) left out: (?P<why>.+)"
)


class State(enum.Enum):
    """What became of a version; the values are for people."""

    DONE = "done"
    WRONG_NUMBERS = "wrong numbers"
    UNCHECKED = "not checked"
    FAILED = "failed"
    NOT_RUN = "not run"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Difference:
    """How far a result is from another's, on the same inputs; of_range is relative to the output's range."""

    label: str
    max_abs: float
    of_range: float

    def to_json(self) -> dict[str, Any]:
        """This difference as a JSON object."""
        return {"label": self.label, "max_abs_difference": self.max_abs, "of_range": self.of_range}


@dataclass(frozen=True)
class MatrixRow:
    """One version and one target.

    label: the result's, such as "tflite@1.12.3".
    environment: where it was made, or was to be made; empty where it was left out.
    size: bytes of the artifact; None without one.
    operators: how many of each there are in the artifact; empty where the converter did not say.
    seconds: run time of the step that made it, also where that is from the cache; None where it did not run.
    max_abs_error, of_range: the largest error of any output against the source, absolute and relative to the output's
        range; None where there is no comparison.
    differences: from the results of the other versions.
    farthest: the largest of them, relative to the range, from a version that is done: one with wrong numbers would be
        the farthest from all. None where no other is done.
    reason: why there is no result, or why it is not to be used, for programs; empty where it is done.
    sentence: the same for people; for a version that is done, what there is to know, such as why nothing was compared.
    """

    label: str
    target: str
    tensorflow: str
    environment: str
    state: State
    size: int | None = None
    operators: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    cached: bool = False
    max_abs_error: float | None = None
    of_range: float | None = None
    differences: tuple[Difference, ...] = ()
    farthest: Difference | None = None
    reason: str = ""
    sentence: str = ""

    @property
    def operator_count(self) -> int | None:
        """All operators together; None where they are not known."""
        return sum(self.operators.values()) if self.operators else None

    def to_json(self) -> dict[str, Any]:
        """This row as a JSON object."""
        return {
            "label": self.label,
            "target": self.target,
            "tensorflow": self.tensorflow,
            "environment": self.environment,
            "state": self.state.name,
            "size": self.size,
            "operators": dict(self.operators),
            "operator_count": self.operator_count,
            "seconds": self.seconds,
            "cached": self.cached,
            "max_abs_error": self.max_abs_error,
            "of_range": self.of_range,
            "differences": [one.to_json() for one in self.differences],
            "farthest": self.farthest.to_json() if self.farthest else None,
            "reason": self.reason,
            "sentence": self.sentence,
        }


def rows_of(conversion: Conversion) -> list[MatrixRow]:
    """A row for each version and target, by target in the order of the results, then by version, oldest first."""
    rows = [_row(conversion, result) for result in conversion.results]
    done = {row.label for row in rows if row.state is State.DONE}
    rows = [replace(row, farthest=_farthest(row, done)) for row in rows]
    rows += _left_out(conversion)
    targets = list(dict.fromkeys(row.target for row in rows))
    return sorted(rows, key=lambda row: (targets.index(row.target), version_of(row.tensorflow), row.label))


def other_notes(conversion: Conversion) -> list[str]:
    """The plan's notes but for those that are rows."""
    return [note for note in conversion.plan.notes if not _LEFT_OUT.fullmatch(note)]


def _row(conversion: Conversion, result: conversion_pb2.Result) -> MatrixRow:
    planned, step = _maker(conversion, result)
    state, reason, sentence = _state(result)
    check = result.verification
    relative = [one.max_abs_error / one.reference_range for one in check.outputs if one.reference_range]
    return MatrixRow(
        label=result.target,
        target=result.target.partition("@")[0],
        tensorflow=result.tensorflow or planned.tensorflow or result.target.partition("@")[2],
        environment=planned.environment,
        state=state,
        size=sum(file.size for file in result.artifact.files) if result.HasField("artifact") else None,
        operators=_operators(step),
        seconds=run_seconds(step) if step.HasField("run_time") else None,
        cached=step.cached,
        max_abs_error=max((one.max_abs_error for one in check.outputs), default=None),
        of_range=max(relative, default=None),
        differences=tuple(
            Difference(other.target, other.max_abs_difference, other.of_range) for other in result.differences
        ),
        reason=reason,
        sentence=sentence,
    )


def _farthest(row: MatrixRow, among: Set[str]) -> Difference | None:
    known = (one for one in row.differences if one.label in among)
    return max(known, key=lambda one: (one.of_range, one.max_abs), default=None)


def _state(result: conversion_pb2.Result) -> tuple[State, str, str]:
    """State, reason and sentence."""
    check = result.verification
    if not result.HasField("artifact"):
        if not result.failure.reason:
            return State.NOT_RUN, "", "the conversion had ended before"
        return State.FAILED, result.failure.reason, result.failure.message
    if check.state == Verification.FAILED:
        state = State.WRONG_NUMBERS if check.outputs else State.UNCHECKED
        return state, result.failure.reason or "CHECK_FAILED", result.failure.message or check.reason
    if result.failure.reason:
        return State.FAILED, result.failure.reason, result.failure.message
    return State.DONE, "", check.reason


def _maker(
    conversion: Conversion, result: conversion_pb2.Result
) -> tuple[conversion_pb2.PlannedStep, conversion_pb2.Step]:
    """The step that made a result, or was to make it: the last one of its own that does not serve the check."""
    records = {step.id: step for step in conversion.steps}
    own = [step for step in conversion.plan.steps if step.target == result.target and not _checks(step.output)]
    if result.HasField("artifact"):
        made = [step for step in conversion.plan.steps if records.get(step.id) and _gave(records[step.id], result)]
        own = [step for step in made if step.target == result.target] or made or own
    if not own:
        return conversion_pb2.PlannedStep(), conversion_pb2.Step()
    return own[-1], records.get(own[-1].id, conversion_pb2.Step())


def _gave(step: conversion_pb2.Step, result: conversion_pb2.Result) -> bool:
    mine, its = step.output, result.artifact
    return mine.kind == its.kind and list(mine.files) == list(its.files) and bool(its.files)


def _checks(kind: str) -> bool:
    return kind == "dataset" or kind.startswith("report.")


def _operators(step: conversion_pb2.Step) -> dict[str, int]:
    told = value_of(step.facts).get("operators")
    return {str(name): int(count) for name, count in sorted(told.items())} if isinstance(told, dict) else {}


def _left_out(conversion: Conversion) -> Iterator[MatrixRow]:
    for note in conversion.plan.notes:
        told = _LEFT_OUT.fullmatch(note)
        for version in told["versions"].split(", ") if told else ():
            assert told is not None
            label = f"{told['target']}@{version}"
            yield MatrixRow(label, told["target"], version, "", State.LEFT_OUT, sentence=told["why"])


def by_target(rows: Sequence[MatrixRow]) -> dict[str, list[MatrixRow]]:
    """The rows of each target, in their order."""
    grouped: dict[str, list[MatrixRow]] = {}
    for row in rows:
        grouped.setdefault(row.target, []).append(row)
    return grouped
