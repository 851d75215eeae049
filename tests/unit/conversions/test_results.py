from modelmill.conversions.results import VerificationState, conclude
from modelmill.conversions.scope import CANCELLED, deadline_passed
from modelmill.conversions.state import ConversionState, StepRecord, StepState
from modelmill.errors import Failure, Fault
from modelmill.planning import Delivery, Plan, PlannedStep
from modelmill.values import Artifact, File

MADE = Artifact("tflite", (File("model.tflite", "a" * 64, 10),))
CRASH = Failure("STEP_SIGNALLED", "It was killed.", Fault.TOOL)
OUTPUT = {"output": "prob", "passed": True}


def step(step_id: str, *needs: str) -> PlannedStep:
    inputs = {f"input{number}": need for number, need in enumerate(needs)}
    return PlannedStep(step_id, "p", "e", "base", inputs, {}, "kind", "", "")


PLAN = Plan(
    {},
    (step("freeze", "source"), step("convert", "freeze"), step("compare", "convert")),
    (Delivery("tflite", "convert", "compare"),),
    (),
)


def succeeded(step_id: str, **facts: object) -> StepRecord:
    return StepRecord(step_id, StepState.SUCCEEDED, output=MADE, facts=facts)


def compared(**facts: object) -> dict[str, StepRecord]:
    given = {"passed": True, "tolerance": 0.001, "outputs": [OUTPUT], **facts}
    return {step.id: step for step in (succeeded("freeze"), succeeded("convert"), succeeded("compare", **given))}


def test_succeeds_when_every_target_is_made_and_near_enough() -> None:
    end = conclude(PLAN, compared(), None)
    assert end.state is ConversionState.SUCCEEDED
    assert end.results[0].artifact == MADE
    assert end.results[0].verification.state is VerificationState.PASSED


def test_fails_when_a_result_is_too_far_off_and_still_hands_it_out() -> None:
    end = conclude(PLAN, compared(passed=False, outputs=[{**OUTPUT, "passed": False}]), None)
    assert end.state is ConversionState.FAILED
    assert end.failure.reason == "VERIFICATION_FAILED"
    assert "prob" in end.failure.message
    assert end.results[0].artifact == MADE


def test_a_check_that_cannot_be_made_fails_nothing_and_says_why() -> None:
    end = conclude(PLAN, compared(skipped="there is no Node"), None)
    assert end.state is ConversionState.SUCCEEDED
    assert end.results[0].verification.state is VerificationState.SKIPPED
    assert end.results[0].verification.reason == "there is no Node"


def test_a_check_that_crashes_fails_the_conversion_with_the_crash() -> None:
    records = {**compared(), "compare": StepRecord("compare", StepState.FAILED, failure=CRASH)}
    end = conclude(PLAN, records, None)
    assert (end.state, end.failure) == (ConversionState.FAILED, CRASH)
    assert end.results[0].verification.state is VerificationState.FAILED


def test_a_target_that_was_not_made_has_the_failure_of_the_step_that_stopped_it() -> None:
    records = {
        "freeze": StepRecord("freeze", StepState.FAILED, failure=CRASH),
        "convert": StepRecord("convert", StepState.SKIPPED),
        "compare": StepRecord("compare", StepState.SKIPPED),
    }
    end = conclude(PLAN, records, None)
    assert (end.state, end.failure) == (ConversionState.FAILED, CRASH)
    assert end.results[0].failure == CRASH
    assert end.results[0].artifact is None


def test_one_target_may_fail_and_the_other_be_made() -> None:
    plan = Plan({}, (step("a", "source"), step("b", "source")), (Delivery("one", "a"), Delivery("two", "b")), ())
    records = {"a": StepRecord("a", StepState.FAILED, failure=CRASH), "b": succeeded("b")}
    end = conclude(plan, records, None)
    assert end.state is ConversionState.FAILED
    assert [result.artifact for result in end.results] == [None, MADE]


def test_cancelling_is_no_failure() -> None:
    end = conclude(PLAN, compared(), CANCELLED)
    assert (end.state, end.failure) == (ConversionState.CANCELLED, None)


def test_a_deadline_that_passed_is_the_failure() -> None:
    end = conclude(PLAN, compared(), deadline_passed(5))
    assert end.state is ConversionState.FAILED
    assert end.failure.reason == "CONVERSION_DEADLINE_EXCEEDED"
