import asyncio
import hashlib
import os

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from modelmill_protos.v1 import artifact_pb2

DATA = os.urandom((5 << 20) + 7)
DIGEST = hashlib.sha256(DATA).hexdigest()
SIZE = len(DATA)
MIB = 1 << 20


def header(offset=0, digest=DIGEST, size=SIZE):
    return artifact_pb2.UploadFileRequest(
        header=artifact_pb2.UploadFileRequest.Header(digest=digest, size=size, offset=offset)
    )


async def upload_requests(data, offset=0):
    yield header(offset)
    for start in range(0, len(data), MIB):
        yield artifact_pb2.UploadFileRequest(data=data[start : start + MIB])


def reason_of(error):
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "modelmill"
    return info.reason


async def download(stub, digest, offset=0):
    request = artifact_pb2.DownloadFileRequest(digest=digest, offset=offset)
    return b"".join([response.data async for response in stub.DownloadFile(request)])


async def test_what_is_uploaded_can_be_downloaded(stub):
    missing = await stub.FindMissing(artifact_pb2.FindMissingRequest(digests=[DIGEST]))
    assert missing.digests == [DIGEST]

    upload = await stub.UploadFile(upload_requests(DATA))

    assert (upload.digest, upload.committed_size, upload.complete) == (DIGEST, len(DATA), True)
    assert not (await stub.FindMissing(artifact_pb2.FindMissingRequest(digests=[DIGEST]))).digests
    assert await download(stub, DIGEST) == DATA
    assert await download(stub, DIGEST, 3 * MIB + 1) == DATA[3 * MIB + 1 :]


async def test_a_stream_that_its_client_cuts_is_kept_and_resumed(stub):
    async def stalling():
        async for request in upload_requests(DATA[: 5 * MIB]):
            yield request
        await asyncio.Event().wait()

    call = stub.UploadFile(stalling())
    kept = artifact_pb2.Upload()
    async with asyncio.timeout(30):
        while kept.committed_size < 4 * MIB:
            kept = await stub.GetUpload(artifact_pb2.GetUploadRequest(digest=DIGEST))
    call.cancel()
    assert not kept.complete

    upload = await stub.UploadFile(upload_requests(DATA[kept.committed_size :], offset=kept.committed_size))

    assert upload.complete
    assert await download(stub, DIGEST) == DATA


async def test_many_clients_may_send_the_same_file_at_once(stub):
    uploads = await asyncio.gather(*(stub.UploadFile(upload_requests(DATA)) for _ in range(4)))
    assert all(upload.complete for upload in uploads)


async def test_wrong_bytes_are_refused_with_a_reason(stub):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UploadFile(upload_requests(bytes(len(DATA))))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value) == "DIGEST_MISMATCH"


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [artifact_pb2.UploadFileRequest(data=b"no header")],
        [header(), header()],
        [artifact_pb2.UploadFileRequest()],
    ],
)
async def test_refuses_a_stream_that_is_no_upload(stub, requests):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UploadFile(iter(requests))
    assert reason_of(caught.value) == "INVALID_UPLOAD"


async def test_a_header_that_lies_is_refused(stub):
    for wrong in (header(digest="../x"), header(size=-1), header(offset=5), header(size=1 << 61)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.UploadFile(iter([wrong]))
        assert reason_of(caught.value) in {"INVALID_DIGEST", "INVALID_SIZE", "UPLOAD_OFFSET_MISMATCH", "DISK_FULL"}


async def test_a_file_that_is_not_there_is_not_found(stub):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await download(stub, DIGEST)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert reason_of(caught.value) == "FILE_NOT_FOUND"


async def test_too_many_digests_are_refused(stub):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.FindMissing(artifact_pb2.FindMissingRequest(digests=[DIGEST] * 10_001))
    assert reason_of(caught.value) == "INVALID_DIGEST_COUNT"
