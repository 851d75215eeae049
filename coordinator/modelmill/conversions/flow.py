"""What a conversion does, from its first checkpoint to its last.

    opening     inspect the source, plan, and answer what the cache can answer
    each step   that is left: run it when those that it needs are there; all that can run at once do
    replanning  where a target failed that another version of TensorFlow may do: plan again, then its new steps;
                once for each round
    closing     results, verdict, final state

Every part may be done again after a crash, and says the same again: outcomes are JSON values that the engine
keeps, results are kept under their keys, and the journal takes nothing more once a conversion has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import structlog

from modelmill.conversions.catalog import Catalog
from modelmill.conversions.chronicle import Chronicle, Entry, StepChronicle
from modelmill.conversions.engine import Checkpoint, Outcome
from modelmill.conversions.results import conclude
from modelmill.conversions.rounds import may_go_on, next_round, told
from modelmill.conversions.scope import Scope
from modelmill.conversions.state import Conversion, ConversionState, EventKind, StepRecord, StepState
from modelmill.conversions.step_key import step_key
from modelmill.conversions.step_runner import StepRunner
from modelmill.errors import Failure, Fault, ModelmillError
from modelmill.planning import ConversionSpec, Plan, PlannedStep, plan_conversion, plan_inspection
from modelmill.planning.plan import DATASET, EDITS, GIVEN, SOURCE
from modelmill.values import Artifact, StepOrder, StepResult

log = structlog.get_logger(__name__)

_RUNS: Entry = (EventKind.STATE_CHANGE, {"state": ConversionState.RUNNING.value, "failure": None})


@dataclass(frozen=True)
class Setting:
    """What a flow runs in. `told` is what earlier runs of it have told, `catalog` that of its start."""

    told: Conversion
    catalog: Catalog
    runner: StepRunner
    chronicle: Chronicle
    scope: Scope
    prepare: Callable[[set[str]], None]


class Flow:
    """One conversion's run in this process."""

    def __init__(self, conversion_id: str, spec: ConversionSpec, setting: Setting) -> None:
        self._id = conversion_id
        self._spec = spec
        #: What the inspector is given; afterwards its kind is the one that the inspector found.
        self._source = spec.source.of_kind("")
        self._told = setting.told
        self._catalog = setting.catalog
        self._runner = setting.runner
        self._chronicle = setting.chronicle
        self._scope = setting.scope
        self._prepare = setting.prepare

    async def run(self, checkpoint: Callable[[str], Checkpoint]) -> None:
        """Run to the end; the conversion has ended when this returns."""
        opening = await checkpoint("opening").reach(self._open)
        if opening["failure"] is not None:
            await checkpoint("closing").reach(lambda: self._refuse(Failure.from_json(opening["failure"])))
            return
        plan = Plan.from_json(opening["plan"])
        self._source = self._source.of_kind(plan.model["kind"])
        records = _records_of(opening)
        await self._run_left(plan, records, checkpoint)
        # What decides here is what checkpoints have kept, so that every run reserves the same ones.
        while may_go_on(self._spec, plan, records):
            again = await checkpoint(f"replanning-{plan.round + 1}").reach(partial(self._plan_again, plan, records))
            if again["plan"] is None:
                break
            plan = Plan.from_json(again["plan"])
            records.update(_records_of(again))
            await self._run_left(plan, records, checkpoint)
        await checkpoint("closing").reach(partial(self._close, plan, records))

    async def answer(self) -> bool:
        """End the conversion at once where every step's result is kept; whether that was so.

        Otherwise nothing has run and nothing was told: another flow runs it from the start.
        """
        try:
            step = self._inspection()
            inspection = await self._kept(step, {})
            if inspection is None:
                return False
            plan = self._plan_from(step, inspection)
        except ModelmillError:
            return False  # the flow that runs it meets the same error, and tells it
        records = await self._all_kept(plan, {inspection.id: inspection})
        if len(records) < len(plan.steps):
            return False
        await self._chronicle.write(_RUNS, *_begun(plan, records), *self._conclusion(plan, records))
        return True

    # Opening

    async def _open(self) -> Outcome:
        if self._told.plan is not None:  # a crash came between telling the plan and keeping this checkpoint
            ended = {step_id: record for step_id, record in self._told.steps.items() if record.state.ended}
            return _opened(self._told.plan, ended)
        try:
            plan, inspection = await self._scope.run(self._plan())
        except ModelmillError as error:
            return {"failure": error.failure.to_json(), "plan": None, "records": {}}
        records = await self._all_kept(plan, {inspection.id: inspection})
        return await self._begin(plan, records, records)

    async def _begin(self, plan: Plan, records: Mapping[str, StepRecord], new: Mapping[str, StepRecord]) -> Outcome:
        """Tell a round's plan and which of its steps are answered already; let the environments of the others start."""
        self._prepare({step.environment for step in plan.steps if step.id not in records})
        await self._chronicle.write(*_begun(plan, new))
        return _opened(plan, new)

    async def _plan(self) -> tuple[Plan, StepRecord]:
        if self._told.state is ConversionState.QUEUED:
            await self._chronicle.write(_RUNS)
        step = self._inspection()
        record = await self._run_step(step, {})
        if record.failure is not None:
            raise ModelmillError.of(record.failure)
        return self._plan_from(step, record), record

    def _inspection(self) -> PlannedStep:
        options = self._spec.plugin_options.get("inspector", {})
        return plan_inspection(self._catalog.plugins, self._catalog.environments, options)

    def _plan_from(self, step: PlannedStep, inspection: StepRecord) -> Plan:
        """The plan for what the inspector found, the inspection itself its first step."""
        plan = plan_conversion(self._spec, inspection.facts, self._catalog.plugins, self._catalog.environments)
        self._source = self._source.of_kind(plan.model["kind"])
        return replace(plan, steps=(step, *plan.steps))

    async def _all_kept(self, plan: Plan, ended: Mapping[str, StepRecord]) -> dict[str, StepRecord]:
        """The records of the steps that have ended, and of those that can be answered with results that are kept."""
        records = dict(ended)
        for step in plan.steps:
            kept = await self._kept(step, records)
            if kept is not None:
                records[step.id] = kept
        return records

    async def _kept(self, step: PlannedStep, records: Mapping[str, StepRecord]) -> StepRecord | None:
        """The record of a step whose inputs are all known and whose result is kept already."""
        inputs = self._inputs(step, records)
        if step.id in records or inputs is None or len(inputs) < len(step.inputs):
            return None
        result = await self._runner.lookup(self._key(step, inputs))
        return None if result is None else _succeeded(step.id, result, cached=True)

    # Later rounds

    async def _plan_again(self, plan: Plan, records: Mapping[str, StepRecord]) -> Outcome:
        """The next round's plan; none where no other version is left, or the conversion was ended."""
        before = self._told.plan
        if before is not None and before.round > plan.round:  # a crash came between telling it and keeping this
            new = {step_id: record for step_id, record in self._told.steps.items() if step_id not in records}
            return _opened(before, {step_id: record for step_id, record in new.items() if record.state.ended})
        again = None if self._scope.failure else next_round(self._spec, plan, records, self._catalog)
        if again is None:
            return {"failure": None, "plan": None, "records": {}}
        log.info("conversion planned again", conversion=self._id, round=again.round)
        kept = await self._all_kept(again, records)
        return await self._begin(again, kept, {step_id: kept[step_id] for step_id in kept if step_id not in records})

    # Steps

    async def _run_left(
        self, plan: Plan, records: dict[str, StepRecord], checkpoint: Callable[[str], Checkpoint]
    ) -> None:
        """Run the steps that have no record yet, and add theirs."""
        left = [step for step in plan.steps if step.id not in records]
        reserved = {step.id: checkpoint(step.id) for step in left}
        records.update(await self._run_steps(left, records, reserved))

    async def _run_steps(
        self, steps: list[PlannedStep], done: Mapping[str, StepRecord], reserved: Mapping[str, Checkpoint]
    ) -> dict[str, StepRecord]:
        """Run each step as soon as those that it needs have ended; the records of all."""
        tasks: dict[str, asyncio.Task[StepRecord]] = {}

        async def run(step: PlannedStep) -> StepRecord:
            needed = [source for source in step.inputs.values() if source not in GIVEN]
            records = {source: done[source] if source in done else await tasks[source] for source in needed}
            outcome = await reserved[step.id].reach(lambda: self._run_recorded(step, records))
            return StepRecord.from_json(outcome)

        for step in steps:
            tasks[step.id] = asyncio.create_task(run(step), name=f"{self._id} {step.id}")
        try:
            return {step_id: await task for step_id, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _run_recorded(self, step: PlannedStep, records: Mapping[str, StepRecord]) -> Outcome:
        told = self._told.steps.get(step.id)
        if told is not None and told.state.ended:  # a crash came between telling its end and keeping this checkpoint
            return told.to_json()
        record = await self._run_step(step, records)
        await self._chronicle.write((EventKind.STEP_CHANGE, record.to_json()))
        return record.to_json()

    async def _run_step(self, step: PlannedStep, records: Mapping[str, StepRecord]) -> StepRecord:
        """Run one step, whatever comes of it; failures are values here."""
        inputs = self._inputs(step, records)
        if inputs is None:
            return StepRecord(step.id, StepState.SKIPPED)
        began = datetime.now(UTC)  # of the wait; the process begins when it says so

        def started() -> Entry:
            nonlocal began
            began = datetime.now(UTC)
            running = StepRecord(step.id, StepState.RUNNING, start_time=began)
            return EventKind.STEP_CHANGE, running.to_json()

        order = StepOrder(
            conversion_id=self._id,
            step_id=step.id,
            plugin=step.plugin,
            edge=step.edge,
            environment=step.environment,
            options=step.options,
            inputs=inputs,
            limits=self._spec.limits,
        )
        listener = StepChronicle(self._chronicle, step.id, started)
        try:
            run = await self._scope.run(self._runner.run(self._key(step, inputs), order, listener))
        except ModelmillError as error:
            return self._failed(step, began, error.failure)
        record = _succeeded(step.id, run.result, cached=run.cached)
        return replace(record, start_time=began, end_time=datetime.now(UTC), attempts=run.attempts)

    def _failed(self, step: PlannedStep, began: datetime, failure: Failure) -> StepRecord:
        cancelled = failure.fault is Fault.CANCELLATION
        log.info("step failed", conversion=self._id, step=step.id, reason=failure.reason)
        return StepRecord(
            step.id,
            StepState.CANCELLED if cancelled else StepState.FAILED,
            start_time=began,
            end_time=datetime.now(UTC),
            failure=failure,
            attempts=int(failure.details.get("attempts", 1)),
        )

    def _inputs(self, step: PlannedStep, records: Mapping[str, StepRecord]) -> dict[str, Artifact] | None:
        """The artifacts that a step takes; None where there are not enough of them.

        Most steps need all; one that is partial takes what there is, if that is two at least.
        """
        given = {SOURCE: self._source, DATASET: self._spec.verification.dataset, EDITS: self._spec.edits}
        made = {step_id: record.output for step_id, record in records.items()}
        found = {name: {**made, **given}.get(source) for name, source in step.inputs.items()}
        inputs = {name: item for name, item in found.items() if item is not None}
        enough = 2 if step.partial else len(step.inputs)
        return inputs if len(inputs) >= enough else None

    def _key(self, step: PlannedStep, inputs: Mapping[str, Artifact]) -> str:
        """A conversion that ignores the cache has keys of its own: it shares nothing, and still resumes."""
        salt = f"{self._spec.salt}\n{self._id}" if self._spec.ignore_cache else self._spec.salt
        plugin, environment = self._catalog.plugin(step.plugin), self._catalog.environment(step.environment)
        return step_key(step, plugin, environment, inputs, salt)

    # Closing

    async def _refuse(self, failure: Failure) -> Outcome:
        cancelled = failure.fault is Fault.CANCELLATION
        state = ConversionState.CANCELLED if cancelled else ConversionState.FAILED
        change = {"state": state.value, "failure": None if cancelled else failure.to_json()}
        await self._chronicle.write((EventKind.STATE_CHANGE, change))
        return {}

    async def _close(self, plan: Plan, records: Mapping[str, StepRecord]) -> Outcome:
        await self._chronicle.write(*self._conclusion(plan, records))
        return {}

    def _conclusion(self, plan: Plan, records: Mapping[str, StepRecord]) -> list[Entry]:
        conclusion = conclude(plan, records, self._scope.failure)
        log.info("conversion ended", conversion=self._id, state=conclusion.state.value)
        failure = conclusion.failure.to_json() if conclusion.failure else None
        whole = told(plan, records)
        return [
            *([(EventKind.PLANNED, whole.to_json())] if whole.story else []),
            *((EventKind.RESULT, result.to_json()) for result in conclusion.results),
            (EventKind.STATE_CHANGE, {"state": conclusion.state.value, "failure": failure}),
        ]


def _begun(plan: Plan, records: Mapping[str, StepRecord]) -> list[Entry]:
    """What is told when a plan is made: the plan, and the steps that have ended already."""
    ended = ((EventKind.STEP_CHANGE, record.to_json()) for record in records.values())
    return [(EventKind.PLANNED, plan.to_json()), *ended]


def _opened(plan: Plan, records: Mapping[str, StepRecord]) -> Outcome:
    return {
        "failure": None,
        "plan": plan.to_json(),
        "records": {step_id: record.to_json() for step_id, record in records.items()},
    }


def _records_of(outcome: Outcome) -> dict[str, StepRecord]:
    return {step_id: StepRecord.from_json(record) for step_id, record in outcome["records"].items()}


def _succeeded(step_id: str, result: StepResult, cached: bool) -> StepRecord:
    return StepRecord(
        step_id,
        StepState.SUCCEEDED,
        cached=cached,
        run_seconds=result.run_seconds,
        peak_memory=result.peak_memory,
        output=result.output,
        facts=result.facts,
    )
