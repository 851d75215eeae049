"""`modelmill plan`."""

from __future__ import annotations

import click

from modelmill.cli.connection import connected, connection_options
from modelmill.cli.output import plain, print_json
from modelmill.cli.progress import reporting
from modelmill.cli.tables import table
from modelmill.cli.wanted import Wanted, wanted_options
from modelmill.client import conversion_pb2


@click.command("plan")
@wanted_options
@connection_options
def command(wanted: Wanted, server: str | None, as_json: bool) -> None:
    """Show what a conversion of SOURCE would do, and why, without doing it."""
    source = wanted.collect()
    with connected(server) as connection, reporting() as reporter:
        client = connection.client
        spec = wanted.specification(client, reporter.transferred)
        spec.source.CopyFrom(client.upload(source, "", reporter.transferred))
        plan = client.plan_conversion(spec)
    if as_json:
        print_json(plain(plan))
    else:
        click.echo(_text_of(plan))


def _text_of(plan: conversion_pb2.Plan) -> str:
    rows = [
        (step.id, step.plugin, step.environment, step.tensorflow or "-", _inputs(step), step.output)
        for step in plan.steps
    ]
    steps = table(("step", "plug-in", "environment", "TensorFlow", "takes", "makes"), rows)
    reasons = "\n".join(f"{step.id}: {step.reason}" for step in plan.steps if step.reason)
    notes = "\n".join(f"note: {note}" for note in plan.notes)
    return "\n\n".join(part for part in (steps, reasons, notes) if part)


def _inputs(step: conversion_pb2.PlannedStep) -> str:
    return ", ".join(sorted(set(step.inputs.values())))
