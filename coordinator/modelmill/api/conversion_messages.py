"""Conversions, plans and events as protobuf messages, and requests as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill_protos.v1 import conversion_pb2

from modelmill.conversions import Conversion, Event, EventKind, StepRecord
from modelmill.conversions.results import Result, Verification
from modelmill.errors import Failure, ModelmillError
from modelmill.planning import VERSION_RETRIES, ConversionSpec, Plan, TargetRequest, VerificationRequest
from modelmill.values import StepLimits
from modelmill.wire import artifact_message, artifact_of, failure_message, struct_of, value_of


def spec_of(message: conversion_pb2.ConversionSpec) -> ConversionSpec:
    """A specification from the wire; limits that are not set are the farm's. INVALID_LIMIT for one below zero."""
    conversion_deadline = message.limits.conversion_deadline.ToTimedelta().total_seconds()
    return ConversionSpec(
        source=artifact_of(message.source),
        targets=tuple(_target_request_of(target) for target in message.targets),
        plugin_options={name: value_of(options) for name, options in message.plugin_options.items()},
        verification=_verification_request_of(message.verification),
        limits=_limits_of(message.limits),
        conversion_deadline=conversion_deadline or None,
        salt=message.salt,
        ignore_cache=message.ignore_cache,
        display_name=message.display_name,
        version_retries=message.version_retries if message.HasField("version_retries") else VERSION_RETRIES,
        edits=artifact_of(message.edits).of_kind("graph.edits") if message.HasField("edits") else None,
    )


def _target_request_of(message: conversion_pb2.TargetRequest) -> TargetRequest:
    return TargetRequest(message.name, value_of(message.options), message.tensorflow, message.every_version)


def _limits_of(message: conversion_pb2.Limits) -> StepLimits:
    farm = StepLimits()
    deadline = message.step_deadline.ToTimedelta().total_seconds()
    if deadline < 0 or message.step_memory < 0 or message.conversion_deadline.ToTimedelta().total_seconds() < 0:
        raise ModelmillError("INVALID_LIMIT", "A limit cannot be below zero; leave it out for the farm's own limit.")
    return StepLimits(deadline or farm.deadline_seconds, message.step_memory or farm.memory_bytes, farm.log_bytes)


def _verification_request_of(message: conversion_pb2.VerificationRequest) -> VerificationRequest:
    tolerance = message.tolerance if message.HasField("tolerance") else None
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise ModelmillError("INVALID_TOLERANCE", "A tolerance is a number that is not below zero.")
    return VerificationRequest(
        skip=message.skip,
        seed=message.seed,
        dataset=artifact_of(message.dataset).of_kind("dataset") if message.HasField("dataset") else None,
        tolerance=tolerance,
        input_shapes={name: _shape_of(name, shape) for name, shape in message.input_shapes.items()},
        prove=message.prove,
    )


def _shape_of(name: str, message: conversion_pb2.Shape) -> tuple[int, ...]:
    if any(dimension < 1 for dimension in message.dimensions):
        shape = list(message.dimensions)
        raise ModelmillError(
            "INVALID_SHAPE",
            f"Every dimension of an input's shape is 1 or more; {name} has {shape}.",
            {"input": name, "shape": shape},
        )
    return tuple(message.dimensions)


def spec_message(spec: ConversionSpec) -> conversion_pb2.ConversionSpec:
    """A specification for the wire."""
    verification = spec.verification
    shapes = {name: conversion_pb2.Shape(dimensions=shape) for name, shape in verification.input_shapes.items()}
    return conversion_pb2.ConversionSpec(
        source=artifact_message(spec.source),
        targets=[
            conversion_pb2.TargetRequest(
                name=target.name,
                options=struct_of(target.options),
                tensorflow=target.tensorflow,
                every_version=target.every_version,
            )
            for target in spec.targets
        ],
        plugin_options={name: struct_of(options) for name, options in spec.plugin_options.items()},
        verification=conversion_pb2.VerificationRequest(
            skip=verification.skip,
            seed=verification.seed,
            dataset=artifact_message(verification.dataset) if verification.dataset else None,
            tolerance=verification.tolerance,
            input_shapes=shapes,
            prove=verification.prove,
        ),
        limits=conversion_pb2.Limits(
            step_deadline=_duration(spec.limits.deadline_seconds),
            step_memory=spec.limits.memory_bytes,
            conversion_deadline=_duration(spec.conversion_deadline) if spec.conversion_deadline else None,
        ),
        salt=spec.salt,
        ignore_cache=spec.ignore_cache,
        display_name=spec.display_name,
        version_retries=spec.version_retries,
        edits=artifact_message(spec.edits) if spec.edits else None,
    )


