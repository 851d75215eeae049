"""Files that are either whole or absent, whenever the machine stops."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelmill.errors import Fault, ModelmillError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def check_digest(digest: str) -> str:
    """The digest, known to be a SHA-256: nothing else may become part of a path (INVALID_DIGEST)."""
    if not _DIGEST.fullmatch(digest):
        raise ModelmillError(
            "INVALID_DIGEST",
            f"{digest[:80]!r} is not a SHA-256: give 64 lower-case hexadecimal digits.",
            {"digest": digest[:80]},
        )
    return digest


def sharded(folder: Path, digest: str, suffix: str = "") -> Path:
    """Where a digest's file lies: `ab/cdef...`, so that no folder grows without bound."""
    check_digest(digest)
    return folder / digest[:2] / (digest[2:] + suffix)


def move_into_place(file: Path, place: Path) -> None:
    """Gives a synced file its name, for good: the rename is on the disk when this returns."""
    try:
        file.rename(place)
    except FileNotFoundError:
        place.parent.mkdir(exist_ok=True)
        sync_folder(place.parent.parent)
        file.rename(place)
    sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Puts a folder's entries on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Writes every byte: one call to the system may write fewer."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def require_space(folder: Path, size: int) -> None:
    """Says DISK_FULL before the first byte is sent rather than after the last that fits."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise _disk_full(folder, size, free)


@contextmanager
def full_disk_named(folder: Path, size: int) -> Iterator[None]:
    """Turns the system's "no space left" into DISK_FULL; `size` is what was to be written, in bytes."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _disk_full(folder, size, shutil.disk_usage(folder).free) from error


def _disk_full(folder: Path, size: int, free: int) -> ModelmillError:
    return ModelmillError(
        "DISK_FULL",
        f"The artifact store's disk has no room for {size} bytes ({free} are free): free some space and try again.",
        {"folder": str(folder), "size": size, "free": free},
        Fault.INFRASTRUCTURE,
    )
