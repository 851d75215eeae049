"""A folder that takes a while to build: built once, whole or absent, by whichever process comes first.

Beside the folder lies a lock file. Who builds or removes holds it alone; who uses the folder shares it, so that
nobody removes what another process works with. In the folder lies a record, written last: a folder without it
is what a killed builder left, and is cleared by the next.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelmill.errors import Fault, ModelmillError

_RECORD = ".complete.json"
_POLL_SECONDS = 0.1
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

#: Builds into the folder, which does not exist yet, and returns the record. It is given the descriptor of the
#: lock, which the programs that it starts must keep open.
Build = Callable[[int], Mapping[str, Any]]


class Hold:
    """A folder is in use as long as this is not released."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """The folder may be removed again; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class BuiltFolder:
    """One such folder.

    witness: a path within it without which it is broken, whatever the record says.
    durable: the record is written when all else is on the disk, so that it can be trusted after the machine stopped.
        Without that, building is quicker and the user of the folder checks what is in it.
    """

    def __init__(self, path: Path, witness: str, durable: bool = True) -> None:
        self.path = path
        self._durable = durable
        self._witness = path / witness
        self._record = path / _RECORD
        self._lock = path.with_name(path.name + ".lock")

    def record(self) -> Mapping[str, Any] | None:
        """What the builder recorded; None where the folder is not there or not whole."""
        try:
            record: Mapping[str, Any] = json.loads(self._record.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return record if self._witness.exists() else None

    def last_used(self) -> float:
        """When it was last taken into use or, not being whole, last changed; seconds since the epoch."""
        file = self._record if self._record.exists() else self.path
        return file.stat().st_mtime

    def ensure(self, build: Build, waits: Callable[[], None]) -> Hold:
        """The folder, built first if need be, in use until the hold is released.

        Where another process builds or removes it, `waits` is called again and again until that is done; an
        exception from it ends the waiting. If `build` raises, nothing of the folder is left. Raises
        ModelmillError DISK_FULL where there is no space for it.
        """
        try:
            return self._ensure(build, waits)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise ModelmillError(
                "DISK_FULL",
                f"The disk has no room for {self.path}: free some space and try again.",
                {"path": str(self.path)},
                Fault.INFRASTRUCTURE,
            ) from error

    def _ensure(self, build: Build, waits: Callable[[], None]) -> Hold:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = self._open_lock()
            try:
                if self._try_share(descriptor):
                    os.utime(self._record)
                    return Hold(descriptor)
                if self._try_lock(descriptor, fcntl.LOCK_EX):
                    self._build_if_missing(build, descriptor)
                else:
                    waits()
                    time.sleep(_POLL_SECONDS)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def remove(self) -> bool:
        """Delete the folder; False where a process builds or uses it, which is then left alone."""
        if not self.path.parent.exists():
            return True
        descriptor = self._open_lock()
        try:
            if not self._try_lock(descriptor, fcntl.LOCK_EX):
                return False
            self._clear()
            self._lock.unlink()
            return True
        finally:
            os.close(descriptor)

    def _try_share(self, descriptor: int) -> bool:
        return (
            self.record() is not None
            and self._try_lock(descriptor, fcntl.LOCK_SH)
            and self.record() is not None  # nobody removed it before it was locked
        )

    def _build_if_missing(self, build: Build, descriptor: int) -> None:
        if self.record() is not None:
            return
        self._clear()
        try:
            self._write_record(build(descriptor))
        except BaseException:
            self._clear()
            raise

    def _write_record(self, record: Mapping[str, Any]) -> None:
        draft = self._record.with_suffix(".draft")
        draft.write_text(json.dumps(record), encoding="utf-8")
        if self._durable:
            os.sync()
        draft.rename(self._record)

    def _clear(self) -> None:
        """Delete the folder, its record first: a record never stands for a folder that is half deleted."""
        self._record.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    def _open_lock(self) -> int:
        return os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _try_lock(self, descriptor: int, kind: int) -> bool:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return self._is_lock_file(descriptor)

    def _is_lock_file(self, descriptor: int) -> bool:
        """Whether the descriptor is still that of the file by the lock's name: who removes the folder unlinks it."""
        try:
            there = self._lock.stat()
        except FileNotFoundError:
            return False
        own = os.fstat(descriptor)
        return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
