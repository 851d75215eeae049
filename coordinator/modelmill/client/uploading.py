"""Files to the farm: only those that it lacks, each from where an earlier try was cut."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import grpc
from modelmill_protos.v1 import artifact_pb2, artifact_pb2_grpc

from modelmill.client.failures import error_of
from modelmill.client.patience import Patience, Tries, call
from modelmill.client.sources import SourceFile
from modelmill.client.transfer import PIECE, PIECES_AT_ONCE, Meter, OnTransfer
from modelmill.errors import ModelmillError

#: Digests asked for at once.
_DIGESTS = 5000
#: Files that are hashed, and that are sent, at once: a small file is a round trip, which others can fill.
_HASHED_AT_ONCE = 2
_SENT_AT_ONCE = 4
#: Bytes from which on it is worth to ask how much of a file has been sent before.
_RESUMABLE = 4 << 20


@dataclass(frozen=True)
class _Local:
    """A file that was hashed."""

    file: Path
    digest: str
    size: int


class Uploader:
    """Sends files through one channel."""

    def __init__(self, stub: artifact_pb2_grpc.ArtifactServiceStub, patience: Patience) -> None:
        self._stub = stub
        self._patience = patience

    async def upload(self, files: Sequence[SourceFile], kind: str, on_transfer: OnTransfer) -> artifact_pb2.Artifact:
        """The artifact of these files, all of which the farm has when this returns."""
        locals_ = await _hash_all(files)
        by_digest = {local.digest: local for local in locals_}
        missing = [by_digest[digest] for digest in await self._missing(list(by_digest))]
        meter = Meter(sum(local.size for local in missing), True, on_transfer)
        slots = asyncio.Semaphore(_SENT_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                for local in missing:
                    group.create_task(self._send_in_turn(local, slots, meter))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the first failure cancelled the others
        parts = zip(files, locals_, strict=True)
        return artifact_pb2.Artifact(
            kind=kind,
            files=[artifact_pb2.File(path=file.path, digest=local.digest, size=local.size) for file, local in parts],
        )

    async def _missing(self, digests: Sequence[str]) -> list[str]:
        missing: list[str] = []
        for start in range(0, len(digests), _DIGESTS):
            request = artifact_pb2.FindMissingRequest(digests=digests[start : start + _DIGESTS])
            response = await call(self._patience, lambda request=request: self._stub.FindMissing(request))  # type: ignore[misc]
            missing.extend(response.digests)
        return missing

    async def _send_in_turn(self, local: _Local, slots: asyncio.Semaphore, meter: Meter) -> None:
        async with slots:
            await self._send(local, meter)

    async def _send(self, local: _Local, meter: Meter) -> None:
        """Sends a file until the farm says that it is whole, from wherever the last try got."""
        tries = self._patience.tries()
        offset = await self._committed(local.digest) if local.size >= _RESUMABLE else 0
        while offset is not None:
            try:
                upload = await self._stream(local, offset, meter, tries)
                if upload.complete:
                    return
                if upload.committed_size <= offset:
                    raise _changed(local)
                offset = upload.committed_size
            except grpc.aio.AioRpcError as error:
                offset = await self._resume_after(error, local, offset, tries)

    async def _resume_after(self, error: grpc.aio.AioRpcError, local: _Local, offset: int, tries: Tries) -> int | None:
        """Where to go on after a try that failed; raises where there is no use."""
        reason = error_of(error).reason
        if reason == "DIGEST_MISMATCH" and offset > 0:
            return 0  # what was kept of an earlier try is not the beginning of this file
        if reason != "UPLOAD_OFFSET_MISMATCH":
            await tries.pause(error)
        return await self._committed(local.digest)

    async def _committed(self, digest: str) -> int | None:
        """Bytes that the farm keeps; None where it has the whole file."""
        request = artifact_pb2.GetUploadRequest(digest=digest)
        upload = await call(self._patience, lambda: self._stub.GetUpload(request))
        return None if upload.complete else upload.committed_size

    async def _stream(self, local: _Local, offset: int, meter: Meter, tries: Tries) -> artifact_pb2.Upload:
        stream = self._stub.UploadFile()
        try:
            header = artifact_pb2.UploadFileRequest.Header(digest=local.digest, size=local.size, offset=offset)
            await stream.write(artifact_pb2.UploadFileRequest(header=header))
            async with aclosing(_pieces(local.file, offset)) as pieces:
                async for piece in pieces:
                    await stream.write(artifact_pb2.UploadFileRequest(data=piece))
                    offset += len(piece)
                    meter.at(str(local.file), offset)
                    tries.progressed()
            await stream.done_writing()
        except asyncio.InvalidStateError:
            pass  # the farm has ended the stream: its answer says why
        except BaseException:
            stream.cancel()
            raise
        upload: artifact_pb2.Upload = await stream
        return upload


async def _hash_all(files: Sequence[SourceFile]) -> list[_Local]:
    slots = asyncio.Semaphore(_HASHED_AT_ONCE)

    async def hash_in_turn(file: Path) -> _Local:
        async with slots:
            return await asyncio.to_thread(_hash, file)

    return await asyncio.gather(*(hash_in_turn(source.file) for source in files))


def _hash(file: Path) -> _Local:
    try:
        with file.open("rb", buffering=0) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return _Local(file, digest, stream.tell())
    except OSError as error:
        raise _unreadable(file, error) from error


async def _pieces(file: Path, offset: int) -> AsyncGenerator[bytes, None]:
    """A file's bytes from an offset on; the next pieces are read while these are sent."""
    with _opened(file) as stream:
        stream.seek(offset)
        ahead = asyncio.ensure_future(asyncio.to_thread(_read, stream))
        try:
            while pieces := await asyncio.shield(ahead):
                ahead = asyncio.ensure_future(asyncio.to_thread(_read, stream))
                for piece in pieces:
                    yield piece
        finally:
            await asyncio.wait([ahead])  # the thread must be done before the file is closed


def _read(stream: io.FileIO) -> list[bytes]:
    pieces: list[bytes] = []
    while len(pieces) < PIECES_AT_ONCE and (piece := stream.read(PIECE)):
        pieces.append(piece)
    return pieces


def _opened(file: Path) -> io.FileIO:
    try:
        return io.FileIO(file)
    except OSError as error:
        raise _unreadable(file, error) from error


def _changed(local: _Local) -> ModelmillError:
    return ModelmillError(
        "SOURCE_CHANGED",
        f"{local.file} became shorter while it was uploaded. Try again when nobody writes to it.",
        {"file": str(local.file), "size": local.size},
    )


def _unreadable(file: Path, error: OSError) -> ModelmillError:
    return ModelmillError(
        "SOURCE_UNREADABLE",
        f"{file} cannot be read: {error.strerror}. Check its permissions.",
        {"file": str(file), "error": error.strerror or str(error)},
    )
