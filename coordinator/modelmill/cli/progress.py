"""What happens, while it happens, on standard error: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from modelmill.cli.tables import seconds, size
from modelmill.client import Transfer, conversion_pb2

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Step = conversion_pb2.Step


class Reporter(Protocol):
    """Is told what happens."""

    def transferred(self, transfer: Transfer) -> None:
        """Files travel; called in the client's thread."""

    def happened(self, event: conversion_pb2.Event) -> None:
        """An event of the conversion."""

    def said(self, message: str) -> None:
        """A sentence."""

    def began(self, what: str) -> None:
        """Something runs that does not tell how far it is."""


@contextmanager
def reporting() -> Iterator[Reporter]:
    """A reporter that fits where standard error goes; bars are gone when the block ends."""
    if not sys.stderr.isatty():
        yield LineReporter()
        return
    bars = BarReporter()
    try:
        yield bars
    finally:
        bars.close()


class LineReporter:
    """A line for each thing that changes."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._environments: dict[str, str] = {}

    def transferred(self, transfer: Transfer) -> None:
        """One line for each transfer, when it is done."""
        if transfer.done >= transfer.total:
            self._say(f"{'uploaded' if transfer.to_farm else 'downloaded'} {size(transfer.total)}")

    def happened(self, event: conversion_pb2.Event) -> None:
        """Plan, steps and what they wait for."""
        kind = event.WhichOneof("kind")
        if kind == "planned":
            self._planned(event.planned)
        elif kind == "step_change":
            self._step(event.step_change)
        elif kind == "step_progress" and event.step_progress.message:
            self._once(event.step_progress.step_id, event.step_progress.message)

    def said(self, message: str) -> None:
        """The sentence."""
        self._say(message)

    def began(self, what: str) -> None:
        """A line that says so."""
        self._say(f"{what} ...")

    def _planned(self, plan: conversion_pb2.Plan) -> None:
        """The steps that are new: a plan goes on where a version of TensorFlow has failed."""
        new = [step for step in plan.steps if step.id not in self._environments]
        more = "more " if self._environments else ""
        self._environments.update({step.id: step.environment for step in new})
        if new:
            self._say(f"planned {len(new)} {more}steps")

    def _step(self, step: conversion_pb2.Step) -> None:
        environment = self._environments.get(step.id, "")
        if step.state == Step.RUNNING:
            self._once(step.id, f"running in {environment}" if environment else "running")
        elif step.state != Step.QUEUED:
            self._once(step.id, describe_step(step))

    def _once(self, step_id: str, text: str) -> None:
        if self._last.get(step_id) != text:
            self._last[step_id] = text
            self._say(f"{step_id}: {text}")

    def _say(self, line: str) -> None:
        click.echo(line, err=True)


class BarReporter:
    """A bar for each step that runs and for files that travel.

    rich is imported when there is something to show: a conversion that the cache answers has ended before that.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def close(self) -> None:
        """Takes the bars away."""
        if self._progress is not None:
            self._progress.stop()

    def transferred(self, transfer: Transfer) -> None:
        """Bytes done of all."""
        name = "upload" if transfer.to_farm else "download"
        self._show(name, transfer.done, transfer.total, f"{size(transfer.done)} of {size(transfer.total)}")
        if transfer.done >= transfer.total:
            self._hide(name)

    def happened(self, event: conversion_pb2.Event) -> None:
        """Steps that begin, progress or end."""
        kind = event.WhichOneof("kind")
        if kind == "step_change":
            step = event.step_change
            if step.state == Step.RUNNING:
                self._show(step.id, None, None, "running")
            elif step.id in self._tasks:
                self._hide(step.id)
        elif kind == "step_progress":
            progress = event.step_progress
            done = progress.fraction if progress.fraction >= 0 else None
            self._show(progress.step_id, done, None if done is None else 1.0, progress.message)

    def began(self, what: str) -> None:
        """A bar that moves until all are taken away."""
        self._show(what, None, None, "")

    def said(self, message: str) -> None:
        """The sentence, above the bars."""
        self._shown().console.print(message, markup=False, highlight=False)

    def _show(self, name: str, done: float | None, total: float | None, message: str) -> None:
        progress = self._shown()
        if name not in self._tasks:
            self._tasks[name] = progress.add_task(name, total=total, message=message)
        progress.update(self._tasks[name], completed=done, total=total, message=message)

    def _hide(self, name: str) -> None:
        self._shown().remove_task(self._tasks.pop(name))

    def _shown(self) -> Progress:
        if self._progress is None:
            self._progress = _new_progress()
            self._progress.start()
        return self._progress


def describe_step(step: conversion_pb2.Step) -> str:
    """What has become of a step, in a few words."""
    if step.state == Step.SUCCEEDED:
        return "from the cache" if step.cached else f"done in {seconds(run_seconds(step))} s"
    if step.state == Step.FAILED:
        return f"failed: {step.failure.reason}"
    return Step.State.Name(step.state).lower()


def run_seconds(step: conversion_pb2.Step) -> float:
    """How long the step process ran."""
    return step.run_time.seconds + step.run_time.nanos / 1e9


def _new_progress() -> Progress:
    rich = importlib.import_module("rich.progress")
    console = importlib.import_module("rich.console").Console(stderr=True)
    progress: Progress = rich.Progress(
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(bar_width=20),
        rich.TimeElapsedColumn(),
        rich.TextColumn("{task.fields[message]}", markup=False),
        console=console,
        transient=True,
    )
    return progress
