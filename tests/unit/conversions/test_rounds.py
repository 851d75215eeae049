"""A conversion whose steps fail in one version of TensorFlow goes on in the next, killed meanwhile or not."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import farm
import pytest
from modelmill.conversions.catalog import Catalog
from modelmill.conversions.chronicle import Chronicle
from modelmill.conversions.database import open_database
from modelmill.conversions.flow import Flow, Setting
from modelmill.conversions.journal import Journal
from modelmill.conversions.scope import CANCELLED, Scope
from modelmill.conversions.state import Conversion, ConversionState, StepState
from modelmill.conversions.step_runner import StepRun
from modelmill.errors import Failure, Fault, ModelmillError
from modelmill.planning import ConversionSpec, TargetRequest
from modelmill.values import Artifact, File, StepOrder, StepResult, digest_of

SOURCE = Artifact("", (File("model.ckpt.index", "a" * 64, 10),))
FACTS = {"kind": "tf.checkpoint", "producer": 134}
REFUSED = Failure("CONVERTER_REFUSED", "TensorFlow's converter refused the graph: no.", Fault.TOOL)
UNREADABLE = Failure("GRAPH_NOT_READABLE", "This graph cannot be read.", Fault.TOOL)
INVALID = Failure("INVALID_OPTION", "The option does not fit.", Fault.INPUT)
TFLITE = TargetRequest("tflite")


class KilledError(BaseException):
    """The coordinator is gone."""


class Runner:
    """Runs steps without a farm: those of the table fail, the others give a result that depends on what they are given.

    failures: by edge and TensorFlow version. far_off: labels of results whose numbers are wrong. killed_at: the step in
    which the coordinator dies, once.
    """

    def __init__(self, failures: dict[tuple[str, str], Failure], far_off: tuple[str, ...] = (), killed_at: str = ""):
        self.failures, self.far_off, self.killed_at = failures, far_off, killed_at
        self.ran: list[str] = []
        self._kept: dict[str, StepResult] = {}

    async def lookup(self, key: str) -> StepResult | None:
        return self._kept.get(key)

    async def run(self, key: str, order: StepOrder, listener: Any) -> StepRun:
        if key in self._kept:
            return StepRun(self._kept[key], cached=True, attempts=0)
        listener.started()
        await asyncio.sleep(0)
        if order.step_id == self.killed_at:
            self.killed_at = ""
            raise KilledError
        self.ran.append(order.step_id)
        environment = next(item for item in farm.ALL_ENVIRONMENTS if item.name == order.environment)
        failure = self.failures.get((order.edge, environment.tensorflow or ""))
        if failure is not None:
            raise ModelmillError.of(failure)
        made = Artifact(f"made by {order.edge}", (File("file", digest_of(key), 1),))
        self._kept[key] = StepResult(made, self._facts(order), 1.0, 1)
        return StepRun(self._kept[key], cached=False, attempts=1)

    def _facts(self, order: StepOrder) -> dict[str, Any]:
        if order.edge == "inspect":
            return FACTS
        if order.edge == "contrast":
            difference = {"max_abs_difference": 0.5, "of_range": 0.25, "output": "y"}
            names = order.inputs
            return {"differences": {name: {other: difference for other in names if other != name} for name in names}}
        if order.edge == "compare":
            passed = order.step_id.partition(".")[2] not in self.far_off
            return {"passed": passed, "tolerance": 1e-4, "outputs": [{"output": "y", "passed": passed}]}
        return {}


class Checkpoints:
    """The engine's promise: outcomes are kept in the order in which they were reserved, and given again."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[str, Any]] = {}
        self.killed_before_keeping = ""
        self._reserved = 0

    def begin(self) -> None:
        self._reserved = 0

    def __call__(self, name: str) -> "Checkpoint":
        number, self._reserved = self._reserved, self._reserved + 1
        if number in self.kept:
            assert self.kept[number][0] == name, "another run reserved something else here"
        return Checkpoint(self, number, name)