def conversion_message(conversion: Conversion) -> conversion_pb2.Conversion:
    """A conversion for the wire, its steps in the plan's order."""
    order = [step.id for step in conversion.plan.steps] if conversion.plan else []
    ids = [*order, *(step_id for step_id in conversion.steps if step_id not in order)]
    return conversion_pb2.Conversion(
        id=conversion.id,
        request_id=conversion.request_id,
        spec=spec_message(conversion.spec),
        state=conversion_pb2.Conversion.State.Value(conversion.state.value),
        create_time=_timestamp(conversion.create_time),
        start_time=_timestamp(conversion.start_time),
        end_time=_timestamp(conversion.end_time),
        plan=plan_message(conversion.plan) if conversion.plan else None,
        steps=[_step_message(conversion.steps[step_id]) for step_id in ids],
        results=[_result_message(Result.from_json(result)) for result in conversion.results],
        failure=failure_message(conversion.failure) if conversion.failure else None,
    )


def plan_message(plan: Plan) -> conversion_pb2.Plan:
    """A plan for the wire."""
    steps = [
        conversion_pb2.PlannedStep(
            id=step.id,
            plugin=step.plugin,
            edge=step.edge,
            environment=step.environment,
            inputs=step.inputs,
            options=struct_of(step.options),
            output=step.output,
            target=step.target,
            reason=step.reason,
            tensorflow=step.tensorflow,
        )
        for step in plan.steps
    ]
    return conversion_pb2.Plan(model=struct_of(plan.model), steps=steps, notes=(*plan.notes, *plan.story))


def event_message(event: Event) -> conversion_pb2.Event:
    """An event for the wire."""
    message = conversion_pb2.Event(sequence=event.sequence, time=_timestamp(event.time))
    payload = event.payload
    if event.kind is EventKind.STATE_CHANGE:
        message.state_change.CopyFrom(_state_change(payload))
    elif event.kind is EventKind.PLANNED:
        message.planned.CopyFrom(plan_message(Plan.from_json(payload)))
    elif event.kind is EventKind.STEP_CHANGE:
        message.step_change.CopyFrom(_step_message(StepRecord.from_json(payload)))
    elif event.kind is EventKind.STEP_PROGRESS:
        message.step_progress.CopyFrom(conversion_pb2.StepProgress(**payload))
    elif event.kind is EventKind.STEP_LOG:
        message.step_log.CopyFrom(conversion_pb2.StepLog(**payload))
    else:
        message.result.CopyFrom(_result_message(Result.from_json(payload)))
    return message


def _state_change(payload: Mapping[str, Any]) -> conversion_pb2.StateChange:
    failure = payload.get("failure")
    return conversion_pb2.StateChange(
        state=conversion_pb2.Conversion.State.Value(payload["state"]),
        failure=failure_message(Failure.from_json(failure)) if failure else None,
    )


def _step_message(record: StepRecord) -> conversion_pb2.Step:
    return conversion_pb2.Step(
        id=record.id,
        state=conversion_pb2.Step.State.Value(record.state.value),
        cached=record.cached,
        start_time=_timestamp(record.start_time),
        end_time=_timestamp(record.end_time),
        run_time=_duration(record.run_seconds),
        peak_memory=record.peak_memory,
        output=artifact_message(record.output) if record.output else None,
        facts=struct_of(record.facts),
        failure=failure_message(record.failure) if record.failure else None,
        attempts=record.attempts,
    )


def _result_message(result: Result) -> conversion_pb2.Result:
    return conversion_pb2.Result(
        target=result.label,
        artifact=artifact_message(result.artifact) if result.artifact else None,
        verification=_verification_message(result.verification) if result.verification else None,
        failure=failure_message(result.failure) if result.failure else None,
        tensorflow=result.tensorflow,
        differences=[_difference_message(label, told) for label, told in result.differences.items()],
    )


def _difference_message(label: str, difference: Mapping[str, Any]) -> conversion_pb2.VersionDifference:
    """A number that could not be had (NaN, another shape) is NaN on the wire."""
    return conversion_pb2.VersionDifference(
        target=label,
        max_abs_difference=_number(difference["max_abs_difference"]),
        of_range=_number(difference["of_range"]),
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _verification_message(verification: Verification) -> conversion_pb2.Verification:
    return conversion_pb2.Verification(
        state=conversion_pb2.Verification.State.Value(verification.state.value),
        reason=verification.reason,
        outputs=[_comparison_message(output) for output in verification.outputs],
        tolerance=verification.tolerance,
    )


def _comparison_message(output: Mapping[str, Any]) -> conversion_pb2.OutputComparison:
    """A number that could not be had (NaN, another shape) is NaN on the wire."""
    numbers = ("max_abs_error", "reference_range", "rms_relative_error", "cosine_similarity")
    return conversion_pb2.OutputComparison(
        output=output["output"],
        shape=output["shape"],
        passed=output["passed"],
        **{name: _number(output[name]) for name in numbers},
    )


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    message = Timestamp()
    message.FromDatetime(time)
    return message


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
