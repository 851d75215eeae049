"""One file on its way into the store."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from modelmill.artifacts._durable import check_digest, full_disk_named, move_into_place, require_space, write_all
from modelmill.errors import ModelmillError

#: Bytes read, sent or copied at once. As messages of gRPC's, 1 MiB costs twice as much processor time: measured.
PIECE = 512 << 10


class BlobWriter:
    """Hashes bytes while it writes them, beside; gives the file its place when all have come and the digest is right.

    It is used by one thread at a time, but may be closed by another while a `write` runs: the lock is for that.
    """

    def __init__(self, file: Path, descriptor: int, place: Path, digest: str, size: int) -> None:
        self._file = file
        self._descriptor = descriptor
        self._place = place
        self._digest = digest
        self._size = size
        self._hash = hashlib.sha256()
        self._lock = threading.Lock()
        self._closed = False
        #: Bytes that lie in the file and are part of the hash.
        self.written = 0

    @classmethod
    def create(cls, folder: Path, prefix: str, place: Path, digest: str, size: int) -> BlobWriter:
        """A writer of a new file in `folder`, a folder on the same disk as `place`."""
        check_digest(digest)
        if size < 0:
            raise ModelmillError("INVALID_SIZE", f"A file cannot have {size} bytes.", {"size": size})
        require_space(folder, size)
        with full_disk_named(folder, size):
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=prefix)
        return cls(Path(name), descriptor, place, digest, size)

    @property
    def file(self) -> Path:
        """Where the bytes lie until they are whole."""
        return self._file

    def write(self, data: bytes | memoryview) -> None:
        """Adds bytes; DIGEST_MISMATCH as soon as they are more than announced."""
        with self._lock:
            if self._closed:
                raise ValueError("the writer is closed")
            if self.written + len(data) > self._size:
                raise self._mismatch(self.written + len(data))
            with full_disk_named(self._file.parent, self._size):
                write_all(self._descriptor, data)
            self._hash.update(data)
            self.written += len(data)

    def copy_from(self, source: Path, count: int) -> None:
        """Adds the first `count` bytes of a file."""
        with source.open("rb") as stream:
            while count and (piece := stream.read(min(PIECE, count))):
                self.write(piece)
                count -= len(piece)

    def commit(self) -> None:
        """Checks length and digest and puts the file into its place, read-only and synced."""
        if self.written != self._size or self._hash.hexdigest() != self._digest:
            raise self._mismatch(self.written)
        with full_disk_named(self._file.parent, self._size):
            os.fchmod(self._descriptor, 0o444)
            os.fsync(self._descriptor)
            self.close()
            move_into_place(self._file, self._place)

    def close(self) -> None:
        """Lets go of the file and leaves it where it is."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)

    def discard(self) -> None:
        """Removes the file; does nothing once it is in its place."""
        self.close()
        with suppress(FileNotFoundError):
            self._file.unlink()

    def _mismatch(self, received: int) -> ModelmillError:
        return ModelmillError(
            "DIGEST_MISMATCH",
            "The bytes received do not have the digest and the size that were announced: the file changed while it was "
            "read, or was damaged on its way. Send it again.",
            {"digest": self._digest, "size": self._size, "received": received},
        )
