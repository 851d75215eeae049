"""The local fleet: a worker host for each environment, started when needed, kept warm, let go when idle."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from modelmill.artifacts.store import ArtifactStore
from modelmill.errors import ModelmillError
from modelmill.fleet.code_layer import CodeLayer
from modelmill.fleet.definitions import EnvironmentDefinition
from modelmill.fleet.installation import Environments
from modelmill.fleet.places import Places
from modelmill.fleet.slots import Slots
from modelmill.fleet.worker_client import StepListener
from modelmill.fleet.worker_process import WorkerCommand, WorkerProcess
from modelmill.settings import Settings
from modelmill.values import Availability, Environment, StepOrder, StepResult, WorkerDescription
from modelmill.version_order import version_of

log = structlog.get_logger(__name__)


#: Gives the folder with the workers' code, telling how it is built.
_Code = Callable[[Callable[[str], None]], Awaitable[Path]]


def _ignore(message: str) -> None:
    """Where nobody is there to be told."""


class LocalFleet:
    """Runs steps on this machine. All methods belong to one event loop."""

    def __init__(self, settings: Settings, environments: Environments, code: CodeLayer, store: ArtifactStore) -> None:
        self._settings = settings
        self._environments = environments
        self._code = code
        self._store = store
        self._slots = Slots(settings.slots)
        self._places = Places(settings.workers, self._let_one_go)
        #: Workers without TensorFlow are small, and `base` is needed by every conversion: had it to wait until another
        #: rests, all would wait with it.
        self._small_places = Places(max(1, len(environments.definitions)), self._let_one_go)
        self._starts = asyncio.Semaphore(settings.slots)
        self._seats: dict[str, _Seat] = {}
        self._reaper: asyncio.Task[None] | None = None
        self._description: WorkerDescription | None = None
        self._describing = asyncio.Lock()
        self._code_folder: Path | None = None
        self._choosing_code = asyncio.Lock()
        self._installing = 0
        #: Apart from the loop's own threads, which must be free for what takes a moment.
        self._installers = ThreadPoolExecutor(thread_name_prefix="install")

    @property
    def store(self) -> ArtifactStore:
        """Where the inputs of steps come from and their outputs go to."""
        return self._store

    async def start(self) -> None:
        """Remove what the workers of a killed coordinator left, and begin to let idle workers go."""
        await asyncio.to_thread(shutil.rmtree, self._settings.run, ignore_errors=True)
        self._reaper = asyncio.create_task(self._let_idle_go(), name="idle workers")

    async def close(self) -> None:
        """Stop every worker; running steps end as WORKER_LOST."""
        if self._reaper is not None:
            self._reaper.cancel()
            await asyncio.wait({self._reaper})
        stopped = await asyncio.gather(*(seat.stop() for seat in self._seats.values()), return_exceptions=True)
        for error in filter(None, stopped):
            log.error("worker could not be stopped", exc_info=error)
        await asyncio.to_thread(self._code.close)
        await asyncio.to_thread(self._environments.close)
        self._installers.shutdown(wait=False)

    # Environments

    async def environments(self) -> list[Environment]:
        """Every environment that is defined, and whether this machine can have it; by TensorFlow, oldest first."""
        found = await asyncio.to_thread(
            lambda: [self._environments.status(name) for name in self._environments.definitions]
        )
        return sorted(found, key=lambda environment: (version_of(environment.tensorflow), environment.name))

    async def disk_size(self) -> int:
        """Bytes on disk of all installed environments together: a file that several share counts once."""
        return await asyncio.to_thread(self._environments.disk_size)

    def definition(self, name: str) -> EnvironmentDefinition:
        """An environment as it is defined; KeyError where there is none of that name."""
        return self._environments.definitions[name]

    @property
    def installing(self) -> bool:
        """Whether somebody waits for an environment to be installed."""
        return self._installing > 0

    async def install(self, name: str, progress: Callable[[str], None]) -> Environment:
        """Install an environment; `progress` is called from another thread. Cancelled, nothing of it is left."""
        self._installing += 1
        try:
            with self._environments.tools() as tools:
                loop = asyncio.get_running_loop()
                work = loop.run_in_executor(self._installers, self._environments.ensure, name, progress, tools)
                try:
                    await asyncio.shield(work)
                except asyncio.CancelledError:
                    tools.close()
                    await asyncio.wait({work})  # it clears what it has begun
                    raise
        finally:
            self._installing -= 1
        return await asyncio.to_thread(self._environments.status, name)

    async def remove(self, name: str) -> Environment:
        """Stop an environment's worker and delete its files; ENVIRONMENT_UNKNOWN where there is none."""
        seat = self._seats.get(name)
        if seat is not None:
            await seat.stop()
        await asyncio.to_thread(self._environments.remove, name)
        return await asyncio.to_thread(self._environments.status, name)

    # Plug-ins

    async def describe(self) -> WorkerDescription:
        """The plug-ins of this farm, as a worker without TensorFlow loads them."""
        async with self._describing:
            if self._description is None:
                async with self._lease(await self._plainest()) as worker:
                    told = await worker.client.describe()
                self._description = replace(told, broken=(*self._code.broken, *told.broken))
                for broken in self._description.broken:
                    log.warning("plug-in left out", plugin=broken.name, reason=broken.failure.reason)
            return self._description

    async def _plainest(self) -> str:
        available = [
            environment
            for environment in await self.environments()
            if environment.availability is not Availability.UNAVAILABLE
        ]
        if not available:
            raise ModelmillError(
                "NO_ENVIRONMENT", "No environment can be had on this machine; `modelmill environments list` says why."
            )
        plain = min(
            available,
            key=lambda environment: (
                environment.tensorflow is not None,
                environment.availability is not Availability.INSTALLED,
                len(environment.provides),
            ),
        )
        return plain.name

    # Steps

    def prepare(self, environments: set[str]) -> None:
        """Start workers of installed environments ahead of the steps that will need them, as far as places are free."""
        for name in sorted(environments)[: self._places.free]:
            self._seat(name).warm()

    async def run(self, order: StepOrder, listener: StepListener) -> StepResult:
        """Run one step in its environment.

        Waits for the environment, then for a free slot; that time is not the step's. Cancelling the task ends the
        step process. Raises ModelmillError with the step's failure; WORKER_LOST may be tried again.
        """
        # Installed and started first: an environment that takes minutes must not keep others from a slot.
        async with self._lease(order.environment, listener.waits), self._slots.hold(order.conversion_id) as turn:
            result = await self._run_now(order, listener)
            # Not for the time in which its worker imported TensorFlow, which is every conversion's.
            turn.cost = result.run_seconds
            return result

    async def _run_now(self, order: StepOrder, listener: StepListener) -> StepResult:
        async with self._lease(order.environment, listener.waits) as worker:
            try:
                return await worker.client.run(order, self._store, listener)
            except ModelmillError as error:
                if error.reason == "WORKER_LOST":
                    await self._seat(order.environment).replace_if_gone(worker)
                raise

    @asynccontextmanager
    async def _lease(self, name: str, waits: Callable[[str], None] = _ignore) -> AsyncIterator[WorkerProcess]:
        seat = self._seat(name)
        async with seat.lease(waits) as worker:
            yield worker

    def _seat(self, name: str) -> _Seat:
        if name not in self._seats:
            definition = self._environments.definitions.get(name)
            small = definition is not None and "tensorflow" not in definition.provides
            places = self._small_places if small else self._places
            start = _Start(self._settings, self._environments, self._pinned_code, places, self._starts)
            self._seats[name] = _Seat(name, start)
        return self._seats[name]

    async def _pinned_code(self, progress: Callable[[str], None]) -> Path:
        """The folder with the workers' code, chosen once.

        A plug-in that is edited meanwhile is for the next coordinator: the keys of this one name the old code.
        """
        async with self._choosing_code:
            if self._code_folder is None:
                self._code_folder = await asyncio.to_thread(self._code.ensure, progress)
            return self._code_folder

    async def _let_one_go(self) -> bool:
        """Stop the worker with TensorFlow that has rested longest, if one rests."""
        resting = [seat for seat in self._seats.values() if seat.rests and seat.places is self._places]
        if not resting:
            return False
        await max(resting, key=lambda seat: seat.idle_seconds).stop()
        return True

    async def _let_idle_go(self) -> None:
        while True:
            await asyncio.sleep(min(self._settings.worker_idle_seconds, 5.0))
            for seat in list(self._seats.values()):
                if seat.idle_seconds > self._settings.worker_idle_seconds:
                    await seat.stop()


