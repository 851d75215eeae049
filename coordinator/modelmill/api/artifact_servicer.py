"""ArtifactService: files by digest, in and out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from modelmill_protos.v1 import artifact_pb2, artifact_pb2_grpc

from modelmill.artifacts import ArtifactStore, Upload, Uploads
from modelmill.errors import ModelmillError

Context = grpc.aio.ServicerContext[Any, Any]

#: Digests in one FindMissing: each costs a look at the disk, during which nobody else is served.
_DIGESTS_LIMIT = 10_000


class ArtifactServicer(artifact_pb2_grpc.ArtifactServiceServicer):
    """The artifact store on the network. Made once, by the process that owns the store."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._uploads = Uploads(store)

    async def FindMissing(
        self, request: artifact_pb2.FindMissingRequest, context: Context
    ) -> artifact_pb2.FindMissingResponse:
        """Which of these digests are not in the store."""
        if len(request.digests) > _DIGESTS_LIMIT:
            raise ModelmillError(
                "INVALID_DIGEST_COUNT",
                f"Ask for at most {_DIGESTS_LIMIT} digests at once.",
                {"field": "digests", "count": len(request.digests), "limit": _DIGESTS_LIMIT},
            )
        return artifact_pb2.FindMissingResponse(digests=self._store.missing(request.digests))

    async def GetUpload(self, request: artifact_pb2.GetUploadRequest, context: Context) -> artifact_pb2.Upload:
        """How far an upload is."""
        return _upload_message(self._uploads.status(request.digest))

    async def UploadFile(
        self, request_iterator: AsyncIterator[artifact_pb2.UploadFileRequest], context: Context
    ) -> artifact_pb2.Upload:
        """Takes one file."""
        header = await _header(request_iterator)
        upload = await self._uploads.receive(header.digest, header.size, header.offset, _data(request_iterator))
        return _upload_message(upload)

    async def DownloadFile(
        self, request: artifact_pb2.DownloadFileRequest, context: Context
    ) -> AsyncIterator[artifact_pb2.DownloadFileResponse]:
        """Gives one file."""
        async with aclosing(self._store.read(request.digest, request.offset)) as pieces:
            async for piece in pieces:
                yield artifact_pb2.DownloadFileResponse(data=piece)


async def _header(requests: AsyncIterator[artifact_pb2.UploadFileRequest]) -> artifact_pb2.UploadFileRequest.Header:
    async for request in requests:
        if request.WhichOneof("part") == "header":
            return request.header
        break
    raise ModelmillError("INVALID_UPLOAD", "The first message of an upload must carry its header.", {"field": "header"})


async def _data(requests: AsyncIterator[artifact_pb2.UploadFileRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "data":
            raise ModelmillError(
                "INVALID_UPLOAD", "Every message of an upload after the first must carry bytes.", {"field": "data"}
            )
        yield request.data


def _upload_message(upload: Upload) -> artifact_pb2.Upload:
    return artifact_pb2.Upload(digest=upload.digest, committed_size=upload.committed_size, complete=upload.complete)
