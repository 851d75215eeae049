"""The public messages of conversions and environments from and to the values below `api`.

What the fleet sends too (artifacts, failures, plug-ins) is in `modelmill.wire`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill_protos.v1 import catalog_pb2, conversion_pb2

from modelmill import wire
from modelmill.conversions import Conversion, ConversionState, Event, EventKind, StepRecord
from modelmill.conversions.results import Result, Verification
from modelmill.errors import Failure, ModelmillError
from modelmill.planning import ConversionSpec, Plan, PlannedStep, TargetRequest, VerificationRequest
from modelmill.values import BrokenPlugin, Environment, StepLimits

# What clients ask for


def spec_of(message: conversion_pb2.ConversionSpec) -> ConversionSpec:
    """A specification from the wire; raises INVALID_LIMIT, INVALID_SHAPE or INVALID_TOLERANCE."""
    return ConversionSpec(
        source=wire.artifact_of(message.source),
        targets=tuple(TargetRequest(target.name, wire.value_of(target.options)) for target in message.targets),
        plugin_options={name: wire.value_of(options) for name, options in message.plugin_options.items()},
        verification=_verification_request_of(message.verification),
        limits=_limits_of(message.limits),
        conversion_deadline=_seconds_of(message.limits, "conversion_deadline"),
        salt=message.salt,
        ignore_cache=message.ignore_cache,
        display_name=message.display_name,
    )


def _verification_request_of(message: conversion_pb2.VerificationRequest) -> VerificationRequest:
    tolerance = message.tolerance if message.HasField("tolerance") else None
    if tolerance is not None and not tolerance >= 0:
        raise _invalid("INVALID_TOLERANCE", "verification.tolerance", "A tolerance is a number that is not negative.")
    return VerificationRequest(
        skip=message.skip,
        seed=message.seed,
        dataset=wire.artifact_of(message.dataset) if message.HasField("dataset") else None,
        tolerance=tolerance,
        input_shapes={name: _shape_of(name, shape) for name, shape in message.input_shapes.items()},
    )


def _shape_of(name: str, message: conversion_pb2.Shape) -> tuple[int, ...]:
    if any(dimension < 1 for dimension in message.dimensions):
        raise _invalid(
            "INVALID_SHAPE", "verification.input_shapes", f"Every dimension of {name}'s shape must be at least 1."
        )
    return tuple(message.dimensions)


def _limits_of(message: conversion_pb2.Limits) -> StepLimits:
    usual = StepLimits()
    if message.step_memory < 0:
        raise _invalid("INVALID_LIMIT", "limits.step_memory", "A memory limit is a number of bytes above 0.")
    return StepLimits(
        deadline_seconds=_seconds_of(message, "step_deadline") or usual.deadline_seconds,
        memory_bytes=message.step_memory or usual.memory_bytes,
        log_bytes=usual.log_bytes,
    )


def _seconds_of(message: conversion_pb2.Limits, field: str) -> float | None:
    """Seconds of a duration; None where it is not set."""
    if not message.HasField(field):  # type: ignore[arg-type]
        return None
    duration: Duration = getattr(message, field)
    seconds = duration.seconds + duration.nanos / 1e9
    if seconds <= 0:
        raise _invalid("INVALID_LIMIT", f"limits.{field}", "A deadline is a time above 0.")
    return seconds


def _invalid(reason: str, field: str, sentence: str) -> ModelmillError:
    return ModelmillError(reason, sentence, {"field": f"spec.{field}"})


# What clients are told


def spec_message(spec: ConversionSpec) -> conversion_pb2.ConversionSpec:
    """A specification for the wire."""
    return conversion_pb2.ConversionSpec(
        source=wire.artifact_message(spec.source),
        targets=[
            conversion_pb2.TargetRequest(name=target.name, options=wire.struct_of(target.options))
            for target in spec.targets
        ],
        plugin_options={name: wire.struct_of(options) for name, options in spec.plugin_options.items()},
        verification=_verification_request_message(spec.verification),
        limits=conversion_pb2.Limits(
            step_deadline=_duration(spec.limits.deadline_seconds),
            step_memory=spec.limits.memory_bytes,
            conversion_deadline=_duration(spec.conversion_deadline),
        ),
        salt=spec.salt,
        ignore_cache=spec.ignore_cache,
        display_name=spec.display_name,
    )


def _verification_request_message(request: VerificationRequest) -> conversion_pb2.VerificationRequest:
    return conversion_pb2.VerificationRequest(
        skip=request.skip,
        seed=request.seed,
        dataset=_optional(wire.artifact_message, request.dataset),
        tolerance=request.tolerance,
        input_shapes={name: conversion_pb2.Shape(dimensions=shape) for name, shape in request.input_shapes.items()},
    )


def conversion_message(conversion: Conversion) -> conversion_pb2.Conversion:
    """A conversion for the wire."""
    return conversion_pb2.Conversion(
        id=conversion.id,
        request_id=conversion.request_id,
        spec=spec_message(conversion.spec),
        state=_state(conversion.state),
        create_time=_timestamp(conversion.create_time),
        start_time=_timestamp(conversion.start_time),
        end_time=_timestamp(conversion.end_time),
        plan=_optional(plan_message, conversion.plan),
        steps=[step_message(step) for step in conversion.steps.values()],
        results=[result_message(Result.from_json(result)) for result in conversion.results],
        failure=_optional(wire.failure_message, conversion.failure),
    )


def plan_message(plan: Plan) -> conversion_pb2.Plan:
    """A plan for the wire."""
    return conversion_pb2.Plan(
        model=wire.struct_of(plan.model), steps=[_planned_step_message(step) for step in plan.steps], notes=plan.notes
    )


def _planned_step_message(step: PlannedStep) -> conversion_pb2.PlannedStep:
    return conversion_pb2.PlannedStep(
        id=step.id,
        plugin=step.plugin,
        edge=step.edge,
        environment=step.environment,
        inputs=dict(step.inputs),
        options=wire.struct_of(step.options),
        output=step.output,
        target=step.target,
        reason=step.reason,
    )


def step_message(step: StepRecord) -> conversion_pb2.Step:
    """What has become of a step, for the wire."""
    return conversion_pb2.Step(
        id=step.id,
        state=conversion_pb2.Step.State.Value(step.state.value),
        cached=step.cached,
        start_time=_timestamp(step.start_time),
        end_time=_timestamp(step.end_time),
        run_time=_duration(step.run_seconds),
        peak_memory=step.peak_memory,
        output=_optional(wire.artifact_message, step.output),
        facts=wire.struct_of(step.facts),
        failure=_optional(wire.failure_message, step.failure),
        attempts=step.attempts,
    )


def result_message(result: Result) -> conversion_pb2.Result:
    """One target's answer for the wire."""
    return conversion_pb2.Result(
        target=result.label,
        artifact=_optional(wire.artifact_message, result.artifact),
        verification=_optional(_verification_message, result.verification),
        failure=_optional(wire.failure_message, result.failure),
    )


