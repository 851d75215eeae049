import grpc
import pytest
from modelmill.api.artifact_servicer import ArtifactServicer
from modelmill.api.errors import FailureInterceptor
from modelmill.artifacts import ArtifactStore
from modelmill_protos.v1 import artifact_pb2_grpc


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
async def server(store):
    """A server of the artifact service, not started yet, and the address at which it will listen."""
    server = grpc.aio.server(interceptors=[FailureInterceptor()])
    artifact_pb2_grpc.add_ArtifactServiceServicer_to_server(ArtifactServicer(store), server)
    server.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    yield server
    await server.stop(None)


@pytest.fixture
async def stub(server):
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield artifact_pb2_grpc.ArtifactServiceStub(channel)
