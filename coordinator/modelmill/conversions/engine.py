"""The durable engine: a conversion that was begun is finished, whatever happens to this process.

DBOS keeps, in its own SQLite file, which conversions run and what each checkpoint of theirs gave. After a crash
it calls the body of every unfinished conversion again, and checkpoints that were reached return what they gave before.
What DBOS calls a workflow is one conversion, what it calls a step is one checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from dbos import DBOS, DBOSConfig, SetWorkflowID, StepReservation
from dbos import DBOSPortableJSONSerializer as JSONSerializer

from modelmill.conversions.database import full_disk_named, open_database

#: Changes when a conversion that was begun under older code could not be continued; DBOS then leaves it alone.
_FLOW_VERSION = "1"
_ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

#: What a checkpoint gives: a JSON value.
Outcome = dict[str, Any]


class Checkpoint:
    """A place in a conversion's body whose outcome is kept. Reserve them in the same order in every run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._reservation: StepReservation = DBOS.reserve_step()

    async def reach(self, work: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
        """What the work gave when it was first done; does it now if it never was."""

        async def step() -> Outcome:  # DBOS takes a plain function that returns a coroutine for a blocking one
            return await work()

        return await self._reservation.run_async({"name": self._name}, step)


class Body(Protocol):
    """What a conversion does."""

    async def __call__(self, conversion_id: str, checkpoint: Callable[[str], Checkpoint]) -> None:
        """Run a conversion; may be called again for one that was interrupted."""


class Engine:
    """DBOS for one coordinator. One may live in a process at a time."""

    def __init__(self, database: Path, body: Body) -> None:
        self._url = f"sqlite:///{database}"
        self._database = open_database(database)
        self._body = body
        self._running: set[asyncio.Task[Any]] = set()

    def launch(self) -> None:
        """Begin, and continue what was interrupted.

        Call it on the event loop on which conversions are to run: called elsewhere, DBOS continues them on
        a loop of its own, where the coordinator's channels and locks do not work.
        """
        asyncio.get_running_loop()
        config: DBOSConfig = {
            "name": "modelmill",
            "system_database_url": self._url,
            "system_database_engine": self._database,
            "application_version": _FLOW_VERSION,
            "executor_id": "local",
            "serializer": JSONSerializer(),
            "log_level": "ERROR",
            "enable_otlp": False,
        }
        DBOS(config=config)

        @DBOS.workflow(name="convert")
        async def convert(conversion_id: str) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)
            try:
                await self._body(conversion_id, Checkpoint)
            finally:
                self._running.discard(task)

        self._convert = convert
        DBOS.launch()

    async def start(self, conversion_id: str) -> None:
        """Begin a conversion; one that was begun before is left as it is. Raises ModelmillError DISK_FULL."""
        with full_disk_named(self._database), SetWorkflowID(conversion_id):
            await DBOS.start_workflow_async(self._convert, conversion_id)

    async def ended(self, conversion_id: str) -> bool | None:
        """Whether DBOS is done with a conversion; None where it has never seen it."""
        status = await DBOS.get_workflow_status_async(conversion_id)
        return None if status is None else status.status in _ENDED

    async def close(self) -> None:
        """Stop; conversions that run are continued at the next launch.

        DBOS records no outcome for a task that is cancelled: to it, this is a crash.
        """
        running = set(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        # DBOS has made its own threads those of this loop, and ends them; whoever stops after it needs some too.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="coordinator"))
        # It waits for its threads, one of which may still hand something to this loop.
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        self._database.dispose()
