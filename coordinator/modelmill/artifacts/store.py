"""Complete files by the SHA-256 of their bytes."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from modelmill.artifacts._durable import sharded
from modelmill.artifacts.sink import Sink
from modelmill.artifacts.writing import PIECE, BlobWriter
from modelmill.errors import ModelmillError

#: Pieces read in one thread hop. More of them no longer fit into a processor's cache and cost twice as much: measured.
_PIECES_AT_ONCE = 2


class ArtifactStore:
    """Files named by the SHA-256 of their bytes, in a folder.

    `has`, `missing`, `path`, `place` and `size` only look at the folder and may be called on an event loop. What
    writes blocks for as long as the disk takes: call it in a thread, or use `sink` and `read`. One process at a time
    may own the folder; it calls `recover` once, before it serves anybody.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs"
        self._incoming = folder / "incoming"
        for part in (self._blobs, self._incoming):
            part.mkdir(parents=True, exist_ok=True)

    def recover(self) -> None:
        """Removes what a killed process left half-written."""
        for file in self._incoming.iterdir():
            file.unlink()

    def has(self, digest: str) -> bool:
        """Whether the file is here, whole."""
        return self.place(digest).exists()

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those that are not here, each once, in the order given."""
        return [digest for digest in dict.fromkeys(digests) if not self.has(digest)]

    def path(self, digest: str) -> Path:
        """The read-only file; FILE_NOT_FOUND where it is not here."""
        place = self.place(digest)
        if not place.exists():
            raise _not_found(digest)
        return place

    def place(self, digest: str) -> Path:
        """Where the file is, or would be."""
        return sharded(self._blobs, digest)

    def size(self, digest: str) -> int:
        """The file's length in bytes; FILE_NOT_FOUND where it is not here."""
        return self.path(digest).stat().st_size

    def read_bytes(self, digest: str) -> bytes:
        """The whole of a small file."""
        return self.path(digest).read_bytes()

    def put_bytes(self, data: bytes) -> str:
        """Keeps these bytes and returns their digest."""
        digest = hashlib.sha256(data).hexdigest()
        if not self.has(digest):
            with self.writer(digest, len(data)) as writer:
                writer.write(data)
        return digest

    @contextmanager
    def writer(self, digest: str, size: int) -> Iterator[BlobWriter]:
        """Takes a file's bytes in order; the file is in the store when the block has ended.

        Nothing is kept where the block is left by an exception. Raises DIGEST_MISMATCH where the bytes are others
        than announced, DISK_FULL where they do not fit.
        """
        writer = self._new_writer(digest, size)
        try:
            yield writer
            writer.commit()
        finally:
            writer.discard()

    @asynccontextmanager
    async def sink(self, digest: str, size: int) -> AsyncIterator[Sink]:
        """`writer` for an event loop: bytes are gathered, then hashed and written in a thread."""
        writer = await asyncio.to_thread(self._new_writer, digest, size)
        sink = Sink(writer)
        try:
            yield sink
            await sink.drain()
            await asyncio.to_thread(writer.commit)
        finally:
            await sink.settle()
            writer.discard()

    async def read(self, digest: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """The file's bytes from an offset on, in pieces of at most 512 KiB; the next are read meanwhile.

        Raises FILE_NOT_FOUND, and INVALID_OFFSET for an offset outside the file.
        """
        descriptor = os.open(self.path(digest), os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            _check_offset(digest, offset, size)
            if size - offset <= PIECE:  # a thread would cost more than the reading
                yield os.pread(descriptor, PIECE, offset)
                return
            ahead = _start_reading(descriptor, offset)
            try:
                while pieces := await asyncio.shield(ahead):
                    offset += sum(map(len, pieces))
                    ahead = _start_reading(descriptor, offset)
                    for piece in pieces:
                        yield piece
            finally:
                await asyncio.wait([ahead])  # the thread must be done before the descriptor is closed
        finally:
            os.close(descriptor)

    def _new_writer(self, digest: str, size: int) -> BlobWriter:
        return BlobWriter.create(self._incoming, "", self.place(digest), digest, size)


def _not_found(digest: str) -> ModelmillError:
    return ModelmillError(
        "FILE_NOT_FOUND",
        f"The store has no file {digest}: upload it, or repeat the conversion that makes it.",
        {"digest": digest},
    )


def _check_offset(digest: str, offset: int, size: int) -> None:
    if not 0 <= offset <= size:
        raise ModelmillError(
            "INVALID_OFFSET",
            f"The offset {offset} is outside the file, which has {size} bytes.",
            {"digest": digest, "offset": offset, "size": size},
        )


def _start_reading(descriptor: int, offset: int) -> asyncio.Future[list[bytes]]:
    return asyncio.ensure_future(asyncio.to_thread(_read_pieces, descriptor, offset))


def _read_pieces(descriptor: int, offset: int) -> list[bytes]:
    pieces: list[bytes] = []
    while len(pieces) < _PIECES_AT_ONCE and (piece := os.pread(descriptor, PIECE, offset)):
        pieces.append(piece)
        offset += len(piece)
    return pieces