class Checkpoint:
    def __init__(self, all_of_them: Checkpoints, number: int, name: str) -> None:
        self._all, self._number, self._name = all_of_them, number, name

    async def reach(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        if self._number not in self._all.kept:
            outcome = await work()
            if self._name == self._all.killed_before_keeping:
                self._all.killed_before_keeping = ""
                raise KilledError
            self._all.kept[self._number] = (self._name, outcome)
        return self._all.kept[self._number][1]


class Coordinator:
    """One conversion's journal and checkpoints, over any number of lives of the process."""

    def __init__(self, folder: Path, runner: Runner, spec: ConversionSpec) -> None:
        self._runner, self._spec = runner, spec
        self._journal = Journal(open_database(folder / "journal.sqlite"))
        self.checkpoints = Checkpoints()
        self.prepared: list[set[str]] = []
        self.lives = 0

    async def convert(self, scope: Scope | None = None) -> Conversion:
        """The conversion at its end, whatever kills it meanwhile."""
        await self._journal.create("c1", "r1", self._spec)
        while not (conversion := await self._journal.get("c1")).state.ended:
            self.lives += 1
            assert self.lives < 10
            self.checkpoints.begin()
            chronicle = Chronicle(self._journal, "c1")
            catalog = Catalog(farm.WIDE_PLUGINS, farm.ALL_ENVIRONMENTS)
            setting = Setting(conversion, catalog, self._runner, chronicle, scope or Scope(), self.prepared.append)
            try:
                await Flow("c1", self._spec, setting).run(self.checkpoints)
            except KilledError:
                await chronicle.write()
        self.events = [event async for event in self._journal.watch("c1", 1)]
        self._journal.close()
        return conversion


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., tuple[Conversion, Coordinator]]:
    def run(runner: Runner, *targets: TargetRequest, **more: Any) -> tuple[Conversion, Coordinator]:
        coordinator = Coordinator(tmp_path, runner, ConversionSpec(SOURCE, targets or (TFLITE,), **more))
        before = more.pop("before", None)
        return asyncio.run(coordinator.convert(before)), coordinator

    return run


def failing_in(*versions: str, edge: str = "convert", failure: Failure = REFUSED) -> dict[tuple[str, str], Failure]:
    return {(edge, version): failure for version in versions}


def versions_of(conversion: Conversion, edge: str) -> list[str]:
    return [step.tensorflow for step in conversion.plan.steps if step.edge == edge]


# What is tried


def test_a_conversion_that_a_version_refuses_is_made_by_the_next(convert: Callable) -> None:
    runner = Runner(failing_in("2.15.1"))
    conversion, _ = convert(runner)
    assert conversion.state is ConversionState.SUCCEEDED
    (result,) = conversion.results
    assert result["tensorflow"] == "2.21.0"
    assert result["verification"]["state"] == "PASSED"
    assert result["failure"] is None


def test_the_plan_keeps_what_was_tried_and_the_new_steps_follow(convert: Callable) -> None:
    conversion, _ = convert(Runner(failing_in("2.15.1")))
    assert versions_of(conversion, "convert") == ["2.15.1", "2.21.0"]
    assert [step.id for step in conversion.plan.steps if step.edge in ("rewrite", "convert")] == [
        "rewrite.tflite",
        "convert.tflite",
        "rewrite.tflite-2",
        "convert.tflite-2",
    ]
    assert conversion.steps["convert.tflite"].failure == REFUSED
    assert conversion.steps["compare.tflite"].state is StepState.SKIPPED
    assert conversion.steps["compare.tflite-2"].state is StepState.SUCCEEDED
    assert "next after 2.15.1" in conversion.plan.step("convert.tflite-2").reason


def test_what_the_rounds_share_is_run_once(convert: Callable) -> None:
    runner = Runner(failing_in("2.15.1", "2.21.0"))
    convert(runner)
    assert len(runner.ran) == len(set(runner.ran))
    for step_id in ("inspect", "freeze", "sample", "reference"):
        assert runner.ran.count(step_id) == 1
    assert not any(step_id.startswith(("freeze-", "sample-", "reference-")) for step_id in runner.ran)


def test_tells_the_whole_story(convert: Callable) -> None:
    conversion, coordinator = convert(Runner(failing_in("2.15.1", "2.21.0")))
    assert conversion.plan.story == (
        "tflite: TensorFlow 2.15.1 failed with CONVERTER_REFUSED in convert.tflite (TensorFlow's converter "
        "refused the graph: no); TensorFlow 2.21.0 failed with CONVERTER_REFUSED in convert.tflite-2 (TensorFlow's "
        "converter refused the graph: no); TensorFlow 2.16.2 did it",
    )
    told = [event.payload["story"] for event in coordinator.events if event.kind.value == "planned"]
    assert [len(story) for story in told] == [0, 1, 1, 1]
    assert told[1][0].endswith("TensorFlow 2.21.0 is tried next")


def test_lets_the_environments_of_the_next_round_start(convert: Callable) -> None:
    _, coordinator = convert(Runner(failing_in("2.15.1")))
    assert "tf-2.21" in coordinator.prepared[1]


@pytest.mark.parametrize(("retries", "versions"), [(0, 1), (1, 2), (2, 3), (3, 4)])
def test_tries_as_often_as_the_user_allows(convert: Callable, retries: int, versions: int) -> None:
    conversion, _ = convert(Runner(failing_in(*farm.VERSIONS, "2.19.1")), version_retries=retries)
    assert conversion.state is ConversionState.FAILED
    assert len(versions_of(conversion, "convert")) == versions


