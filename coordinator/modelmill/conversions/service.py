"""Conversions as the API offers them: create, get, list, watch, cancel, plan, inspect."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import structlog

from modelmill.artifacts.results import StepResults
from modelmill.artifacts.store import ArtifactStore
from modelmill.conversions.catalog import Catalog
from modelmill.conversions.chronicle import Chronicle
from modelmill.conversions.database import open_database
from modelmill.conversions.engine import Checkpoint, Engine
from modelmill.conversions.flow import Flow, Setting
from modelmill.conversions.journal import Journal
from modelmill.conversions.scope import CANCELLED, Scope, deadline_passed
from modelmill.conversions.state import Conversion, ConversionState, Event, EventKind
from modelmill.conversions.step_key import step_key
from modelmill.conversions.step_runner import StepRunner
from modelmill.errors import Failure, Fault, ModelmillError
from modelmill.fleet.local import LocalFleet
from modelmill.planning import (
    ConversionSpec,
    Plan,
    PlannedStep,
    check_specification,
    further_inspections,
    plan_conversion,
    plan_further_inspection,
    plan_inspection,
)
from modelmill.planning.plan import SOURCE
from modelmill.settings import Settings
from modelmill.values import Artifact, StepLimits, StepOrder

log = structlog.get_logger(__name__)

_INTERRUPTED = Failure(
    "INTERNAL_ERROR",
    "The coordinator met an error of its own and could not continue the conversion; its log has the details. "
    "Start it again.",
    Fault.INFRASTRUCTURE,
)


class Conversions:
    """All conversions of one coordinator. Methods belong to one event loop."""

    def __init__(self, settings: Settings, store: ArtifactStore, fleet: LocalFleet) -> None:
        self._store = store
        self._fleet = fleet
        self._runner = StepRunner(fleet, StepResults(store))
        self._journal = Journal(open_database(settings.state / "journal.sqlite"))
        self._engine = Engine(settings.state / "engine.sqlite", self._run)
        self._scopes: dict[str, Scope] = {}

    @property
    def running(self) -> int:
        """How many conversions run in this process."""
        return len(self._scopes)

    async def start(self) -> None:
        """Continue what was interrupted: DBOS those that it knows, this those that it had not been told of yet."""
        self._engine.launch()
        for conversion_id in await self._journal.unfinished():
            ended = await self._engine.ended(conversion_id)
            if ended is None:
                await self._engine.start(conversion_id)
            elif ended:
                await self._fail(conversion_id, _INTERRUPTED)  # the engine is done with it: a fault of ours

    async def close(self) -> None:
        """Stop; what runs is continued at the next start."""
        await self._engine.close()
        self._journal.close()

    async def create(self, spec: ConversionSpec, request_id: str) -> Conversion:
        """Begin a conversion, or return the one that an equal request began.

        Raises ModelmillError for what can be refused before anything runs: unknown targets and options,
        FILES_MISSING where the source has not been uploaded.
        """
        catalog = await self._check(spec)
        conversion, is_new = await self._journal.create(uuid.uuid4().hex, request_id or uuid.uuid4().hex, spec)
        if is_new:
            log.info("conversion created", conversion=conversion.id, targets=[target.name for target in spec.targets])
            # A conversion that the cache answers whole needs no engine: interrupted, it is simply begun again.
            if not spec.ignore_cache and await self._flow(conversion, catalog, Scope()).answer():
                return await self._journal.get(conversion.id)
            await self._engine.start(conversion.id)
        elif conversion.spec != spec:
            raise ModelmillError(
                "REQUEST_ID_REUSED",
                "This request_id began a conversion that asked for something else; use a new UUID for each conversion.",
                {"request_id": request_id, "conversion": conversion.id},
            )
        return conversion

    async def get(self, conversion_id: str) -> Conversion:
        """A conversion as it is now; CONVERSION_NOT_FOUND where there is none."""
        return await self._journal.get(conversion_id)

    async def page(
        self, state: ConversionState | None, page_size: int, before: int | None
    ) -> tuple[list[Conversion], int | None]:
        """A page of conversions, newest first, and where the next page starts (None at the end)."""
        return await self._journal.page(state, page_size, before)

    def watch(self, conversion_id: str, from_sequence: int) -> AsyncIterator[Event]:
        """Events from a sequence number on, then new ones as they come, until the conversion has ended."""
        return self._journal.watch(conversion_id, from_sequence)

    async def cancel(self, conversion_id: str) -> Conversion:
        """End a conversion's steps at once; one that has ended is returned as it is."""
        conversion = await self._journal.get(conversion_id)
        if conversion.state.ended:
            return conversion
        await self._journal.request_cancel(conversion_id)
        scope = self._scopes.get(conversion_id)
        if scope is not None:
            scope.end(CANCELLED)
        else:  # it has not begun here, or could not be ended
            change = {"state": ConversionState.CANCELLED.value, "failure": None}
            await self._journal.append(conversion_id, [(EventKind.STATE_CHANGE, change)])
        return await self._journal.get(conversion_id)

    async def plan(self, spec: ConversionSpec) -> Plan:
        """What a conversion would do, and why; only the inspection is run."""
        catalog = await self._check(spec)
        options = spec.plugin_options.get("inspector", {})
        step = plan_inspection(catalog.plugins, catalog.environments, options)
        facts = await self._inspect(step, spec.source.of_kind(""), spec.limits, catalog)
        plan = plan_conversion(spec, facts, catalog.plugins, catalog.environments)
        return replace(plan, steps=(step, *plan.steps))

    async def inspect(self, source: Artifact, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a model is, read as data: what recognises it says, and what every further inspection of its kind adds.

        Facts that are there already stay as they are, but for `notes`, which are joined. A further inspection that
        fails costs what it would have added: a note says why.
        """
        self._check_artifact(source)
        catalog = await self.catalog()
        step = plan_inspection(catalog.plugins, catalog.environments, options)
        facts = dict(await self._inspect(step, source.of_kind(""), StepLimits(), catalog))
        recognised = source.of_kind(facts["kind"])
        notes = list(facts.get("notes", []))
        for hop in further_inspections(catalog.plugins, recognised.kind):
            try:
                step = plan_further_inspection(hop, catalog.environments, options)
                more = await self._inspect(step, recognised, StepLimits(), catalog)
            except ModelmillError as error:
                name = f"{hop.plugin.name}'s {hop.edge.name}"
                notes.append(f"What {name} would say is not known: {error} ({error.reason})")
            else:
                notes += [note for note in more.get("notes", []) if note not in notes]
                facts = {**more, **facts}
        return {**facts, "notes": notes}

    async def catalog(self) -> Catalog:
        """The plug-ins and environments of this moment."""
        description, environments = await asyncio.gather(self._fleet.describe(), self._fleet.environments())
        return Catalog(description.plugins, tuple(environments))

    async def _check(self, spec: ConversionSpec) -> Catalog:
        self._check_artifact(spec.source)
        if spec.verification.dataset is not None:
            self._check_artifact(spec.verification.dataset)
        if spec.edits is not None:
            self._check_artifact(spec.edits)
        catalog = await self.catalog()
        check_specification(spec, catalog.plugins)
        return catalog

    def _check_artifact(self, artifact: Artifact) -> None:
        """Refuse an artifact that is no tree of files (INVALID_ARTIFACT) or not all here (FILES_MISSING)."""
        paths = [file.path for file in artifact.files]
        if not paths or len(set(paths)) < len(paths) or any(not _is_inside(path) for path in paths):
            raise ModelmillError(
                "INVALID_ARTIFACT",
                "An artifact needs at least one file, each at a path of its own that is relative and has no '..'.",
                {"paths": paths[:20]},
            )
        missing = set(self._store.missing(file.digest for file in artifact.files))
        if missing:
            files = [file for file in artifact.files if file.digest in missing]
            raise ModelmillError(
                "FILES_MISSING",
                f"{len(files)} of the source's files are not here; upload them and ask again.",
                {"files": [{"path": file.path, "digest": file.digest, "size": file.size} for file in files]},
            )

    async def _inspect(
        self, step: PlannedStep, source: Artifact, limits: StepLimits, catalog: Catalog
    ) -> Mapping[str, Any]:
        inputs = {name: source for name, where in step.inputs.items() if where == SOURCE}
        key = step_key(step, catalog.plugin(step.plugin), catalog.environment(step.environment), inputs, "")
        order = StepOrder("", step.id, step.plugin, step.edge, step.environment, step.options, inputs, limits)
        run = await self._runner.run(key, order, _Nobody())
        return run.result.facts

    async def _run(self, conversion_id: str, checkpoint: Callable[[str], Checkpoint]) -> None:
        """The body that the engine calls, again after a crash."""
        scope = self._scopes[conversion_id] = Scope()
        try:
            conversion = await self._journal.get(conversion_id)
            if conversion.state.ended:
                return
            if await self._journal.cancel_requested(conversion_id):
                scope.end(CANCELLED)
            self._set_deadline(conversion, scope)
            await self._flow(conversion, await self.catalog(), scope).run(checkpoint)
        except ModelmillError as error:  # of the fleet, before there was a step that could fail
            log.warning("conversion could not be run", conversion=conversion_id, reason=error.reason)
            await self._fail(conversion_id, error.failure)
        except Exception:
            log.exception("conversion met an error of ours", conversion=conversion_id)
            await self._fail(conversion_id, _INTERRUPTED)
        finally:
            del self._scopes[conversion_id]

    def _flow(self, conversion: Conversion, catalog: Catalog, scope: Scope) -> Flow:
        setting = Setting(
            told=conversion,
            catalog=catalog,
            runner=self._runner,
            chronicle=Chronicle(self._journal, conversion.id),
            scope=scope,
            prepare=self._fleet.prepare,
        )
        return Flow(conversion.id, conversion.spec, setting)

    def _set_deadline(self, conversion: Conversion, scope: Scope) -> None:
        seconds = conversion.spec.conversion_deadline
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, scope.end, deadline_passed(seconds))

    async def _fail(self, conversion_id: str, failure: Failure) -> None:
        change = {"state": ConversionState.FAILED.value, "failure": failure.to_json()}
        try:
            await self._journal.append(conversion_id, [(EventKind.STATE_CHANGE, change)])
        except ModelmillError as error:
            log.error("end of conversion could not be written", conversion=conversion_id, reason=error.reason)
            self._journal.break_off(conversion_id, error.failure)


class _Nobody:
    """The listener of a step that no conversion is told of."""

    def waits(self, message: str) -> None: ...

    def started(self) -> None: ...

    def progressed(self, fraction: float, message: str) -> None: ...

    def logged(self, text: str) -> None: ...


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts and "\\" not in path and str(pure) == path
