"""One planned step: answered from the results that are kept, or run once for all who ask for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from modelmill.artifacts.results import StepResults
from modelmill.conversions.single_flight import Flight, SingleFlight
from modelmill.diagnosis import worth_another_try
from modelmill.errors import ModelmillError
from modelmill.fleet.local import LocalFleet
from modelmill.fleet.worker_client import StepListener
from modelmill.values import StepOrder, StepResult

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StepRun:
    """How a step got its result: from the cache, or in so many attempts."""

    result: StepResult
    cached: bool
    attempts: int


class StepRunner:
    """Runs steps by key. A result is committed before anybody is told of it, so no step runs twice."""

    def __init__(self, fleet: LocalFleet, results: StepResults) -> None:
        self._fleet = fleet
        self._results = results
        self._flights: SingleFlight[StepRun, StepListener] = SingleFlight()

    async def lookup(self, key: str) -> StepResult | None:
        """The result that is kept under a key, if there is one."""
        return await asyncio.to_thread(self._results.lookup, key)

    async def run(self, key: str, order: StepOrder, listener: StepListener) -> StepRun:
        """The result of a step. Cancelling the task ends the step's process, unless somebody else waits for it.

        Raises ModelmillError with the step's failure.
        """
        is_first = False

        async def work(flight: Flight[StepRun, StepListener]) -> StepRun:
            nonlocal is_first
            is_first = True
            kept = await self.lookup(key)
            return await self._run_anew(key, order, flight) if kept is None else StepRun(kept, cached=True, attempts=0)

        # Limits decide whether there is a result: whoever allows more must not fail with whoever allows less.
        run = await self._flights.join(f"{key} {order.limits}", listener, work)
        return run if is_first else replace(run, cached=True, attempts=0)

    async def _run_anew(self, key: str, order: StepOrder, flight: Flight[StepRun, StepListener]) -> StepRun:
        attempt = 1
        while True:
            try:
                result = await self._fleet.run(order, _Audience(flight))
                break
            except ModelmillError as error:
                if not worth_another_try(error.failure, attempt):
                    raise _counted(error, attempt) from error
                log.warning(
                    "step tried again",
                    conversion=order.conversion_id,
                    step=order.step_id,
                    reason=error.reason,
                    attempt=attempt,
                )
                attempt += 1
        await asyncio.to_thread(self._results.commit, key, result)
        return StepRun(result, cached=False, attempts=attempt)


class _Audience:
    """Tells all who wait for a step how it goes, those who came late too."""

    def __init__(self, flight: Flight[StepRun, StepListener]) -> None:
        self._flight = flight

    def waits(self, message: str) -> None:
        self._flight.news = lambda late: late.waits(message)
        for listener in self._flight.listeners:
            listener.waits(message)

    def started(self) -> None:
        self._flight.news = lambda late: late.started()
        for listener in self._flight.listeners:
            listener.started()

    def progressed(self, fraction: float, message: str) -> None:
        for listener in self._flight.listeners:
            listener.progressed(fraction, message)

    def logged(self, text: str) -> None:
        for listener in self._flight.listeners:
            listener.logged(text)


def _counted(error: ModelmillError, attempts: int) -> ModelmillError:
    """The same error; one that was tried more than once says how often."""
    if attempts == 1:
        return error
    failure = error.failure
    details = {**failure.details, "attempts": attempts}
    return ModelmillError.of(replace(failure, message=f"{failure.message} Tried {attempts} times.", details=details))
