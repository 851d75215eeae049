"""The journal: every conversion and every event of it, in order, in one SQL database.

All writes go through one thread, so events get their sequence numbers in the order in which they were
told. A watcher is woken in memory; it reads from the database, so it misses nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from modelmill.conversions.database import full_disk_named
from modelmill.conversions.state import (
    Conversion,
    ConversionState,
    Event,
    EventKind,
    apply_event,
)
from modelmill.errors import Failure, ModelmillError
from modelmill.planning import ConversionSpec

T = TypeVar("T")

_metadata = sa.MetaData()

_conversions = sa.Table(
    "conversions",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("request_id", sa.String(128), nullable=False, unique=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("create_time", sa.String(40), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
)

_events = sa.Table(
    "events",
    _metadata,
    sa.Column("conversion_id", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("time", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
)


class Journal:
    """Conversions and their events. Every method may be called from the coordinator's event loop."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._changed: dict[str, asyncio.Event] = {}
        self._broken_off: dict[str, Failure] = {}
        _metadata.create_all(engine)

    def close(self) -> None:
        """Finish what was written and let the database go."""
        self._writer.shutdown()
        self._engine.dispose()

    async def create(self, conversion_id: str, request_id: str, spec: ConversionSpec) -> tuple[Conversion, bool]:
        """A new conversion, or the one that an equal request made before; and whether it is new."""

        def write(connection: sa.Connection) -> bool:
            row = {
                "id": conversion_id,
                "request_id": request_id,
                "spec": json.dumps(spec.to_json()),
                "create_time": datetime.now(UTC).isoformat(),
                "state": ConversionState.QUEUED.value,
                "cancel_requested": False,
            }
            try:
                with connection.begin_nested():
                    connection.execute(sa.insert(_conversions).values(row))
            except sa.exc.IntegrityError:
                return False
            queued = {"state": ConversionState.QUEUED.value, "failure": None}
            _insert_events(connection, conversion_id, [(EventKind.STATE_CHANGE, queued)])
            return True

        is_new = await self._write(write)
        return await self._by("request_id", request_id), is_new

    async def append(self, conversion_id: str, events: Sequence[tuple[EventKind, dict[str, Any]]]) -> None:
        """Add events, all or none. A conversion that has ended takes no more."""

        def write(connection: sa.Connection) -> None:
            query = sa.select(_conversions.c.state).where(_conversions.c.id == conversion_id)
            if ConversionState(connection.execute(query).scalar_one()).ended:
                return
            _insert_events(connection, conversion_id, events)
            for kind, payload in events:
                if kind is EventKind.STATE_CHANGE:
                    update = sa.update(_conversions).where(_conversions.c.id == conversion_id)
                    connection.execute(update.values(state=payload["state"]))

        await self._write(write)
        self._broken_off.pop(conversion_id, None)
        self._wake(conversion_id)

    def break_off(self, conversion_id: str, failure: Failure) -> None:
        """Let nobody wait for a conversion whose end could not be written; the next start continues it."""
        self._broken_off[conversion_id] = failure
        self._wake(conversion_id)

    async def request_cancel(self, conversion_id: str) -> None:
        """Remember that somebody wants it ended, so that a restarted coordinator ends it too."""
        update = sa.update(_conversions).where(_conversions.c.id == conversion_id).values(cancel_requested=True)
        await self._write(lambda connection: connection.execute(update))

    async def cancel_requested(self, conversion_id: str) -> bool:
        """Whether somebody wants it ended."""
        query = sa.select(_conversions.c.cancel_requested).where(_conversions.c.id == conversion_id)
        return bool(await self._read(lambda connection: connection.execute(query).scalar_one()))

    async def get(self, conversion_id: str) -> Conversion:
        """A conversion as it is now; CONVERSION_NOT_FOUND where there is none."""
        return await self._by("id", conversion_id)

    async def page(
        self, state: ConversionState | None, page_size: int, before: int | None
    ) -> tuple[list[Conversion], int | None]:
        """A page of conversions, newest first, and where the next page starts (None at the end)."""

        def read(connection: sa.Connection) -> tuple[list[Conversion], int | None]:
            query = sa.select(_conversions).order_by(_conversions.c.number.desc()).limit(page_size + 1)
            if state is not None:
                query = query.where(_conversions.c.state == state.value)
            if before is not None:
                query = query.where(_conversions.c.number < before)
            rows = connection.execute(query).all()
            page = [_fold(connection, row) for row in rows[:page_size]]
            return page, rows[page_size - 1].number if len(rows) > page_size else None

        return await self._read(read)

    async def unfinished(self) -> list[str]:
        """The ids of all conversions that have not ended, oldest first."""
        states = [state.value for state in ConversionState if not state.ended]
        query = sa.select(_conversions.c.id).where(_conversions.c.state.in_(states)).order_by(_conversions.c.number)
        return await self._read(lambda connection: list(connection.execute(query).scalars()))

    async def watch(self, conversion_id: str, from_sequence: int) -> AsyncIterator[Event]:
        """Events from a sequence number on, then new ones as they come, until the conversion has ended.

        Raises ModelmillError CONVERSION_NOT_FOUND, and what `break_off` was told.
        """
        await self.get(conversion_id)
        sequence = max(from_sequence, 1)
        while True:
            changed = self._changed.setdefault(conversion_id, asyncio.Event())
            events, ended = await self._events_from(conversion_id, sequence)
            for event in events:
                yield event
                sequence = event.sequence + 1
            if ended:
                return
            if not events:
                if conversion_id in self._broken_off:
                    raise ModelmillError.of(self._broken_off[conversion_id])
                await changed.wait()

    def _wake(self, conversion_id: str) -> None:
        if conversion_id in self._changed:
            self._changed.pop(conversion_id).set()

    async def _events_from(self, conversion_id: str, sequence: int) -> tuple[list[Event], bool]:
        def read(connection: sa.Connection) -> tuple[list[Event], bool]:
            state = sa.select(_conversions.c.state).where(_conversions.c.id == conversion_id)
            ended = ConversionState(connection.execute(state).scalar_one()).ended
            return _read_events(connection, conversion_id, sequence), ended

        return await self._read(read)

    async def _by(self, column: str, value: str) -> Conversion:
        def read(connection: sa.Connection) -> Conversion:
            row = connection.execute(sa.select(_conversions).where(_conversions.c[column] == value)).one_or_none()
            if row is None:
                raise ModelmillError(
                    "CONVERSION_NOT_FOUND",
                    f"There is no conversion {value}; `modelmill conversions list` shows those there are.",
                    {"id": value},
                )
            return _fold(connection, row)

        return await self._read(read)

    async def _read(self, work: Callable[[sa.Connection], T]) -> T:
        def run() -> T:
            with self._engine.connect() as connection:
                return work(connection)

        return await asyncio.to_thread(run)

    async def _write(self, work: Callable[[sa.Connection], T]) -> T:
        def run() -> T:
            with full_disk_named(self._engine), self._engine.begin() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer, run)


