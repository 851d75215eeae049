"""One step on the host: its folder, its process, and what comes of it."""

import queue
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional

from modelmill_worker import deaths
from modelmill_worker.errors import CANCELLATION, INFRASTRUCTURE, INPUT, TOOL, StepError
from modelmill_worker.plugin_api import Edge
from modelmill_worker.step_folder import InputFile, StepFolder, output_files, read_json, write_json
from modelmill_worker.watch import INTERVAL, Limits, News, Watch
from modelmill_worker.zygote_client import Closed, Ended, Lost, Refused, Started, StepProcess

_NO_PROCESS = Ended(status=0, peak_memory=0)


@dataclass(frozen=True)
class InputTree:
    """One input: its kind and its files."""

    kind: str
    files: List[InputFile]


@dataclass(frozen=True)
class StepOrder:
    """What to run."""

    plugin: str
    edge: Edge
    options: Dict[str, Any]
    inputs: Mapping[str, InputTree]
    limits: Limits


@dataclass(frozen=True)
class StepResult:
    """What a step that succeeded leaves: facts, paths of its files in `StepFolder.output`, seconds and bytes."""

    facts: Dict[str, Any]
    files: List[str]
    run_seconds: float
    peak_memory: int


def prepare(folder: StepFolder, order: StepOrder) -> None:
    """Put all that the step process will find into its folder, just made. Raises StepError INVALID_PATH."""
    for name, tree in order.inputs.items():
        folder.lay_out(name, tree.files)
    inputs = {
        name: {"kind": tree.kind, "files": [file.path for file in tree.files]} for name, tree in order.inputs.items()
    }
    request = {
        "plugin": order.plugin,
        "edge": order.edge.name,
        "options": order.options,
        "inputs": inputs,
        "memory_bytes": order.limits.memory_bytes,
    }
    write_json(folder.request, request)


class StepRun:
    """Follows one step process from its start to its end.

    After `news` is exhausted the process and all that it started are gone, and `result` tells what came of it.
    """

    def __init__(self, folder: StepFolder, order: StepOrder, process: StepProcess) -> None:
        self._folder = folder
        self._process = process
        self._watch = Watch(folder, order.limits)
        self._killed_for: Optional[StepError] = None
        self._ended: Optional[Ended] = None
        self._seconds = 0.0

    def started(self) -> int:
        """Wait until the process runs: its pid.

        Raises StepError: PRELOAD_FAILED, STEP_NOT_STARTED, WORKER_LOST, STEP_CANCELLED.
        """
        cancelled = False
        while True:
            event = self._process.events.get()
            if isinstance(event, Started):
                self._watch.begin()
                if cancelled:
                    self._kill_for(deaths.cancelled())
                return event.pid
            if isinstance(event, Closed):
                cancelled = True
            elif isinstance(event, (Refused, Lost)):
                self._ended = _NO_PROCESS
                error = event.error if isinstance(event, Refused) else deaths.worker_lost()
                raise deaths.cancelled() if cancelled else error

    def news(self) -> Iterator[News]:
        """What the step tells and prints, until it has ended. Ends the step where it passes a limit."""
        while self._ended is None:
            try:
                self._note(self._process.events.get(timeout=INTERVAL))
            except queue.Empty:
                overrun = self._watch.overrun(self._process.pid)
                if overrun is not None and self._killed_for is None:
                    self._kill_for(overrun)
                for item in self._watch.news():
                    yield item
        for item in self._watch.news(final=True):
            yield item

    def result(self) -> StepResult:
        """What the step made. Raises StepError: whatever it died of or said itself, with the end of its log."""
        try:
            return self._result()
        except StepError as error:
            error.log_tail = self._watch.log_tail()
            raise

    def end(self) -> None:
        """Make sure that the process is gone, whatever happened before."""
        if self._ended is None:
            self._kill_for(deaths.cancelled())
            while self._ended is None:
                self._note(self._process.events.get())

    def _result(self) -> StepResult:
        assert self._ended is not None
        if self._killed_for is not None:
            raise self._killed_for
        flooded = self._watch.log_overrun()
        if flooded is not None:
            raise flooded
        report = read_json(self._folder.report / "result.json") or {}
        if self._ended.status == 0 and isinstance(report.get("failure"), dict):
            raise _told(report["failure"])
        if self._ended.status != 0 or not isinstance(report.get("facts"), dict):
            raise deaths.explain(self._ended.status, self._watch.log_tail())
        peak = max(self._ended.peak_memory, self._watch.peak_memory)
        return StepResult(report["facts"], output_files(self._folder.output), self._seconds, peak)

    def _note(self, event: object) -> None:
        if isinstance(event, Ended):
            self._ended = event
            self._seconds = self._watch.seconds()
        elif isinstance(event, (Lost, Refused)):
            self._ended = _NO_PROCESS
            if self._killed_for is None:
                self._killed_for = deaths.worker_lost()
        elif isinstance(event, Closed) and self._killed_for is None:
            self._kill_for(deaths.cancelled())

    def _kill_for(self, error: StepError) -> None:
        self._killed_for = error
        self._process.kill()


def _told(failure: Dict[str, Any]) -> StepError:
    """The failure that a step process reported. Model code may have written it: nothing in it is taken on trust."""
    fault = failure.get("fault")
    return StepError(
        str(failure.get("reason")),
        str(failure.get("message")),
        failure["details"] if isinstance(failure.get("details"), dict) else {},
        fault if fault in (INPUT, TOOL, INFRASTRUCTURE, CANCELLATION) else TOOL,
    )
