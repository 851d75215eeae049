"""SQLite as both the journal and the durable engine use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa


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
