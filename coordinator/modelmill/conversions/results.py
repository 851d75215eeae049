"""The verdict: what the steps of a conversion add up to."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelmill.conversions.state import ConversionState, StepRecord, StepState
from modelmill.errors import Failure, Fault
from modelmill.planning import Attempt, Delivery, Plan, PlannedStep
from modelmill.values import Artifact

_TOO_FAR_OFF = "VERIFICATION_FAILED"


class VerificationState(enum.Enum):
    """The names are those of conversion.proto."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True)
class Verification:
    """How far a result is from the source; `outputs` are as the verifier's facts say."""

    state: VerificationState
    reason: str = ""
    outputs: Sequence[Mapping[str, Any]] = ()
    tolerance: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """This verification as a JSON object."""
        return {
            "state": self.state.value,
            "reason": self.reason,
            "outputs": [dict(output) for output in self.outputs],
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verification:
        """The inverse of `to_json`."""
        return cls(VerificationState(data["state"]), data["reason"], data["outputs"], data["tolerance"])


@dataclass(frozen=True)
class Result:
    """One target's answer: an artifact and its verification, or a failure.

    tensorflow: the version that made it, or was to make it; empty where none was needed.
    differences: by the label of another version's result how far this one is from it, as the facts of CONTRAST say.
    """

    label: str
    artifact: Artifact | None
    verification: Verification | None
    failure: Failure | None
    tensorflow: str = ""
    differences: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """This result as a JSON object."""
        return {
            "label": self.label,
            "artifact": self.artifact.to_json() if self.artifact else None,
            "verification": self.verification.to_json() if self.verification else None,
            "failure": self.failure.to_json() if self.failure else None,
            "tensorflow": self.tensorflow,
            "differences": {label: dict(difference) for label, difference in self.differences.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """The inverse of `to_json`."""
        return cls(
            label=data["label"],
            artifact=Artifact.from_json(data["artifact"]) if data["artifact"] else None,
            verification=Verification.from_json(data["verification"]) if data["verification"] else None,
            failure=Failure.from_json(data["failure"]) if data["failure"] else None,
            tensorflow=data.get("tensorflow", ""),
            differences=data.get("differences", {}),
        )


@dataclass(frozen=True)
class Trouble:
    """Why an attempt at a target does not count: the failure and the step whose doing it is."""

    failure: Failure
    step: PlannedStep


@dataclass(frozen=True)
class Answer:
    """What one attempt at a target gave; `trouble` is None where there is nothing wrong with it."""

    artifact: Artifact | None
    verification: Verification | None
    trouble: Trouble | None


@dataclass(frozen=True)
class Conclusion:
    """A conversion's end."""

    state: ConversionState
    results: tuple[Result, ...]
    failure: Failure | None


def conclude(plan: Plan, records: Mapping[str, StepRecord], ended: Failure | None) -> Conclusion:
    """What the steps add up to.

    A conversion succeeds when every target has its artifact and no check of one failed. A check that could not
    be made, and says why, fails nothing. A target of which every version was asked for is a question rather than a
    demand: one version that made something is enough. The failure of the conversion is the first one in the plan's
    order of those that a target has in the end: what was overcome with another version does not count.

    ended: why the conversion was ended before its time, if it was.
    """
    answers = {delivery.label: _final(plan, delivery, records) for delivery in plan.deliveries}
    results = tuple(_result(plan, delivery, answers[delivery.label], records) for delivery in plan.deliveries)
    if ended is not None and ended.fault is Fault.CANCELLATION:
        return Conclusion(ConversionState.CANCELLED, results, None)
    failure = ended or _first_of(plan, _what_counts(plan, answers))
    succeeded = failure is None and all(
        delivery.every or answers[delivery.label].artifact is not None for delivery in plan.deliveries
    )
    return Conclusion(ConversionState.SUCCEEDED if succeeded else ConversionState.FAILED, results, failure)


def answer_of(plan: Plan, label: str, attempt: Attempt, records: Mapping[str, StepRecord]) -> Answer:
    """What an attempt at a target gave."""
    record = records[attempt.step]
    if record.state is not StepState.SUCCEEDED:
        return Answer(None, None, _first_trouble(plan, attempt.step, records))
    verification, crash = _verification(plan, attempt, records)
    failure = _verification_failure(label, verification)
    trouble = Trouble(failure, plan.step(attempt.step)) if failure else crash
    return Answer(record.output, verification, trouble)


def _final(plan: Plan, delivery: Delivery, records: Mapping[str, StepRecord]) -> Answer:
    """What the last attempt gave; where that is no good, what the first gave, which was in the best version."""
    last = answer_of(plan, delivery.label, delivery.attempt, records)
    if last.trouble is None or not delivery.earlier:
        return last
    answers = [answer_of(plan, delivery.label, attempt, records) for attempt in delivery.earlier]
    tried = [
        {
            "tensorflow": answer.trouble.step.tensorflow,
            "reason": answer.trouble.failure.reason,
            "message": answer.trouble.failure.message,
        }
        for answer in (*answers, last)
        if answer.trouble
    ]
    first = answers[0]
    if first.trouble is None:
        return first
    failure = replace(first.trouble.failure, details={**first.trouble.failure.details, "tried": tried})
    return replace(first, trouble=replace(first.trouble, failure=failure))


def _what_counts(plan: Plan, answers: Mapping[str, Answer]) -> list[Trouble]:
    """The troubles that fail the conversion."""
    made = {delivery.every for delivery in plan.deliveries if answers[delivery.label].artifact is not None}
    counting = [
        answers[delivery.label] for delivery in plan.deliveries if not delivery.every or delivery.every not in made
    ]
    return [answer.trouble for answer in counting if answer.trouble is not None]


def _first_of(plan: Plan, troubles: Sequence[Trouble]) -> Failure | None:
    """The failure of the first step in the plan's order; results that are too far off come last."""
    order = {step.id: number for number, step in enumerate(plan.steps)}

    def place(trouble: Trouble) -> tuple[bool, int]:
        return trouble.failure.reason == _TOO_FAR_OFF, order[trouble.step.id]

    return min(troubles, key=place).failure if troubles else None


def _result(plan: Plan, delivery: Delivery, answer: Answer, records: Mapping[str, StepRecord]) -> Result:
    trouble = answer.trouble
    # A check that crashed says so in the verification; the artifact is as good as it was.
    is_own = trouble is not None and (answer.artifact is None or trouble.failure.reason == _TOO_FAR_OFF)
    attempt = delivery.earlier[0] if trouble is not None and delivery.earlier else delivery.attempt
    return Result(
        delivery.label,
        answer.artifact,
        answer.verification,
        trouble.failure if trouble is not None and is_own else None,
        plan.made_with(attempt.step),
        _differences(delivery, records),
    )


def _differences(delivery: Delivery, records: Mapping[str, StepRecord]) -> Mapping[str, Mapping[str, Any]]:
    if not delivery.contrast:
        return {}
    found: Mapping[str, Mapping[str, Any]] = (
        records[delivery.contrast].facts.get("differences", {}).get(delivery.label, {})
    )
    return found


def _verification(
    plan: Plan, attempt: Attempt, records: Mapping[str, StepRecord]
) -> tuple[Verification, Trouble | None]:
    """The check of a result, and why it could not be finished."""
    if not attempt.comparison:
        return Verification(VerificationState.SKIPPED, attempt.unverified), None
    record = records[attempt.comparison]
    if record.state is not StepState.SUCCEEDED:
        crash = _first_trouble(plan, attempt.comparison, records)
        reason = crash.failure.message if crash else "the check was not run"
        return Verification(VerificationState.FAILED, reason), crash
    facts = record.facts
    if facts.get("skipped"):
        return Verification(VerificationState.SKIPPED, str(facts["skipped"])), None
    state = VerificationState.PASSED if facts["passed"] else VerificationState.FAILED
    return Verification(state, "", facts["outputs"], facts["tolerance"]), None


def _verification_failure(label: str, verification: Verification) -> Failure | None:
    """The failure of a result that was compared and is too far off; a check that crashed has its step's failure."""
    if verification.state is not VerificationState.FAILED or not verification.outputs:
        return None
    off = [str(output["output"]) for output in verification.outputs if not output["passed"]]
    return Failure(
        _TOO_FAR_OFF,
        f"{label} differs from the source by more than {verification.tolerance:g} of the range in: {', '.join(off)}. "
        "The report has the numbers; allow more with --tolerance only if you know why.",
        Fault.TOOL,
        {"label": label, "outputs": off, "tolerance": verification.tolerance},
    )


def _first_trouble(plan: Plan, step_id: str, records: Mapping[str, StepRecord]) -> Trouble | None:
    """The failure of a step, or of the first step before it that failed."""
    for step in steps_up_to(plan, step_id):
        failure = records[step.id].failure
        if failure is not None:
            return Trouble(failure, step)
    return None


def steps_up_to(plan: Plan, step_id: str) -> list[PlannedStep]:
    """A step and all that it needs, in the plan's order."""
    needed = {step_id}
    for step in reversed(plan.steps):
        if step.id in needed:
            needed.update(step.inputs.values())
    return [step for step in plan.steps if step.id in needed]
