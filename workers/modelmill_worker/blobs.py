"""The files that a worker keeps at hand, each named by its SHA-256, so that they need not be sent again.

The cache lives as long as its host. It is bounded in bytes; what was used longest ago goes first, and what a
running step has pinned does not go at all.
"""

import collections
import hashlib
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import Any, Counter, Iterable, Iterator, List, Set, Tuple

from modelmill_worker.errors import INFRASTRUCTURE, StepError

CHUNK_BYTES = 1 << 20
_DIGEST = re.compile("[0-9a-f]{64}")


class BlobCache:
    """Files by digest in one folder. Safe for many threads."""

    def __init__(self, folder: Path, capacity: int) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._capacity = capacity
        self._lock = threading.Lock()
        self._sizes: "collections.OrderedDict[str, int]" = collections.OrderedDict()
        self._pins: Counter[str] = collections.Counter()

    def pin(self, digests: Iterable[str]) -> "Pins":
        """Keep these files, and what is added to the pins later, until the pins are let go."""
        pins = Pins(self)
        for digest in digests:
            pins.add(digest)
        return pins

    def path(self, digest: str) -> Path:
        """Where a file lies. Raises StepError INVALID_DIGEST."""
        if not _DIGEST.fullmatch(digest):
            message = "{!r:.100} is not a SHA-256 digest: 64 lower-case hexadecimal digits are needed.".format(digest)
            raise StepError("INVALID_DIGEST", message, {"digest": digest[:100]})
        return self._folder / digest

    def missing(self, digests: Iterable[str]) -> List[str]:
        """Those that are not here, in order, each once."""
        with self._lock:
            return [digest for digest in collections.OrderedDict.fromkeys(digests) if digest not in self._sizes]

    def receive(self, digest: str) -> "BlobWriter":
        """Start to write a file whose bytes should have this digest."""
        self.path(digest)
        return BlobWriter(self, self._folder, digest)

    def adopt(self, path: Path, pins: "Pins") -> Tuple[str, int]:
        """Move a file into the cache, pinned: its digest and its size."""
        digest, size = _digest_and_size(path)
        path.chmod(0o444)
        pins.add(digest)
        self._keep(path, digest, size)
        return digest, size

    def chunks(self, digest: str) -> Iterator[bytes]:
        """The bytes of a pinned file, in chunks of `CHUNK_BYTES`."""
        with self.path(digest).open("rb") as file:
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")

    def _keep(self, path: Path, digest: str, size: int) -> None:
        with self._lock:
            if digest in self._sizes:
                path.unlink()
            else:
                path.rename(self._folder / digest)
                self._sizes[digest] = size
            self._sizes.move_to_end(digest)
            self._evict()

    def _evict(self) -> None:
        total = sum(self._sizes.values())
        for digest in list(self._sizes):
            if total <= self._capacity:
                return
            if not self._pins[digest]:
                total -= self._sizes.pop(digest)
                (self._folder / digest).unlink()

    def _pin(self, digest: str) -> None:
        with self._lock:
            self._pins[digest] += 1
            if digest in self._sizes:
                self._sizes.move_to_end(digest)

    def _unpin(self, digests: Set[str]) -> None:
        with self._lock:
            for digest in digests:
                self._pins[digest] -= 1
                if not self._pins[digest]:
                    del self._pins[digest]
            self._evict()


class Pins:
    """Files that are not to be evicted until this context ends."""

    def __init__(self, cache: BlobCache) -> None:
        self._cache = cache
        self._digests: Set[str] = set()

    def add(self, digest: str) -> None:
        """Pin one more; it need not be there yet. Raises StepError INVALID_DIGEST."""
        self._cache.path(digest)
        if digest not in self._digests:
            self._digests.add(digest)
            self._cache._pin(digest)

    def __enter__(self) -> "Pins":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._cache._unpin(self._digests)
        self._digests = set()


class BlobWriter:
    """A file on its way into the cache: written beside, checked, then renamed."""

    def __init__(self, cache: BlobCache, folder: Path, digest: str) -> None:
        self._cache = cache
        self._digest = digest
        self._hash = hashlib.sha256()
        self._size = 0
        handle, name = tempfile.mkstemp(prefix="incoming-", dir=str(folder))
        self._file = os.fdopen(handle, "wb")
        self._path = Path(name)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)

    def commit(self) -> None:
        """Put the file in place. Raises StepError DIGEST_MISMATCH, and keeps nothing, if its bytes are others."""
        self._file.close()
        if self._hash.hexdigest() != self._digest:
            raise StepError(
                "DIGEST_MISMATCH",
                "The bytes received for {} are others: they were changed on their way. Try again.".format(self._digest),
                {"digest": self._digest, "received": self._hash.hexdigest()},
                fault=INFRASTRUCTURE,
            )
        self._path.chmod(0o444)
        self._cache._keep(self._path, self._digest, self._size)

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(self, *exception: Any) -> None:
        try:
            self._file.close()
        finally:
            if self._path.exists():
                self._path.unlink()


def _digest_and_size(path: Path) -> Tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        for data in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(data)
            size += len(data)
    return digest.hexdigest(), size
