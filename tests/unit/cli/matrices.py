"""Conversions with every version of TensorFlow, made by hand after the public API's contract."""

from modelmill.client import conversion_pb2
from modelmill.wire import struct_of

Step, Verification, Conversion = conversion_pb2.Step, conversion_pb2.Verification, conversion_pb2.Conversion


def add_version(conversion, version, environment="", operators=None, seconds=1.5, size=1000, target="tflite"):
    """A version that is done but for its verification; its result."""
    label = f"{target}@{version}"
    conversion.plan.steps.add(id=f"rewrite.{label}", target=label, output="tf.frozen_graph", environment="base")
    conversion.plan.steps.add(
        id=f"convert.{label}", target=label, output=target, tensorflow=version, environment=environment or "tf-1"
    )
    conversion.plan.steps.add(id=f"run.{label}", target=label, output="dataset", environment="tf-1")
    conversion.plan.steps.add(id=f"compare.{label}", target=label, output="report.verification", environment="base")
    conversion.steps.add(id=f"rewrite.{label}", state=Step.SUCCEEDED)
    step = conversion.steps.add(id=f"convert.{label}", state=Step.SUCCEEDED)
    step.run_time.FromMilliseconds(int(seconds * 1000))
    step.facts.CopyFrom(struct_of({"operators": operators or {"CONV_2D": 2, "PRELU": 1}}))
    step.output.kind = target
    step.output.files.add(path="model.tflite", digest=version, size=size)
    step.output.files.add(path="signature.json", digest="s", size=24)
    result = conversion.results.add(target=label, tensorflow=version)
    result.artifact.CopyFrom(step.output)
    return result


def passes(result, error=1e-7, reference_range=2.0):
    result.verification.state = Verification.PASSED
    result.verification.outputs.add(
        output="prob", max_abs_error=error, reference_range=reference_range, passed=True, cosine_similarity=1
    )
    result.verification.outputs.add(output="flat", max_abs_error=0, reference_range=0, passed=True)


def fails_the_check(result, error):
    passes(result, error)
    result.verification.state = Verification.FAILED
    result.verification.outputs[0].passed = False
    result.failure.reason = "VERIFICATION_FAILED"
    result.failure.message = f"{result.target} differs from the source."


def fails(conversion, version, reason, message, target="tflite"):
    label = f"{target}@{version}"
    conversion.plan.steps.add(
        id=f"convert.{label}", target=label, output=target, tensorflow=version, environment="tf-1.5"
    )
    step = conversion.steps.add(id=f"convert.{label}", state=Step.FAILED)
    step.run_time.FromMilliseconds(250)
    result = conversion.results.add(target=label, tensorflow=version)
    for failure in (step.failure, result.failure):
        failure.reason, failure.message = reason, message
    return result


def differ(one, other, difference, of_range):
    for mine, its in ((one, other), (other, one)):
        mine.differences.add(target=its.target, max_abs_difference=difference, of_range=of_range)


def small():
    """Five versions, one of each fate, not in the order of their versions; and two that were left out."""
    conversion = Conversion(id="c1", state=Conversion.FAILED)
    conversion.spec.display_name = "pnet <b>"
    conversion.plan.steps.add(id="freeze", output="tf.frozen_graph", environment="tf-1.15")
    conversion.steps.add(id="freeze", state=Step.SUCCEEDED)
    newest = add_version(conversion, "2.15.1", "tf-2.15", {"CONV_2D": 2, "PRELU": 1})
    passes(newest, 1e-7)
    ten = add_version(conversion, "1.10.1", "tf-1.10", {"CONV_2D": 2, "PRELU": 1}, seconds=0.02)
    passes(ten, 3e-7)
    nine = add_version(conversion, "1.9.0", "tf-1.9", {"CONV_2D": 2, "RELU": 2, "NEG": 2, "MUL": 1})
    fails_the_check(nine, 0.5)
    fails(conversion, "1.5.0", "UNSUPPORTED_OPERATION", "TOCO does not know <LeakyRelu>.")
    unchecked = add_version(conversion, "2.16.2", "tf-2.16")
    unchecked.verification.state, unchecked.verification.reason = Verification.SKIPPED, "there is no interpreter."
    differ(newest, ten, 4e-7, 2e-7)
    differ(newest, nine, 0.5, 0.25)
    differ(ten, nine, 0.4, 0.2)
    conversion.plan.notes.append("tflite: TensorFlow 1.6.0, 1.7.1 are left out: there is no CPython 3.6: install it.")
    conversion.plan.notes.append("something else")
    return conversion
