"""Files from the farm: checked while they are written, and moved into place only when all are whole."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import grpc
from modelmill_protos.v1 import artifact_pb2, artifact_pb2_grpc

from modelmill.client.patience import Patience, Tries
from modelmill.client.transfer import PIECE, Meter, OnTransfer
from modelmill.errors import Fault, ModelmillError

#: Bytes handed to the thread that writes, at once.
_BATCH = 4 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FETCHED_AT_ONCE = 4


class Downloader:
    """Fetches files through one channel."""

    def __init__(self, stub: artifact_pb2_grpc.ArtifactServiceStub, patience: Patience) -> None:
        self._stub = stub
        self._patience = patience

    async def download(self, artifacts: Sequence[tuple[artifact_pb2.Artifact, Path]], on_transfer: OnTransfer) -> None:
        """Writes artifacts into folders, which are made; what is there when this fails is for the caller to remove.

        Raises DISK_FULL, DIGEST_MISMATCH, OUTPUT_UNWRITABLE, INVALID_ARTIFACT, or what the farm says.
        """
        wanted = [(file, _inside(folder, file.path)) for artifact, folder in artifacts for file in artifact.files]
        meter = Meter(sum(file.size for file, _ in wanted), False, on_transfer)
        slots = asyncio.Semaphore(_FETCHED_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for file, place in wanted:
                    group.create_task(self._fetch_in_turn(file, place, slots, meter))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the first failure cancelled the others

    async def _fetch_in_turn(
        self, file: artifact_pb2.File, place: Path, slots: asyncio.Semaphore, meter: Meter
    ) -> None:
        async with slots:
            with disk_named(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("xb", buffering=0) as stream:
                    await self._fetch(file, _HashingWriter(stream), meter)

    async def _fetch(self, file: artifact_pb2.File, writer: _HashingWriter, meter: Meter) -> None:
        """Fetches a file, and after a break the rest of it."""
        tries = self._patience.tries()
        while True:
            try:
                await self._stream(file, writer, meter, tries)
                break
            except grpc.aio.AioRpcError as error:
                await tries.pause(error)
        if writer.digest != file.digest:
            raise ModelmillError(
                "DIGEST_MISMATCH",
                f"{file.path} was damaged on its way here. Try again.",
                {"path": file.path, "digest": file.digest, "received": writer.digest},
                Fault.INFRASTRUCTURE,
            )

    async def _stream(self, file: artifact_pb2.File, writer: _HashingWriter, meter: Meter, tries: Tries) -> None:
        request = artifact_pb2.DownloadFileRequest(digest=file.digest, offset=writer.received)
        stream = self._stub.DownloadFile(request)
        try:
            async for response in stream:
                await writer.write(response.data)
                meter.at(file.path + file.digest, writer.received)
                tries.progressed()
        finally:
            stream.cancel()
            await writer.drain()


class _HashingWriter:
    """Writes and hashes bytes in a thread, a batch behind the one that is being received."""

    def __init__(self, stream: io.FileIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._batch: list[bytes] = []
        self._writing: asyncio.Future[None] | None = None
        #: Bytes taken.
        self.received = 0

    @property
    def digest(self) -> str:
        """Of all that was taken, once it is drained."""
        return self._hash.hexdigest()

    async def write(self, data: bytes) -> None:
        """Takes bytes; waits only where the disk is slower than the sender."""
        self._batch.append(data)
        self.received += len(data)
        if sum(map(len, self._batch)) >= _BATCH:
            await self._hand_over()

    async def drain(self) -> None:
        """Returns when all bytes taken are written."""
        if self._writing is None and self.received <= PIECE:  # a thread would cost more than the writing
            self._write(self._batch)
            self._batch = []
            return
        await self._hand_over()
        await self._written()

    async def _hand_over(self) -> None:
        await self._written()
        batch, self._batch = self._batch, []
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, batch))

    async def _written(self) -> None:
        """Returns when the thread has written its batch, and raises what it met.

        A cancellation is passed on only then: the caller closes the file, which must not happen under the thread.
        """
        writing, cancelled = self._writing, None
        while writing is not None and not writing.done():
            try:
                await asyncio.wait([writing])
            except asyncio.CancelledError as error:
                cancelled = error
        if writing is not None and (failed := writing.exception()) is not None and cancelled is None:
            raise failed
        if cancelled is not None:
            raise cancelled

    def _write(self, batch: list[bytes]) -> None:
        for data in batch:
            self._hash.update(data)
            view = memoryview(data)
            while view:
                view = view[self._stream.write(view) :]


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new hidden folder inside `folder`, on the same disk, gone afterwards; `folder` too, where it was made for it.

    What is whole is renamed out of it. Raises OUTPUT_UNWRITABLE or DISK_FULL where it cannot be made.
    """
    made = _first_missing(folder)
    with disk_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(dir=folder, prefix=".modelmill-"))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if made is not None:
            _remove_empty(folder, made)


def move_folder(new: Path, place: Path) -> None:
    """Puts a folder in the place of another, which goes where the new one came from; all on one disk.

    There is a moment between two renames in which neither is in the place: folders cannot be exchanged portably.
    """
    with disk_named(place):
        if not place.exists():
            new.rename(place)
            return
        old = new.with_name(new.name + ".old")
        place.rename(old)
        try:
            new.rename(place)
        except OSError:
            old.rename(place)
            raise


@contextmanager
def disk_named(path: Path) -> Iterator[None]:
    """Turns what the system says of the output's disk into DISK_FULL or OUTPUT_UNWRITABLE."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ModelmillError(
                "DISK_FULL",
                f"The disk of {path.parent} is full: free some space, or choose another output folder.",
                {"path": str(path)},
                Fault.INFRASTRUCTURE,
            ) from error
        raise ModelmillError(
            "OUTPUT_UNWRITABLE",
            f"{path} cannot be written: {error.strerror}. Choose another output folder.",
            {"path": str(path), "error": error.strerror or str(error)},
        ) from error


def _inside(folder: Path, path: str) -> Path:
    """Where a file of an artifact goes: never outside its folder, whatever a server says."""
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise ModelmillError(
            "INVALID_ARTIFACT",
            f"The server names a file {path!r}, which would lie outside the output folder: nothing was written.",
            {"path": path},
            Fault.TOOL,
        )
    return folder / pure


def _first_missing(folder: Path) -> Path | None:
    """The uppermost folder that must be made."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    return missing[-1] if missing else None


def _remove_empty(folder: Path, uppermost: Path) -> None:
    """Removes the folders that were made and that nothing was put into."""
    for candidate in (folder, *folder.parents):
        if any(candidate.iterdir()):
            return
        candidate.rmdir()
        if candidate == uppermost:
            return
