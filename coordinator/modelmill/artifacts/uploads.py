"""Files that clients are sending: what came before a connection broke is kept, and sending goes on from there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modelmill.artifacts._durable import check_digest
from modelmill.artifacts.sink import Sink
from modelmill.artifacts.store import ArtifactStore
from modelmill.artifacts.writing import BlobWriter
from modelmill.errors import ModelmillError

#: How long a broken upload waits to be resumed.
_KEPT_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Upload:
    """How far an upload is: bytes kept, and whether the file is whole and checked."""

    digest: str
    committed_size: int
    complete: bool


class Uploads:
    """The uploads into a store, in its folder `uploads`: `<digest>` was cut, `<digest>.<anything>` is being sent.

    Each stream writes a file of its own, so that nobody waits for anybody: of two clients that send the same file,
    the one that is first to the end completes it and the other is told so at its next bytes. A client that comes
    back before the farm has noticed that its old connection is gone starts with a copy of what came through that.

    Made once, by the process that owns the store: files that a killed one was receiving become ready to be resumed.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._folder = store.folder / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._receiving: dict[str, list[BlobWriter]] = {}
        self._recover()

    def status(self, digest: str) -> Upload:
        """How far the upload of that file is: whichever stream brought most counts."""
        if self._store.has(digest):
            return Upload(digest, self._store.size(digest), complete=True)
        return Upload(digest, max(self._sources(digest).values(), default=0), complete=False)

    async def receive(self, digest: str, size: int, offset: int, data: AsyncIterator[bytes]) -> Upload:
        """Takes bytes of one file, from an offset on.

        Ends early where the file became complete by other means. Where `data` ends or breaks off before the file
        does, what came is kept. Raises DIGEST_MISMATCH or DISK_FULL and keeps nothing; UPLOAD_OFFSET_MISMATCH where
        fewer bytes are kept than the sender believes.
        """
        if self._store.has(digest):
            return self.status(digest)
        writer = await asyncio.to_thread(self._open, digest, size, offset)
        self._receiving.setdefault(digest, []).append(writer)
        sink = Sink(writer)
        try:
            try:
                async for piece in data:
                    if self._store.has(digest):
                        break
                    await sink.write(piece)
            finally:
                await sink.drain()
            if writer.written == size and not self._store.has(digest):
                await asyncio.to_thread(writer.commit)
        except ModelmillError:
            await sink.settle()
            writer.discard()
            raise
        finally:
            await sink.settle()
            self._end(digest, writer)
        return self.status(digest)

    def _open(self, digest: str, size: int, offset: int) -> BlobWriter:
        check_digest(digest)
        if not 0 <= offset <= max(size, 0):
            raise _offset_mismatch(digest, offset, 0)
        writer = BlobWriter.create(self._folder, digest + ".", self._store.place(digest), digest, size)
        try:
            if offset:
                self._start_with_what_came(writer, digest, offset)
        except BaseException:
            writer.discard()
            raise
        return writer

    def _start_with_what_came(self, writer: BlobWriter, digest: str, offset: int) -> None:
        for source, size in self._sources(digest).items():
            if size >= offset:
                with suppress(FileNotFoundError):  # another stream was faster to resume or to complete it
                    writer.copy_from(source, offset)
                    (self._folder / digest).unlink(missing_ok=True)
                    return
        raise _offset_mismatch(digest, offset, self.status(digest).committed_size)

    def _sources(self, digest: str) -> dict[Path, int]:
        """The files that hold the beginning of that one, and how many bytes of it."""
        sources = {writer.file: writer.written for writer in self._receiving.get(check_digest(digest), [])}
        with suppress(FileNotFoundError):
            sources[self._folder / digest] = (self._folder / digest).stat().st_size
        return sources

    def _end(self, digest: str, writer: BlobWriter) -> None:
        self._receiving[digest].remove(writer)
        if not self._receiving[digest]:
            del self._receiving[digest]
        if self._store.has(digest):
            writer.discard()
            (self._folder / digest).unlink(missing_ok=True)
        else:
            writer.close()
            self._keep(writer.file, digest)

    def _keep(self, file: Path, digest: str) -> None:
        """Makes a file that is not whole the one to resume, unless there is a longer one."""
        kept = self._folder / digest
        with suppress(FileNotFoundError):  # it was discarded
            size = file.stat().st_size
            if size and (not kept.exists() or kept.stat().st_size < size):
                file.rename(kept)
            else:
                file.unlink()

    def _recover(self) -> None:
        for file in self._folder.iterdir():
            if file.suffix:
                self._keep(file, file.stem)
        for file in self._folder.iterdir():
            if time.time() - file.stat().st_mtime > _KEPT_SECONDS:
                file.unlink()


def _offset_mismatch(digest: str, offset: int, committed_size: int) -> ModelmillError:
    return ModelmillError(
        "UPLOAD_OFFSET_MISMATCH",
        f"The upload cannot go on at byte {offset}: {committed_size} bytes are kept. "
        "Ask GetUpload and send from the committed size on.",
        {"digest": digest, "offset": offset, "committed_size": committed_size},
    )
