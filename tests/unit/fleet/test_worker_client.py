import hashlib

import grpc
import pytest
from modelmill.artifacts.store import ArtifactStore
from modelmill.errors import ModelmillError
from modelmill.fleet.worker_client import WorkerClient
from modelmill.values import Artifact, File, StepLimits, StepOrder
from modelmill_protos.v1 import failure_pb2, worker_pb2, worker_pb2_grpc

#: More than gRPC takes in advance, so that the sender is still sending when the worker has said no.
INPUT = bytes(32 << 20)
DIGEST = hashlib.sha256(INPUT).hexdigest()


class FullWorker(worker_pb2_grpc.WorkerServiceServicer):
    """Asks for the inputs, takes the first bytes, and has no space for them."""

    async def RunStep(self, requests, context):  # noqa: N802 - gRPC's name
        yield worker_pb2.StepResponse(need=worker_pb2.Digests(digests=[DIGEST]))
        async for request in requests:
            if request.WhichOneof("part") == "chunk":
                break
        yield worker_pb2.StepResponse(failed=failure_pb2.Failure(reason="DISK_FULL", message="No space is left."))


class Nobody:
    def waits(self, message): ...

    def started(self): ...

    def progressed(self, fraction, message): ...

    def logged(self, text): ...


@pytest.fixture
async def address():
    server = grpc.aio.server()
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(FullWorker(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_a_worker_that_refuses_an_input_amid_its_bytes_is_heard(address, tmp_path):
    store = ArtifactStore(tmp_path)
    async with store.sink(DIGEST, len(INPUT)) as sink:
        await sink.write(INPUT)
    model = Artifact("tf.frozen_graph", (File("graph.pb", DIGEST, len(INPUT)),))
    order = StepOrder("c", "s", "plugin", "edge", "base", {}, {"model": model}, StepLimits())
    async with WorkerClient(address) as client:
        for _ in range(5):
            with pytest.raises(ModelmillError) as caught:
                await client.run(order, store, Nobody())
            assert caught.value.reason == "DISK_FULL"
