"""Uploads that are cut, resumed, repeated, made twice at once, or lie about their content."""

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from asking import wait_for
from coordinator_process import CoordinatorProcess
from cut_connection import CuttingProxy
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from modelmill.client import Client
from modelmill_protos.v1 import artifact_pb2, artifact_pb2_grpc

CHUNK = 1 << 20
MIB = 1 << 20


@pytest.fixture
def stub(shared_coordinator: CoordinatorProcess) -> Iterator[artifact_pb2_grpc.ArtifactServiceStub]:
    with grpc.insecure_channel(shared_coordinator.address) as channel:
        yield artifact_pb2_grpc.ArtifactServiceStub(channel)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def requests(content: bytes, offset: int, until: int, digest: str = "") -> Iterator[artifact_pb2.UploadFileRequest]:
    """A header and the bytes from an offset to an end."""
    header = artifact_pb2.UploadFileRequest.Header(
        digest=digest or digest_of(content), size=len(content), offset=offset
    )
    yield artifact_pb2.UploadFileRequest(header=header)
    for start in range(offset, until, CHUNK):
        yield artifact_pb2.UploadFileRequest(data=content[start : min(start + CHUNK, until)])


def kept(stub: artifact_pb2_grpc.ArtifactServiceStub, digest: str) -> artifact_pb2.Upload:
    return stub.GetUpload(artifact_pb2.GetUploadRequest(digest=digest))


def downloaded(stub: artifact_pb2_grpc.ArtifactServiceStub, digest: str) -> bytes:
    return b"".join(part.data for part in stub.DownloadFile(artifact_pb2.DownloadFileRequest(digest=digest)))


def test_resumes_where_a_stream_broke(stub: artifact_pb2_grpc.ArtifactServiceStub):
    content = os.urandom(9 * MIB + 17)
    digest = digest_of(content)
    hold = threading.Event()

    def half() -> Iterator[artifact_pb2.UploadFileRequest]:
        yield from requests(content, 0, 6 * MIB)
        hold.wait()

    call = stub.UploadFile.future(half())
    wait_for(lambda: kept(stub, digest).committed_size, "some bytes on the disk")
    call.cancel()
    hold.set()
    upload = kept(stub, digest)
    assert 0 < upload.committed_size <= 6 * MIB
    assert not upload.complete

    upload = stub.UploadFile(requests(content, upload.committed_size, len(content)))

    assert (upload.committed_size, upload.complete) == (len(content), True)
    assert downloaded(stub, digest) == content


def test_keep_what_came_where_the_sender_ends_early(stub: artifact_pb2_grpc.ArtifactServiceStub):
    content = os.urandom(5 * MIB)
    digest = digest_of(content)

    for until in (2 * MIB, 3 * MIB + 1):
        upload = stub.UploadFile(requests(content, kept(stub, digest).committed_size, until))
        assert upload == artifact_pb2.Upload(digest=digest, committed_size=until)

    assert stub.UploadFile(requests(content, 3 * MIB + 1, len(content))).complete
    assert downloaded(stub, digest) == content


def test_of_the_client_goes_on_by_itself_after_a_cut(shared_coordinator: CoordinatorProcess, tmp_path: Path):
    content = os.urandom(24 * MIB)
    file = tmp_path / "model.bin"
    file.write_bytes(content)
    with CuttingProxy(shared_coordinator.address) as proxy, Client(proxy.address) as client:
        proxy.cut_once_after(12 * MIB)
        artifact = client.upload(file)
        assert proxy.connections >= 2
        # What was on its way at the cut is sent again; had it begun anew, half as much again would have been sent.
        assert proxy.sent < 34 * MIB

        assert [entry.digest for entry in artifact.files] == [digest_of(content)]
        client.download(artifact, tmp_path / "back")
        assert (tmp_path / "back" / "model.bin").read_bytes() == content

        before = proxy.sent
        client.upload(file)
        assert proxy.sent - before < MIB  # the farm has it


def test_of_one_file_by_two_clients_at_once_both_succeed(shared_coordinator: CoordinatorProcess, tmp_path: Path):
    file = tmp_path / "model.bin"
    file.write_bytes(os.urandom(16 * MIB))
    start = threading.Barrier(2)

    def upload(client: Client) -> artifact_pb2.Artifact:
        start.wait()
        return client.upload(file)

    with Client(shared_coordinator.address) as one, Client(shared_coordinator.address) as other:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(upload, (one, other))
        assert first == second
        one.download(first, tmp_path / "back")
    assert (tmp_path / "back" / "model.bin").read_bytes() == file.read_bytes()
    assert not list((shared_coordinator.home / "artifacts" / "uploads").glob(f"{first.files[0].digest}*"))


def test_survive_the_kill_of_the_coordinator(coordinator_of, tmp_path: Path):
    content = os.urandom(14 * MIB)
    digest = digest_of(content)
    hold = threading.Event()

    def half() -> Iterator[artifact_pb2.UploadFileRequest]:
        yield from requests(content, 0, 10 * MIB)
        hold.wait()

    coordinator = coordinator_of().start()
    with grpc.insecure_channel(coordinator.address) as channel:
        stub = artifact_pb2_grpc.ArtifactServiceStub(channel)
        call = stub.UploadFile.future(half())
        written = wait_for(lambda: kept(stub, digest).committed_size, "some bytes on the disk")
        coordinator.kill()
        hold.set()
        assert call.code() == grpc.StatusCode.UNAVAILABLE
    coordinator.start()
    with grpc.insecure_channel(coordinator.address) as channel:
        stub = artifact_pb2_grpc.ArtifactServiceStub(channel)
        upload = kept(stub, digest)
        assert written <= upload.committed_size <= 10 * MIB
        assert stub.UploadFile(requests(content, upload.committed_size, len(content))).complete
        assert downloaded(stub, digest) == content


def test_with_another_content_keep_nothing(stub: artifact_pb2_grpc.ArtifactServiceStub):
    promised = digest_of(b"something else")

    with pytest.raises(grpc.RpcError) as caught:
        stub.UploadFile(requests(b"x" * MIB, 0, MIB, promised))

    assert reason_of(caught.value) == "DIGEST_MISMATCH"
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert kept(stub, promised) == artifact_pb2.Upload(digest=promised)


def test_from_an_offset_that_is_not_kept_are_told_so(stub: artifact_pb2_grpc.ArtifactServiceStub):
    content = os.urandom(2 * MIB)

    with pytest.raises(grpc.RpcError) as caught:
        stub.UploadFile(requests(content, MIB, len(content)))

    assert reason_of(caught.value) == "UPLOAD_OFFSET_MISMATCH"


def reason_of(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    return info.reason