def test_when_all_fail_the_preferred_versions_failure_counts_and_says_what_was_tried(convert: Callable) -> None:
    conversion, _ = convert(Runner({**failing_in("2.21.0", failure=UNREADABLE), **failing_in("2.15.1", "2.19.1")}))
    assert conversion.failure.reason == "CONVERTER_REFUSED"
    tried = conversion.failure.details["tried"]
    assert [(item["tensorflow"], item["reason"]) for item in tried] == [
        ("2.15.1", "CONVERTER_REFUSED"),
        ("2.21.0", "GRAPH_NOT_READABLE"),
    ]
    (result,) = conversion.results
    assert result["tensorflow"] == "2.15.1"
    assert Failure.from_json(result["failure"]) == conversion.failure


def test_goes_only_where_the_failure_points(convert: Callable) -> None:
    conversion, _ = convert(Runner(failing_in("2.15.1", "2.21.0", failure=UNREADABLE)))
    assert versions_of(conversion, "convert") == ["2.15.1", "2.21.0"], "none is newer than the newest"


def test_what_the_user_must_put_right_is_not_tried_again(convert: Callable) -> None:
    conversion, _ = convert(Runner(failing_in("2.15.1", failure=INVALID)))
    assert versions_of(conversion, "convert") == ["2.15.1"]
    assert conversion.failure == INVALID
    assert conversion.plan.story == ()


def test_a_pinned_version_has_no_next_one(convert: Callable) -> None:
    conversion, _ = convert(Runner(failing_in("2.15.1")), TargetRequest("tflite", tensorflow="2.15.1"))
    assert versions_of(conversion, "convert") == ["2.15.1"]
    assert conversion.failure == REFUSED


def test_a_range_is_not_left(convert: Callable) -> None:
    conversion, _ = convert(Runner(failing_in("2.15.1")), TargetRequest("tflite", tensorflow=">=2.4,<2.16"))
    assert versions_of(conversion, "convert") == ["2.15.1", "2.14.1"]
    assert conversion.state is ConversionState.SUCCEEDED


def test_a_result_with_wrong_numbers_is_made_again(convert: Callable) -> None:
    conversion, _ = convert(Runner({}, far_off=("tflite",)))
    assert conversion.state is ConversionState.SUCCEEDED
    assert versions_of(conversion, "convert") == ["2.15.1", "2.21.0"]
    assert "failed with VERIFICATION_FAILED in convert.tflite" in conversion.plan.story[0]


def test_results_that_are_all_wrong_hand_out_the_first_with_its_numbers(convert: Callable) -> None:
    conversion, _ = convert(Runner({}, far_off=("tflite", "tflite-2", "tflite-3")))
    (result,) = conversion.results
    assert conversion.failure.reason == result["failure"]["reason"] == "VERIFICATION_FAILED"
    assert result["artifact"] == conversion.steps["convert.tflite"].output.to_json()
    assert len(result["failure"]["details"]["tried"]) == 3


def test_a_shared_step_that_fails_is_run_in_another_version_for_all_targets(convert: Callable) -> None:
    conversion, _ = convert(
        Runner(failing_in("1.15.5", edge="freeze", failure=UNREADABLE)), TFLITE, TargetRequest("tfjs")
    )
    assert conversion.state is ConversionState.SUCCEEDED
    assert versions_of(conversion, "freeze") == ["1.15.5", "2.4.4"]
    assert versions_of(conversion, "convert") == ["2.15.1", "2.15.1"], "the converter did nothing wrong"


def test_a_reference_that_cannot_be_run_is_run_in_another_version(convert: Callable) -> None:
    conversion, _ = convert(Runner(failing_in("1.15.5", edge="run-checkpoint", failure=UNREADABLE)))
    assert conversion.state is ConversionState.SUCCEEDED
    assert versions_of(conversion, "run-checkpoint") == ["1.15.5", "2.4.4"]
    assert versions_of(conversion, "convert") == ["2.15.1"]


def test_only_the_target_that_failed_is_made_again(convert: Callable) -> None:
    conversion, _ = convert(Runner(failing_in("2.15.1")), TFLITE, TargetRequest("tfjs"))
    assert conversion.state is ConversionState.SUCCEEDED
    assert len(versions_of(conversion, "export")) == 1
    assert [result["label"] for result in conversion.results] == ["tflite", "tfjs"]


def test_a_conversion_that_was_cancelled_tries_nothing_more(tmp_path: Path) -> None:
    async def cancel() -> Conversion:
        scope = Scope()
        scope.end(CANCELLED)
        return await Coordinator(tmp_path, Runner({}), ConversionSpec(SOURCE, (TFLITE,))).convert(scope)

    assert asyncio.run(cancel()).state is ConversionState.CANCELLED