@dataclass(frozen=True)
class _Start:
    """What it takes to start a worker.

    starts: how many may start at once; an import of TensorFlow takes a core for seconds.
    """

    settings: Settings
    environments: Environments
    code: _Code
    places: Places
    starts: asyncio.Semaphore

    def installed(self, name: str) -> bool:
        """Whether a worker of this environment needs no installation first; looks at the disk."""
        return self.environments.status(name).availability is Availability.INSTALLED

    async def worker(self, name: str, waits: Callable[[str], None]) -> WorkerProcess:
        """A worker that serves, in a place of its own."""
        loop = asyncio.get_running_loop()

        def progress(message: str) -> None:
            loop.call_soon_threadsafe(waits, message)

        # Before it takes a place: an installation may take minutes.
        installed = await asyncio.to_thread(self.environments.ensure, name, progress)
        code = await self.code(progress)
        definition = installed.definition
        command = WorkerCommand(
            environment=definition.name,
            digest=definition.digest,
            provides=definition.provides,
            python=installed.python,
            code=code,
            variables=installed.variables,
            run=self.settings.run,
            concurrency=self.settings.slots,
        )
        await self.places.take()
        try:
            async with self.starts:
                return await WorkerProcess.start(command)
        except BaseException:
            self.places.give_back()
            raise


