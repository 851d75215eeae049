import math
from datetime import UTC, datetime

import pytest
from google.protobuf import json_format
from modelmill.api import conversion_messages as messages
from modelmill.conversions import Conversion, Event, EventKind, StepRecord, StepState
from modelmill.conversions.results import Result, Verification, VerificationState
from modelmill.conversions.state import apply_event
from modelmill.errors import Failure, Fault, ModelmillError
from modelmill.planning import ConversionSpec, Delivery, Plan, PlannedStep, TargetRequest, VerificationRequest
from modelmill.values import Artifact, File, StepLimits
from modelmill_protos.v1 import conversion_pb2

NOW = datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)
ARTIFACT = Artifact("tflite", (File("model.tflite", "ab" * 32, 12),))
SPEC = ConversionSpec(
    source=Artifact("", (File("graph.pb", "cd" * 32, 1 << 40),)),
    targets=(
        TargetRequest("tflite", {"quantization": "dynamic", "levels": [1, 2], "scale": 0.5}, "1.9"),
        TargetRequest("tflite", every_version=True),
    ),
    plugin_options={"freezer": {"outputs": ["prob"]}},
    verification=VerificationRequest(False, 7, ARTIFACT.of_kind("dataset"), 0.0, {"x": (1, 224, 224, 3)}),
    limits=StepLimits(12.5, 1 << 30),
    conversion_deadline=99.0,
    salt="salt",
    ignore_cache=True,
    display_name="pnet",
    version_retries=0,
)


def test_a_specification_survives_the_wire():
    assert messages.spec_of(messages.spec_message(SPEC)) == SPEC


def test_what_a_client_leaves_out_is_as_usual():
    spec = messages.spec_of(conversion_pb2.ConversionSpec())
    assert spec.limits == StepLimits()
    assert spec.conversion_deadline is None
    assert spec.verification == VerificationRequest()
    assert spec.version_retries == 2


def test_a_tolerance_of_zero_is_not_an_unset_one():
    assert messages.spec_of(messages.spec_message(SPEC)).verification.tolerance == 0.0


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"limits": {"step_deadline": "-1s"}}, "INVALID_LIMIT"),
        ({"limits": {"conversion_deadline": "-1s"}}, "INVALID_LIMIT"),
        ({"limits": {"step_memory": -1}}, "INVALID_LIMIT"),
        ({"verification": {"tolerance": -0.1}}, "INVALID_TOLERANCE"),
        ({"verification": {"tolerance": "NaN"}}, "INVALID_TOLERANCE"),
        ({"verification": {"input_shapes": {"x": {"dimensions": [1, -1]}}}}, "INVALID_SHAPE"),
    ],
)
def test_refuses_a_value_that_makes_no_sense(spec, reason):
    with pytest.raises(ModelmillError) as caught:
        messages.spec_of(json_format.ParseDict(spec, conversion_pb2.ConversionSpec()))
    assert caught.value.reason == reason


