from modelmill.cli.summary import explain, summarise
from modelmill.client import conversion_pb2
from modelmill.wire import struct_of

Step, Verification = conversion_pb2.Step, conversion_pb2.Verification


def conversion():
    message = conversion_pb2.Conversion(id="c1", state=conversion_pb2.Conversion.FAILED)
    for number, state in enumerate([Step.SUCCEEDED, Step.SUCCEEDED, Step.FAILED, Step.SKIPPED]):
        message.plan.steps.add(id=f"s{number}", plugin="p", environment="tf-1.15")
        message.steps.add(id=f"s{number}", state=state, cached=number == 0)
    message.plan.notes.append("a note of the plan")
    message.steps[1].run_time.FromMilliseconds(1500)
    message.steps[1].facts.CopyFrom(struct_of({"notes": ["a note of a step"]}))
    message.steps[2].failure.reason = "STEP_SIGNALLED"
    good = message.results.add(target="tflite")
    good.artifact.kind = "tflite"
    good.verification.state = Verification.PASSED
    good.verification.outputs.add(
        output="prob", shape=[1, 2], max_abs_error=1e-5, reference_range=10, cosine_similarity=1, passed=True
    )
    good.verification.outputs.add(output="flat", max_abs_error=0, reference_range=0, passed=True)
    unchecked = message.results.add(target="other")
    unchecked.artifact.kind = "other"
    unchecked.verification.state = Verification.SKIPPED
    unchecked.verification.reason = "there is no Node."
    bad = message.results.add(target="tfjs")
    for failure in (message.failure, bad.failure):
        failure.reason, failure.message, failure.log_tail = "STEP_SIGNALLED", "It died.", "last words\n"
    return message


def test_every_step_and_every_output_has_its_row():
    lines = [line.split() for line in summarise(conversion()).splitlines()]
    assert ["s0", "p", "tf-1.15", "0.00", "yes", "done"] in lines
    assert ["s1", "p", "tf-1.15", "1.50", "no", "done"] in lines
    assert ["s2", "p", "tf-1.15", "0.00", "failed:", "STEP_SIGNALLED"] in lines
    assert ["s3", "p", "tf-1.15", "0.00", "skipped"] in lines
    assert ["tflite", "prob", "1x2", "1e-05", "1e-06", "1.000000", "passed"] in lines
    assert ["tflite", "flat", "scalar", "0", "-", "0.000000", "passed"] in lines


def test_results_of_several_versions_are_compared_pair_by_pair():
    message = conversion_pb2.Conversion(id="c1", state=conversion_pb2.Conversion.SUCCEEDED)
    for one, other in (("tflite@1.9.0", "tflite@2.15.1"), ("tflite@2.15.1", "tflite@1.9.0")):
        message.results.add(target=one).differences.add(target=other, max_abs_difference=0.5, of_range=0.25)
    rows = [line.split() for line in summarise(message).splitlines()]
    assert ["tflite@1.9.0", "tflite@2.15.1", "0.5", "0.25"] in rows
    assert sum("tflite@2.15.1" in row for row in rows) == 1


def test_notes_come_from_plan_steps_and_checks_that_were_not_made():
    text = summarise(conversion())
    for note in ("a note of the plan", "a note of a step", "other was not verified: there is no Node."):
        assert f"note: {note}" in text


def test_changes_that_made_the_model_infer_are_listed():
    message = conversion()
    changes = [
        {"what": "Dropout is gone.", "nodes": ["d1"], "count": 1},
        {"what": "Updates are gone.", "nodes": list("abcd"), "count": 9},
    ]
    message.steps[1].facts.CopyFrom(struct_of({"changes": changes}))
    lines = summarise(message).splitlines()
    assert "change: Dropout is gone. (d1)" in lines
    assert "change: Updates are gone. (a, b, c and 6 more)" in lines


def test_says_which_targets_there_are_and_which_not():
    assert summarise(conversion()).endswith("conversion c1 failed: tflite, other succeeded, tfjs did not")


def test_a_failure_that_ended_it_is_explained_once_with_the_end_of_its_log():
    text = explain(conversion())
    assert text.count("error STEP_SIGNALLED: It died.") == 1
    assert "  | last words" in text
