"""Rounds: a target that failed in one version of TensorFlow is planned again for the next one.

What was tried, and what came of it, is in the plan and in the steps' records; everything here is a function of those.
"""

from __future__ import annotations

from collections.abc import Mapping

from modelmill.conversions.catalog import Catalog
from modelmill.conversions.results import Answer, Trouble, answer_of, steps_up_to
from modelmill.conversions.state import StepRecord, StepState
from modelmill.diagnosis import other_version
from modelmill.planning import Attempt, ConversionSpec, Delivery, Plan, Tried, plan_again

#: Characters of a failure's message that a sentence of the story repeats.
_MOST_TOLD = 200

Records = Mapping[str, StepRecord]
#: By a plug-in's name and its edge's, the versions in which that failed.
TriedByEdge = dict[tuple[str, str], tuple[Tried, ...]]


def may_go_on(spec: ConversionSpec, plan: Plan, records: Records) -> bool:
    """Whether a target has failed that may be tried again."""
    return any(
        _has_tries_left(spec, delivery) and answer_of(plan, delivery.label, delivery.attempt, records).trouble
        for delivery in plan.deliveries
    )


def next_round(spec: ConversionSpec, plan: Plan, records: Records, catalog: Catalog) -> Plan | None:
    """The plan with other versions for the targets that failed and may do better there; None where there are none."""
    tried = {
        delivery.label: found
        for delivery in plan.deliveries
        if _has_tries_left(spec, delivery) and (found := _tried(plan, delivery, records))
    }
    again = plan_again(spec, plan, tried, catalog.plugins, catalog.environments) if tried else None
    return told(again, records) if again else None


def told(plan: Plan, records: Records) -> Plan:
    """The plan with the story of its rounds so far."""
    story = [_story_of(plan, delivery, records) for delivery in plan.deliveries if delivery.earlier]
    return Plan(plan.model, plan.steps, plan.deliveries, plan.notes, plan.round, (*story, *_contrasts(plan, records)))


def _has_tries_left(spec: ConversionSpec, delivery: Delivery) -> bool:
    return not delivery.every and len(delivery.earlier) < spec.version_retries


def _tried(plan: Plan, delivery: Delivery, records: Records) -> TriedByEdge:
    """The versions in which each edge has failed for a target; empty where its last failure is no version's doing."""
    tried: TriedByEdge = {}
    for attempt in (*delivery.earlier, delivery.attempt):
        trouble = answer_of(plan, delivery.label, attempt, records).trouble
        direction = other_version(trouble.failure) if trouble else None
        if trouble is None or direction is None or not trouble.step.tensorflow:
            return {}
        name = (trouble.step.plugin, trouble.step.edge)
        tried[name] = (*tried.get(name, ()), Tried(trouble.step.tensorflow, direction))
    return tried


# The story


def _story_of(plan: Plan, delivery: Delivery, records: Records) -> str:
    """Such as "tflite: TensorFlow 2.15.1 failed with ... in convert.tflite (...); TensorFlow 2.14.1 did it"."""
    parts: list[str] = []
    blamed: Trouble | None = None
    for attempt in delivery.earlier:
        blamed = answer_of(plan, delivery.label, attempt, records).trouble or blamed
        parts.append(_failed(blamed) if blamed else "an attempt failed")
    parts.append(_last(plan, delivery, blamed, records))
    return f"{delivery.label}: {'; '.join(parts)}"


def _last(plan: Plan, delivery: Delivery, blamed: Trouble | None, records: Records) -> str:
    """What the attempt that is made now has come to."""
    version = _version_of(plan, delivery.attempt, blamed)
    ends = [records.get(step_id) for step_id in (delivery.step, delivery.comparison) if step_id]
    if not all(record is not None and record.state.ended for record in ends):
        return f"TensorFlow {version} is tried next"
    answer: Answer = answer_of(plan, delivery.label, delivery.attempt, records)
    if answer.trouble is not None:
        return _failed(answer.trouble)
    return f"TensorFlow {version} did it" if answer.artifact else f"TensorFlow {version} was not run to its end"


def _version_of(plan: Plan, attempt: Attempt, blamed: Trouble | None) -> str:
    """The version that an attempt runs the step in that failed before."""
    steps = steps_up_to(plan, attempt.comparison or attempt.step)
    for step in reversed(steps):
        if blamed and (step.plugin, step.edge) == (blamed.step.plugin, blamed.step.edge):
            return step.tensorflow
    return plan.step(attempt.step).tensorflow


def _failed(trouble: Trouble) -> str:
    failure, step = trouble.failure, trouble.step
    message = failure.message if len(failure.message) <= _MOST_TOLD else failure.message[:_MOST_TOLD] + " [...]"
    return f"TensorFlow {step.tensorflow} failed with {failure.reason} in {step.id} ({message.rstrip('.')})"


def _contrasts(plan: Plan, records: Records) -> list[str]:
    """Why versions could not be compared with each other, which fails nothing."""
    found: dict[str, str] = {}
    for delivery in plan.deliveries:
        record = records.get(delivery.contrast)
        if record is None or record.state in (StepState.SUCCEEDED, StepState.QUEUED, StepState.RUNNING):
            continue
        why = record.failure.message if record.failure else "fewer than two of them gave outputs"
        found[delivery.every] = f"the versions of {delivery.every} were not compared with each other: {why}"
    return list(found.values())
