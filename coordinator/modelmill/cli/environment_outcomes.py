"""Work on several environments: told while it goes on, and what became of each at the end."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import click

from modelmill.cli.failures import text_of
from modelmill.cli.output import plain, print_json
from modelmill.cli.tables import seconds, size, table
from modelmill.client import catalog_pb2
from modelmill.errors import Failure
from modelmill.wire import failure_of

_SUMMARY = "It works: "

Work = Generator[tuple[str, catalog_pb2.EnvironmentProgress], None, None]


@dataclass
class Outcome:
    """What became of one environment.

    environment: as it is after the work, where that succeeded.
    failure: why it did not.
    is_left_out: it failed in a way that was to be expected, and that is no error.
    last: what was told last.
    took: seconds.
    """

    name: str
    environment: catalog_pb2.Environment | None = None
    failure: Failure | None = None
    is_left_out: bool = False
    last: str = ""
    took: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def end(self) -> None:
        """Now, as far as is known."""
        self.took = time.monotonic() - self.began


def follow(work: Work, names: Sequence[str]) -> list[Outcome]:
    """Tells progress on standard error, a line for each thing; what became of each, in the order of the names.

    Interrupted, it gives the work up.
    """
    with closing(work):
        return _followed(work, names)


def _followed(work: Work, names: Sequence[str]) -> list[Outcome]:
    outcomes: dict[str, Outcome] = {}
    for name, told in work:
        outcome = outcomes.setdefault(name, Outcome(name))
        outcome.end()
        if told.message:
            outcome.last = told.message.removeprefix(f"{name}: ")
            click.echo(f"{name}: {outcome.last}", err=True)
        if told.HasField("failure"):
            outcome.failure = failure_of(told.failure)
            click.echo(f"{name}: failed: {outcome.failure.reason}", err=True)
        elif told.HasField("environment"):
            outcome.environment = told.environment
    return [outcomes[name] for name in names]


def tell(outcomes: Sequence[Outcome], done: str, as_json: bool) -> None:
    """The outcomes as a table and each failure in full, or all as JSON; exits with 1 where one failed.

    done: what an environment is called that succeeded, such as "installed".
    """
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    if as_json:
        _print_json(outcomes)
    else:
        click.echo(_table(outcomes, done))
        for outcome in failed:
            assert outcome.failure is not None
            if outcome.is_left_out:
                click.echo(f"left out: {outcome.failure.message}", err=True)
            else:
                click.echo(text_of(outcome.failure), err=True)
    if any(not outcome.is_left_out for outcome in failed):
        raise click.exceptions.Exit(1)


def _table(outcomes: Sequence[Outcome], done: str) -> str:
    rows = []
    for outcome in outcomes:
        environment = outcome.environment or catalog_pb2.Environment()
        rows.append(
            (
                outcome.name,
                environment.provides.get("tensorflow", ""),
                done if outcome.failure is None else _state(outcome, outcome.failure),
                seconds(outcome.took),
                size(environment.disk_size) if environment.disk_size else "",
                outcome.last.removeprefix(_SUMMARY) if outcome.last.startswith(_SUMMARY) else "",
            )
        )
    return table(("environment", "TensorFlow", "result", "seconds", "on disk", ""), rows) or "There is none."


def _state(outcome: Outcome, failure: Failure) -> str:
    return "left out" if outcome.is_left_out else f"failed: {failure.reason}"


def _print_json(outcomes: Sequence[Outcome]) -> None:
    print_json(
        {
            "environments": [plain(outcome.environment) for outcome in outcomes if outcome.environment is not None],
            "failures": {
                outcome.name: {**outcome.failure.to_json(), "left_out": outcome.is_left_out}
                for outcome in outcomes
                if outcome.failure is not None
            },
            "seconds": {outcome.name: round(outcome.took, 3) for outcome in outcomes},
            "findings": {outcome.name: outcome.last for outcome in outcomes if outcome.last.startswith(_SUMMARY)},
        }
    )