PLAN = Plan(
    model={"kind": "tf.checkpoint", "producer": 134},
    steps=(
        PlannedStep(
            "freeze", "freezer", "freeze", "tf-1.15", {"model": "source"}, {}, "tf.frozen_graph", "", "why", "1.15.5"
        ),
    ),
    deliveries=(Delivery("tflite", "freeze", unverified="there is no reference"),),
    notes=("a note",),
    round=2,
    story=("tflite: TensorFlow 2.15.1 failed; TensorFlow 2.14.1 did it",),
)
STEP = StepRecord(
    "freeze",
    StepState.SUCCEEDED,
    cached=True,
    start_time=NOW,
    end_time=NOW,
    run_seconds=1.5,
    peak_memory=1 << 33,
    output=ARTIFACT,
    facts={"notes": ["x"]},
    attempts=2,
)
RESULT = Result(
    "tflite",
    ARTIFACT,
    Verification(
        VerificationState.FAILED,
        "",
        [
            {
                "output": "prob",
                "shape": [1, 2],
                "max_abs_error": 1e-3,
                "reference_range": 1.0,
                "rms_relative_error": 1e-4,
                "cosine_similarity": 0.5,
                "passed": False,
            }
        ],
        1e-5,
    ),
    Failure("VERIFICATION_FAILED", "Too far off.", Fault.TOOL),
    "2.14.1",
    {"tflite@1.9.0": {"max_abs_difference": 0.5, "of_range": None, "output": "prob"}},
)
EVENTS = (
    Event(1, NOW, EventKind.STATE_CHANGE, {"state": "RUNNING", "failure": None}),
    Event(2, NOW, EventKind.PLANNED, PLAN.to_json()),
    Event(3, NOW, EventKind.STEP_PROGRESS, {"step_id": "freeze", "fraction": 0.5, "message": "half"}),
    Event(4, NOW, EventKind.STEP_LOG, {"step_id": "freeze", "text": "line\n"}),
    Event(5, NOW, EventKind.STEP_CHANGE, STEP.to_json()),
    Event(6, NOW, EventKind.RESULT, RESULT.to_json()),
    Event(7, NOW, EventKind.STATE_CHANGE, {"state": "FAILED", "failure": RESULT.failure.to_json()}),
)


def test_every_kind_of_event_fills_the_field_of_its_name():
    told = [messages.event_message(event) for event in EVENTS]
    assert [message.WhichOneof("kind") for message in told] == [event.kind.value for event in EVENTS]
    assert {event.kind for event in EVENTS} == set(EventKind)
    assert [message.sequence for message in told] == list(range(1, 8))
    assert told[0].time.ToDatetime(UTC) == NOW
    assert told[3].step_log.text == "line\n"
    assert told[6].state_change.failure.reason == "VERIFICATION_FAILED"


def test_a_conversion_tells_all_that_its_events_made_of_it():
    conversion = Conversion("id", "request", SPEC, NOW)
    for event in EVENTS:
        conversion = apply_event(conversion, event)

    message = messages.conversion_message(conversion)

    assert message.state == conversion_pb2.Conversion.FAILED
    assert message.end_time.ToDatetime(UTC) == NOW
    assert message.plan.steps[0].inputs == {"model": "source"}
    assert message.plan.steps[0].tensorflow == "1.15.5"
    assert list(message.plan.notes) == ["a note", "tflite: TensorFlow 2.15.1 failed; TensorFlow 2.14.1 did it"]
    (result,) = message.results
    assert result.tensorflow == "2.14.1"
    (difference,) = result.differences
    assert (difference.target, difference.max_abs_difference) == ("tflite@1.9.0", 0.5)
    assert math.isnan(difference.of_range)
    step = message.steps[0]
    assert (step.state, step.cached, step.peak_memory, step.attempts) == (
        conversion_pb2.Step.SUCCEEDED,
        True,
        1 << 33,
        2,
    )
    assert step.run_time.ToMilliseconds() == 1500
    result = message.results[0]
    assert (result.target, result.artifact.digest) == ("tflite", ARTIFACT.digest)
    comparison = result.verification.outputs[0]
    assert (comparison.output, list(comparison.shape), comparison.passed) == ("prob", [1, 2], False)
    assert message.failure.reason == "VERIFICATION_FAILED"


def test_a_conversion_that_has_just_been_made_has_no_times_plan_or_failure():
    message = messages.conversion_message(Conversion("id", "request", SPEC, NOW))
    for field in ("start_time", "end_time", "plan", "failure"):
        assert not message.HasField(field)


def test_a_number_that_could_not_be_had_is_nan():
    payload = RESULT.to_json()
    payload["verification"]["outputs"][0]["cosine_similarity"] = None
    told = messages.event_message(Event(1, NOW, EventKind.RESULT, payload))
    assert math.isnan(told.result.verification.outputs[0].cosine_similarity)
