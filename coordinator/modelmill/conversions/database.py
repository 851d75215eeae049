"""SQLite as both the journal and the durable engine use it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from modelmill.errors import Fault, ModelmillError

#: Bytes free below which an input/output error of SQLite counts as a full disk.
_LITTLE = 1 << 20


def open_database(path: Path) -> sa.Engine:
    """A SQLite database, made if it is not there.

    With a write-ahead log readers do not wait for writers, and a commit that is not synced outlives the process,
    `kill -9` included. A power cut may take the last commits, never the order or the soundness of what stays:
    a conversion then goes on from an earlier checkpoint. Source: https://www.sqlite.org/wal.html.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # Writers take their turn when a transaction begins, rather than fail when it is about to end.
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


@contextmanager
def full_disk_named(engine: sa.Engine) -> Iterator[None]:
    """Turns what SQLite says of a full disk into DISK_FULL. What was being written is not in the database then."""
    try:
        yield
    except sa.exc.OperationalError as error:
        if not _is_full(error, engine):
            raise
        folder = Path(str(engine.url.database)).parent
        raise ModelmillError(
            "DISK_FULL",
            "The disk of the coordinator's state has no room left: free some space and try again.",
            {"folder": str(folder), "free": shutil.disk_usage(folder).free},
            Fault.INFRASTRUCTURE,
        ) from error


def _is_full(error: sa.exc.OperationalError, engine: sa.Engine) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
    if code == sqlite3.SQLITE_IOERR:  # what it says when its shared memory or its log cannot grow
        return shutil.disk_usage(Path(str(engine.url.database)).parent).free < _LITTLE
    return code == sqlite3.SQLITE_FULL