def _insert_events(
    connection: sa.Connection, conversion_id: str, events: Sequence[tuple[EventKind, dict[str, Any]]]
) -> None:
    last = sa.select(sa.func.max(_events.c.sequence)).where(_events.c.conversion_id == conversion_id)
    sequence = connection.execute(last).scalar() or 0
    now = datetime.now(UTC).isoformat()
    rows = [
        {
            "conversion_id": conversion_id,
            "sequence": sequence + number,
            "time": now,
            "kind": kind.value,
            "payload": json.dumps(payload),
        }
        for number, (kind, payload) in enumerate(events, 1)
    ]
    connection.execute(sa.insert(_events), rows)


def _read_events(connection: sa.Connection, conversion_id: str, sequence: int) -> list[Event]:
    query = (
        sa.select(_events)
        .where(_events.c.conversion_id == conversion_id, _events.c.sequence >= sequence)
        .order_by(_events.c.sequence)
    )
    return [
        Event(row.sequence, datetime.fromisoformat(row.time), EventKind(row.kind), json.loads(row.payload))
        for row in connection.execute(query)
    ]


def _fold(connection: sa.Connection, row: Any) -> Conversion:
    conversion = Conversion(
        id=row.id,
        request_id=row.request_id,
        spec=ConversionSpec.from_json(json.loads(row.spec)),
        create_time=datetime.fromisoformat(row.create_time),
    )
    for event in _read_events(connection, row.id, 1):
        conversion = apply_event(conversion, event)
    return conversion