class _Seat:
    """One environment's worker: none, or one that lives."""

    def __init__(self, name: str, start: _Start) -> None:
        self._name = name
        self._start = start
        self._worker: WorkerProcess | None = None
        self._starting = asyncio.Lock()
        self._leases = 0
        self._last_use = time.monotonic()
        self._warming: asyncio.Task[None] | None = None

    @property
    def places(self) -> Places:
        """Where its worker has a place."""
        return self._start.places

    @property
    def rests(self) -> bool:
        """Whether there is a worker that nobody uses."""
        return self._worker is not None and not self._leases

    @property
    def idle_seconds(self) -> float:
        """How long nobody has used the worker; 0 where there is none or it is in use."""
        return time.monotonic() - self._last_use if self.rests else 0.0

    @asynccontextmanager
    async def lease(self, waits: Callable[[str], None]) -> AsyncIterator[WorkerProcess]:
        """A worker that lives, started if need be, and not let go meanwhile."""
        self._leases += 1
        try:
            yield await self._living(waits)
        finally:
            self._leases -= 1
            self._last_use = time.monotonic()
            self._start.places.rests()

    def warm(self) -> None:
        """Start the worker in the background if its environment is installed; what goes wrong shows in the lease."""
        if self._worker is None and self._warming is None:
            self._warming = asyncio.create_task(self._warm(), name=f"warm {self._name}")

    async def stop(self) -> None:
        """Stop the worker, if there is one."""
        async with self._starting:
            if self._worker is not None:
                await self._end(self._worker)

    async def replace_if_gone(self, worker: WorkerProcess) -> None:
        """Make place for another worker where this one does not answer.

        A host's connection breaks before its end is known here, and a step tried again must not be given to it.
        """
        if await worker.answers():
            return
        async with self._starting:
            if self._worker is worker:
                log.warning("worker was lost", environment=self._name, pid=worker.pid)
                await self._end(worker)

    async def _end(self, worker: WorkerProcess) -> None:
        await worker.stop()
        self._worker = None  # not before: whoever is cancelled meanwhile leaves it to the next
        self._start.places.give_back()

    async def _warm(self) -> None:
        try:
            if await asyncio.to_thread(self._start.installed, self._name):
                with suppress(ModelmillError):
                    async with self.lease(_ignore):
                        pass
        finally:
            self._warming = None

    async def _living(self, waits: Callable[[str], None]) -> WorkerProcess:
        async with self._starting:
            if self._worker is not None and not self._worker.alive:
                log.warning("worker was lost", environment=self._name, pid=self._worker.pid)
                await self._end(self._worker)
            if self._worker is None:
                self._worker = await self._start.worker(self._name, waits)
            return self._worker
