"""The coordinator's side of WorkerService: one step over one stream, and its files both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Protocol

import grpc
from modelmill_protos.v1 import worker_pb2, worker_pb2_grpc

from modelmill import wire
from modelmill.artifacts.store import ArtifactStore
from modelmill.errors import Fault, ModelmillError
from modelmill.values import Artifact, BrokenPlugin, File, StepOrder, StepResult, WorkerDescription

#: Bytes of one message: facts may be 8 MiB of JSON, in which a number of one digit is eleven bytes on the wire.
_MESSAGE_LIMIT = 64 << 20
#: Files up to this many bytes are kept side by side while the next ones come: each waits for the disk.
_SMALL = 1 << 20
#: Seconds in which a worker that is asked whether it is there must answer.
_ANSWER_SECONDS = 10.0


class StepListener(Protocol):
    """Is told how a step goes. Methods return at once; they are called on the event loop."""

    def waits(self, message: str) -> None:
        """Something must be had before the step can start, such as its environment."""

    def started(self) -> None:
        """Its process runs."""

    def progressed(self, fraction: float, message: str) -> None:
        """How far it is, from 0 to 1; negative where it cannot be told."""

    def logged(self, text: str) -> None:
        """What it printed."""


class WorkerClient:
    """A connection to one worker host; close it, or use it as an asynchronous context."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
                ("grpc.max_send_message_length", _MESSAGE_LIMIT),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        self._stub = worker_pb2_grpc.WorkerServiceStub(self._channel)

    async def __aenter__(self) -> WorkerClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection and with it whatever runs over it."""
        await self._channel.close()

    async def describe(self) -> WorkerDescription:
        """The plug-ins that the worker has loaded, and those that it could not; WORKER_LOST where it is gone."""
        try:
            message = await self._stub.Describe(worker_pb2.DescribeRequest(), wait_for_ready=True, timeout=60)
        except grpc.aio.AioRpcError as error:
            raise _lost(error) from error
        broken = (
            BrokenPlugin(item.name, item.version, item.distribution, wire.failure_of(item.failure))
            for item in message.broken
        )
        return WorkerDescription(
            environment=message.environment,
            python=message.python,
            plugins=tuple(wire.plugin_of(plugin) for plugin in message.plugins),
            broken=tuple(broken),
        )

    async def answers(self) -> bool:
        """Whether the worker can be reached now."""
        try:
            await self._stub.Describe(worker_pb2.DescribeRequest(), timeout=_ANSWER_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return True

    async def run(self, order: StepOrder, store: ArtifactStore, listener: StepListener) -> StepResult:
        """Run one step; its inputs come from the store and its outputs are put there.

        Cancelling the task ends the step process. Raises ModelmillError with the step's failure, or with
        WORKER_LOST where the worker is gone.
        """
        call = self._stub.RunStep()
        try:
            return await _Exchange(call, store, listener).run(order)
        except grpc.aio.AioRpcError as error:
            raise _lost(error) from error
        except asyncio.InvalidStateError as error:  # grpc.aio's word for a write on a call that has ended
            raise _lost(error) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _lost(error) from error  # nobody cancelled us: the connection was closed while the step ran
        finally:
            call.cancel()


class _Exchange:
    """One run of the protocol that worker.proto describes.

    Inputs are sent while answers are read: a worker that cannot take them says why and ends the stream, and what was
    not read by then is lost.
    """

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[worker_pb2.StepRequest, worker_pb2.StepResponse],
        store: ArtifactStore,
        listener: StepListener,
    ) -> None:
        self._call = call
        self._store = store
        self._listener = listener
        self._sending: asyncio.Task[None] | None = None

    async def run(self, order: StepOrder) -> StepResult:
        await self._call.write(worker_pb2.StepRequest(start=_start_message(order)))
        finished: worker_pb2.StepFinished | None = None
        try:
            while finished is None:
                finished = await self._follow(await self._next())
        finally:
            if self._sending is not None:
                self._sending.cancel()
        output = wire.artifact_of(finished.output)
        await self._fetch(output.files)
        return StepResult(
            output=Artifact(output.kind, tuple(sorted(output.files))),
            facts=wire.value_of(finished.facts),
            run_seconds=finished.run_seconds,
            peak_memory=finished.peak_memory,
        )

    async def _next(self) -> worker_pb2.StepResponse:
        reading = asyncio.ensure_future(self._call.read())
        try:
            if self._sending is not None:
                await asyncio.wait({reading, self._sending}, return_when=asyncio.FIRST_COMPLETED)
                self._check_sending(self._sending)
            response = await reading
        except BaseException:
            reading.cancel()
            raise
        if not isinstance(response, worker_pb2.StepResponse):  # grpc.aio.EOF
            code = await self._call.code()
            raise ModelmillError(
                "WORKER_LOST",
                f"The worker ended the stream before the step had a result ({code.name}).",
                {"code": code.name, "what": await self._call.details()},
                Fault.INFRASTRUCTURE,
            )
        return response

    async def _follow(self, response: worker_pb2.StepResponse) -> worker_pb2.StepFinished | None:
        part = response.WhichOneof("part")
        if part == "need":
            self._sending = asyncio.create_task(self._send(response.need.digests), name="inputs")
        elif part == "started":
            self._listener.started()
        elif part == "progress":
            self._listener.progressed(response.progress.fraction, response.progress.message)
        elif part == "log":
            self._listener.logged(response.log)
        elif part == "failed":
            raise ModelmillError.of(wire.failure_of(response.failed))
        elif part == "finished":
            return response.finished
        return None

    @staticmethod
    def _check_sending(sending: asyncio.Task[None]) -> None:
        """Raise what the store said, if it could not give an input; a stream that has ended is for the reader."""
        if sending.done() and not sending.cancelled():
            sending.result()

    async def _send(self, digests: Iterable[str]) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the stream has ended: an answer says why
            await self._send_files(digests)

    async def _send_files(self, digests: Iterable[str]) -> None:
        for digest in digests:
            async for data in self._store.read(digest):
                await self._call.write(worker_pb2.StepRequest(chunk=worker_pb2.Chunk(digest=digest, data=data)))
            end = worker_pb2.Chunk(digest=digest, last=True)
            await self._call.write(worker_pb2.StepRequest(chunk=end))

    async def _fetch(self, files: tuple[File, ...]) -> None:
        sizes = {file.digest: file.size for file in files}
        wanted = self._store.missing(sizes)
        await self._call.write(worker_pb2.StepRequest(want=worker_pb2.Digests(digests=wanted)))
        kept: list[asyncio.Future[None]] = []
        try:
            for digest in wanted:
                if sizes[digest] <= _SMALL:
                    data = b"".join([part async for part in self._parts()])
                    kept.append(asyncio.ensure_future(asyncio.to_thread(self._keep, digest, sizes[digest], data)))
                else:
                    async with self._store.sink(digest, sizes[digest]) as sink:
                        async for part in self._parts():
                            await sink.write(part)
        finally:
            await asyncio.gather(*kept)
        await self._call.done_writing()

    async def _parts(self) -> AsyncIterator[bytes]:
        """The bytes of the file whose chunks come next."""
        last = False
        while not last:
            chunk = (await self._next()).chunk
            yield chunk.data
            last = chunk.last

    def _keep(self, digest: str, size: int, data: bytes) -> None:
        with self._store.writer(digest, size) as writer:
            writer.write(data)


def _start_message(order: StepOrder) -> worker_pb2.StepStart:
    return worker_pb2.StepStart(
        conversion_id=order.conversion_id,
        step_id=order.step_id,
        plugin=order.plugin,
        edge=order.edge,
        options=wire.struct_of(order.options),
        inputs={name: wire.artifact_message(artifact) for name, artifact in order.inputs.items()},
        limits=worker_pb2.StepLimits(
            deadline_seconds=order.limits.deadline_seconds,
            memory_bytes=order.limits.memory_bytes,
            log_bytes=order.limits.log_bytes,
        ),
    )


def _lost(error: BaseException) -> ModelmillError:
    what = str(error) or "the connection was closed"
    if isinstance(error, grpc.aio.AioRpcError):
        what = error.details() or error.code().name
    return ModelmillError(
        "WORKER_LOST",
        f"The worker was lost while it had the step ({what}).",
        {"what": what},
        Fault.INFRASTRUCTURE,
    )