def _verification_message(verification: Verification) -> conversion_pb2.Verification:
    return conversion_pb2.Verification(
        state=conversion_pb2.Verification.State.Value(verification.state.value),
        reason=verification.reason,
        outputs=[_comparison_message(output) for output in verification.outputs],
        tolerance=verification.tolerance,
    )


def _comparison_message(output: Mapping[str, Any]) -> conversion_pb2.OutputComparison:
    return conversion_pb2.OutputComparison(
        output=output["output"],
        shape=[int(dimension) for dimension in output["shape"]],
        max_abs_error=output["max_abs_error"],
        reference_range=output["reference_range"],
        rms_relative_error=output["rms_relative_error"],
        cosine_similarity=output["cosine_similarity"],
        passed=output["passed"],
    )


def event_message(event: Event) -> conversion_pb2.Event:
    """An event for the wire."""
    message = conversion_pb2.Event(sequence=event.sequence, time=_timestamp(event.time))
    part = _EVENT_PARTS[event.kind](event.payload)
    getattr(message, event.kind.value).CopyFrom(part)
    return message


def _state_change(payload: Mapping[str, Any]) -> conversion_pb2.StateChange:
    failure = payload.get("failure")
    return conversion_pb2.StateChange(
        state=_state(ConversionState(payload["state"])),
        failure=_optional(wire.failure_message, Failure.from_json(failure) if failure else None),
    )


def _step_progress(payload: Mapping[str, Any]) -> conversion_pb2.StepProgress:
    return conversion_pb2.StepProgress(
        step_id=payload["step_id"], fraction=payload["fraction"], message=payload["message"]
    )


def _step_log(payload: Mapping[str, Any]) -> conversion_pb2.StepLog:
    return conversion_pb2.StepLog(step_id=payload["step_id"], text=payload["text"])


_EVENT_PARTS: Mapping[EventKind, Callable[[Mapping[str, Any]], Any]] = {
    EventKind.STATE_CHANGE: _state_change,
    EventKind.PLANNED: lambda payload: plan_message(Plan.from_json(payload)),
    EventKind.STEP_CHANGE: lambda payload: step_message(StepRecord.from_json(payload)),
    EventKind.STEP_PROGRESS: _step_progress,
    EventKind.STEP_LOG: _step_log,
    EventKind.RESULT: lambda payload: result_message(Result.from_json(payload)),
}


def environment_message(environment: Environment) -> catalog_pb2.Environment:
    """An environment for the wire."""
    return catalog_pb2.Environment(
        name=environment.name,
        summary=environment.summary,
        digest=environment.digest,
        python=environment.python,
        provides=dict(environment.provides),
        state=catalog_pb2.Environment.State.Value(environment.availability.value),
        unavailable_reason=environment.unavailable_reason,
        disk_size=environment.disk_size,
        path=environment.path,
    )


def broken_plugin_message(plugin: BrokenPlugin) -> catalog_pb2.BrokenPlugin:
    """A plug-in that could not be used, for the wire."""
    return catalog_pb2.BrokenPlugin(
        name=plugin.name,
        version=plugin.version,
        distribution=plugin.distribution,
        failure=wire.failure_message(plugin.failure),
    )


def _state(state: ConversionState) -> conversion_pb2.Conversion.State.ValueType:
    return conversion_pb2.Conversion.State.Value(state.value)


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _optional(convert: Callable[[Any], Any], value: Any) -> Any:
    """The converted value; None, which protobuf takes for "not set", where there is none."""
    return None if value is None else convert(value)