# Kills


@pytest.mark.parametrize("step_id", ["convert.tflite", "rewrite.tflite-2", "convert.tflite-2", "compare.tflite-2"])
def test_goes_on_after_a_kill_in_a_step_of_any_round(convert: Callable, step_id: str) -> None:
    runner = Runner(failing_in("2.15.1"), killed_at=step_id)
    conversion, coordinator = convert(runner)
    assert coordinator.lives == 2
    assert conversion.state is ConversionState.SUCCEEDED
    assert versions_of(conversion, "convert") == ["2.15.1", "2.21.0"]
    assert sorted(runner.ran) == sorted(set(runner.ran)), "a step that had ended ran again"


@pytest.mark.parametrize(
    "name", ["opening", "convert.tflite", "replanning-2", "convert.tflite-2", "replanning-3", "convert.tflite-3"]
)
def test_goes_on_after_a_kill_between_telling_and_keeping(tmp_path: Path, name: str) -> None:
    runner = Runner(failing_in("2.15.1", "2.21.0"))
    coordinator = Coordinator(tmp_path, runner, ConversionSpec(SOURCE, (TFLITE,)))
    coordinator.checkpoints.killed_before_keeping = name
    conversion = asyncio.run(coordinator.convert())
    assert coordinator.lives == 2
    assert conversion.state is ConversionState.SUCCEEDED
    assert sorted(runner.ran) == sorted(set(runner.ran))
    rounds = [event.payload["round"] for event in coordinator.events if event.kind.value == "planned"]
    assert rounds == [1, 2, 3, 3], "a round was told twice"


# Every version

MATRIX = TargetRequest("tflite", tensorflow=">=2.14,<2.17", every_version=True)
ALL_THREE = ["tflite@2.14.1", "tflite@2.15.1", "tflite@2.16.2"]


def test_every_version_gives_a_result_and_its_differences_from_the_others(convert: Callable) -> None:
    conversion, _ = convert(Runner({}), MATRIX)
    assert conversion.state is ConversionState.SUCCEEDED
    assert [result["label"] for result in conversion.results] == ALL_THREE
    for result in conversion.results:
        assert sorted(result["differences"]) == [label for label in ALL_THREE if label != result["label"]]
        assert result["tensorflow"] == result["label"].partition("@")[2]


def test_a_version_that_fails_is_told_in_its_result_and_not_tried_in_another(convert: Callable) -> None:
    runner = Runner(failing_in("2.15.1"))
    conversion, _ = convert(runner, MATRIX)
    assert (conversion.state, conversion.failure) == (ConversionState.SUCCEEDED, None)
    results = {result["label"]: result for result in conversion.results}
    assert results["tflite@2.15.1"]["failure"]["reason"] == "CONVERTER_REFUSED"
    assert list(results["tflite@2.14.1"]["differences"]) == ["tflite@2.16.2"]
    assert results["tflite@2.15.1"]["differences"] == {}
    assert versions_of(conversion, "convert") == ["2.14.1", "2.15.1", "2.16.2"]


def test_a_version_with_wrong_numbers_keeps_its_result_and_fails_nothing(convert: Callable) -> None:
    conversion, _ = convert(Runner({}, far_off=("tflite@2.15.1",)), MATRIX)
    assert conversion.state is ConversionState.SUCCEEDED
    result = conversion.results[1]
    assert result["failure"]["reason"] == "VERIFICATION_FAILED"
    assert result["artifact"] is not None


def test_a_matrix_without_any_result_fails_with_the_first_failure(convert: Callable) -> None:
    conversion, _ = convert(
        Runner({**failing_in("2.14.1", failure=UNREADABLE), **failing_in("2.15.1", "2.16.2")}), MATRIX
    )
    assert (conversion.state, conversion.failure) == (ConversionState.FAILED, UNREADABLE)
    assert conversion.steps["contrast.tflite"].state is StepState.SKIPPED


def test_one_result_alone_has_nothing_to_be_contrasted_with_and_says_so(convert: Callable) -> None:
    conversion, _ = convert(Runner(failing_in("2.15.1", "2.16.2")), MATRIX)
    assert conversion.state is ConversionState.SUCCEEDED
    assert conversion.steps["contrast.tflite"].state is StepState.SKIPPED
    assert "fewer than two of them gave outputs" in conversion.plan.story[0]


def test_a_contrast_that_fails_fails_nothing_and_says_so(convert: Callable) -> None:
    conversion, _ = convert(Runner(failing_in("", edge="contrast")), MATRIX)
    assert conversion.state is ConversionState.SUCCEEDED
    assert "were not compared with each other" in conversion.plan.story[0]
