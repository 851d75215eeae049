"""The verdict: what the steps of a conversion add up to."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill.conversions.state import ConversionState, StepRecord, StepState
from modelmill.errors import Failure, Fault
from modelmill.planning import Delivery, Plan
from modelmill.values import Artifact


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
    """One target's answer: an artifact and its verification, or a failure."""

    label: str
    artifact: Artifact | None
    verification: Verification | None
    failure: Failure | None

    def to_json(self) -> dict[str, Any]:
        """This result as a JSON object."""
        return {
            "label": self.label,
            "artifact": self.artifact.to_json() if self.artifact else None,
            "verification": self.verification.to_json() if self.verification else None,
            "failure": self.failure.to_json() if self.failure else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """The inverse of `to_json`."""
        return cls(
            label=data["label"],
            artifact=Artifact.from_json(data["artifact"]) if data["artifact"] else None,
            verification=Verification.from_json(data["verification"]) if data["verification"] else None,
            failure=Failure.from_json(data["failure"]) if data["failure"] else None,
        )


@dataclass(frozen=True)
class Conclusion:
    """A conversion's end."""

    state: ConversionState
    results: tuple[Result, ...]
    failure: Failure | None


def conclude(plan: Plan, records: Mapping[str, StepRecord], ended: Failure | None) -> Conclusion:
    """What the steps add up to.

    A conversion succeeds when every target has its artifact and no check of one failed. A check that could not
    be made, and says why, fails nothing. The failure of the conversion is the first one in the plan's order.

    ended: why the conversion was ended before its time, if it was.
    """
    results = tuple(_result(plan, delivery, records) for delivery in plan.deliveries)
    if ended is not None and ended.fault is Fault.CANCELLATION:
        return Conclusion(ConversionState.CANCELLED, results, None)
    failures = [record.failure for step in plan.steps if (record := records[step.id]).failure is not None]
    failures += [result.failure for result in results if result.failure is not None]
    failure = ended or next((failure for failure in failures if failure is not None), None)
    return Conclusion(ConversionState.FAILED if failure else ConversionState.SUCCEEDED, results, failure)


def _result(plan: Plan, delivery: Delivery, records: Mapping[str, StepRecord]) -> Result:
    record = records[delivery.step]
    if record.state is not StepState.SUCCEEDED:
        return Result(delivery.label, None, None, _first_failure(plan, delivery.step, records))
    verification = _verification(plan, delivery, records)
    failure = _verification_failure(delivery.label, verification)
    return Result(delivery.label, record.output, verification, failure)


def _verification(plan: Plan, delivery: Delivery, records: Mapping[str, StepRecord]) -> Verification:
    if not delivery.comparison:
        return Verification(VerificationState.SKIPPED, delivery.unverified)
    record = records[delivery.comparison]
    if record.state is not StepState.SUCCEEDED:
        failure = _first_failure(plan, delivery.comparison, records)
        reason = failure.message if failure else "the check was not run"
        return Verification(VerificationState.FAILED, reason)
    facts = record.facts
    if facts.get("skipped"):
        return Verification(VerificationState.SKIPPED, str(facts["skipped"]))
    state = VerificationState.PASSED if facts["passed"] else VerificationState.FAILED
    return Verification(state, "", facts["outputs"], facts["tolerance"])


def _verification_failure(label: str, verification: Verification) -> Failure | None:
    """The failure of a result that was compared and is too far off; a check that crashed has its step's failure."""
    if verification.state is not VerificationState.FAILED or not verification.outputs:
        return None
    off = [str(output["output"]) for output in verification.outputs if not output["passed"]]
    return Failure(
        "VERIFICATION_FAILED",
        f"{label} differs from the source by more than {verification.tolerance:g} of the range in: {', '.join(off)}. "
        "The report has the numbers; allow more with --tolerance only if you know why.",
        Fault.TOOL,
        {"label": label, "outputs": off, "tolerance": verification.tolerance},
    )


def _first_failure(plan: Plan, step_id: str, records: Mapping[str, StepRecord]) -> Failure | None:
    """The failure of a step, or of the first step before it that failed."""
    needed = {step_id}
    for step in reversed(plan.steps):
        if step.id in needed:
            needed.update(step.inputs.values())
    return next(
        (records[step.id].failure for step in plan.steps if step.id in needed and records[step.id].failure), None
    )
