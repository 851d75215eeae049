"""A step fails in one version of TensorFlow and the conversion goes on in the next, on a real farm."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import Step, Watch, assert_whole, convert, specification, step_of, tells_of, told_of
from coordinator_process import CoordinatorProcess
from modelmill.client import Client, conversion_pb2
from modelmill.wire import struct_of
from step_processes import await_end

SUCCEEDED, FAILED = conversion_pb2.Conversion.SUCCEEDED, conversion_pb2.Conversion.FAILED
FIRST, SECOND = "picky.test-picky", "picky.test-picky-2"


#: TensorFlow's converter has Softsign for TFLite since a version after 2.15.
SOFTSIGN = """
node {
  name: "x" op: "Placeholder"
  attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "shape" value { shape { dim { size: 1 } dim { size: 16 } } } }
}
node { name: "y" op: "Softsign" input: "x" attr { key: "T" value { type: DT_FLOAT } } }
versions { producer: 1645 }
"""


def picky(*aborts: str, seconds: float = 0.0, retries: int | None = None) -> conversion_pb2.ConversionSpec:
    """A target that TensorFlow 2.15 and 2.16 make, the first preferred, unless they abort."""
    spec = specification("test-picky", options={"aborts": list(aborts), "seconds": seconds})
    if retries is not None:
        spec.version_retries = retries
    return spec


def test_makes_with_the_next_version_what_the_preferred_one_aborts_on(client: Client, frozen: Path):
    conversion = convert(client, frozen, picky("2.15"))

    assert conversion.state == SUCCEEDED
    assert step_of(conversion, FIRST).failure.reason == "STEP_SIGNALLED"
    assert step_of(conversion, SECOND).facts["tensorflow"].startswith("2.16.")
    (result,) = conversion.results
    assert result.tensorflow.startswith("2.16.")
    assert result.artifact.kind == "test.picky"
    (story,) = (note for note in conversion.plan.notes if note.startswith("test-picky: "))
    assert "failed with STEP_SIGNALLED in picky.test-picky" in story
    assert story.endswith(f"TensorFlow {result.tensorflow} did it")


def test_makes_with_a_newer_converter_what_the_preferred_one_has_no_operator_for(client: Client, tmp_path: Path):
    graph = tmp_path / "softsign.pbtxt"
    graph.write_text(SOFTSIGN)
    spec = specification("tflite", verify=True)
    # Spelt with what every version has, it would convert at once.
    spec.plugin_options["rewriter"].CopyFrom(struct_of({"no_rewrite": ["replace_select_operations"]}))
    conversion = convert(client, graph, spec)

    assert conversion.state == SUCCEEDED
    refused = step_of(conversion, "convert.tflite").failure
    assert (refused.reason, list(refused.details["operations"])) == ("UNSUPPORTED_OPERATION", ["Softsign"])
    (result,) = conversion.results
    assert tuple(map(int, result.tensorflow.split("."))) > (2, 16)
    assert result.verification.state == conversion_pb2.Verification.PASSED
    assert any(f"TensorFlow {result.tensorflow} did it" in note for note in conversion.plan.notes)


def test_says_what_was_tried_where_every_version_fails(client: Client, frozen: Path):
    conversion = convert(client, frozen, picky("2.15", "2.16"))

    assert conversion.state == FAILED
    assert conversion.failure.reason == "STEP_SIGNALLED"
    assert "not in TensorFlow 2.15" in conversion.failure.log_tail
    tried = conversion.failure.details["tried"]
    assert [item["tensorflow"].rpartition(".")[0] for item in tried] == ["2.15", "2.16"]
    assert conversion.results[0].tensorflow.startswith("2.15.")


def test_tries_no_other_version_where_the_user_wants_none(client: Client, frozen: Path):
    conversion = convert(client, frozen, picky("2.15", retries=0))

    assert conversion.state == FAILED
    assert [step.id for step in conversion.steps if step.id.startswith("picky")] == [FIRST]


def test_stays_with_the_version_that_was_asked_for(client: Client, frozen: Path):
    spec = picky("2.15")
    spec.targets[0].tensorflow = "2.15"
    conversion = convert(client, frozen, spec)

    assert conversion.state == FAILED
    assert "tried" not in conversion.failure.details


def test_every_version_answers_for_itself(client: Client, frozen: Path):
    spec = picky("2.15")
    spec.targets[0].every_version = True
    conversion = convert(client, frozen, spec)

    assert conversion.state == SUCCEEDED
    failures = {result.tensorflow.rpartition(".")[0]: result.failure.reason for result in conversion.results}
    assert failures == {"2.15": "STEP_SIGNALLED", "2.16": ""}


def test_the_command_shows_the_story_and_the_versions(
    shared_coordinator: CoordinatorProcess, frozen: Path, tmp_path: Path
):
    base = [Path(sys.executable).with_name("modelmill")]
    to = ["--to", 'test-picky:aborts=["2.15"]', "--no-verify", "--server", shared_coordinator.address]

    plan = subprocess.run([*base, "plan", frozen, *to], capture_output=True, text=True, check=True).stdout
    assert "is the one that picky prefers" in plan

    output = ["--output", tmp_path / "out", "--salt", str(tmp_path)]
    run = subprocess.run([*base, "convert", frozen, *to, *output], capture_output=True, text=True, check=True)
    assert "planned 1 more steps" in run.stderr or "planned 2 more steps" in run.stderr
    assert "note: test-picky: TensorFlow 2.15" in run.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["results"][0]["tensorflow"].startswith("2.16.")


# Kills


@pytest.fixture
def farm(doomed_coordinator: CoordinatorProcess) -> Iterator[CoordinatorProcess]:
    yield doomed_coordinator
    if not doomed_coordinator.running:
        doomed_coordinator.start()


def test_goes_on_with_the_second_version_after_a_kill(farm: CoordinatorProcess, frozen: Path):
    with Client(farm.address) as client:
        begun = client.begin(frozen, picky("2.15", seconds=2.0))
        watch = Watch(client, begun.id)
        watch.until(tells_of(SECOND, Step.RUNNING))

        workers = farm.descendants()
        farm.kill()
        await_end(*workers)
        farm.start()

        events = watch.to_end()
        assert client.get_conversion(begun.id).state == SUCCEEDED
        assert_whole(events)
        assert told_of(events, Step.FAILED) == [FIRST], "the version that failed was tried again"
        assert told_of(events, Step.SUCCEEDED).count(SECOND) == 1
