"""WorkerService: what this worker can do, and steps, each in a process of its own."""

import itertools
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Generator, Iterator, List

import grpc
from modelmill_protos.v1 import artifact_pb2, worker_pb2, worker_pb2_grpc

from modelmill_worker import messages, options, structs
from modelmill_worker.blobs import BlobCache, Pins
from modelmill_worker.errors import StepError
from modelmill_worker.failures import disk_full, is_disk_full
from modelmill_worker.logs import step_log
from modelmill_worker.plugin_api import Edge, FailedStep
from modelmill_worker.registry import Registry
from modelmill_worker.requests import ClosedError, RequestStream
from modelmill_worker.step_folder import InputFile, StepFolder
from modelmill_worker.step_run import InputTree, StepOrder, StepResult, StepRun, prepare
from modelmill_worker.watch import Limits
from modelmill_worker.zygote_client import ZygoteClient


@dataclass(frozen=True)
class Worker:
    """What all steps of a host share.

    steps: the folder in which each step gets its own.
    slots: how many steps may run at once.
    """

    registry: Registry
    zygote: ZygoteClient
    blobs: BlobCache
    steps: Path
    slots: threading.BoundedSemaphore


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    """Serves one environment."""

    def __init__(self, worker: Worker, environment: str, environment_digest: str) -> None:
        self._worker = worker
        self._description = messages.description(environment, environment_digest, worker.registry)
        self._numbers = itertools.count(1)

    def Describe(  # noqa: N802 - gRPC's name
        self,
        request: worker_pb2.DescribeRequest,  # noqa: ARG002 - gRPC gives it
        context: grpc.ServicerContext,  # noqa: ARG002 - gRPC gives it
    ) -> worker_pb2.WorkerDescription:
        """What this worker can do."""
        return self._description

    def RunStep(  # noqa: N802 - gRPC's name
        self, request_iterator: Iterator[worker_pb2.StepRequest], context: grpc.ServicerContext
    ) -> Iterator[worker_pb2.StepResponse]:
        """One step, as worker.proto tells."""
        requests = RequestStream(request_iterator)
        try:
            start = requests.start()
        except ClosedError:
            return
        except StepError as error:
            yield worker_pb2.StepResponse(failed=messages.failure(error))
            return
        session = _Session(self._worker, str(next(self._numbers)), start, requests, context)
        yield from session.responses()


class _Session:
    """One RunStep stream after its `start`."""

    def __init__(
        self,
        worker: Worker,
        number: str,
        start: worker_pb2.StepStart,
        requests: RequestStream,
        context: grpc.ServicerContext,
    ) -> None:
        self._worker = worker
        self._number = number
        self._start = start
        self._requests = requests
        self._context = context
        self._log = step_log(start.conversion_id, start.step_id)

    def responses(self) -> Iterator[worker_pb2.StepResponse]:
        """The whole exchange; a failure is its last message."""
        try:
            yield from self._exchange()
        except ClosedError:
            self._log.info("stream closed")
        except StepError as error:
            yield self._failed(error)
        except OSError as error:
            if not is_disk_full(error):
                raise
            yield self._failed(disk_full("the worker's folder"))

    def _exchange(self) -> Iterator[worker_pb2.StepResponse]:
        edge = self._worker.registry.edge(self._start.plugin, self._start.edge)
        given = structs.to_json(self._start.options)
        options.parse(edge.options, given)
        check_inputs(edge, self._start)
        with self._worker.blobs.pin(_digests(self._start)) as pins:
            missing = self._worker.blobs.missing(_digests(self._start))
            yield messages.need(missing)
            self._requests.receive(missing, self._worker.blobs)
            order = self._order(edge, given)
            self._wait_for_slot()
            try:
                finished = yield from self._run(order, pins)
            finally:
                self._worker.slots.release()
            yield worker_pb2.StepResponse(finished=finished)
            yield from self._outputs(finished.output)

    def _order(self, edge: Edge, given: Dict[str, Any]) -> StepOrder:
        path = self._worker.blobs.path
        inputs = {
            name: InputTree(artifact.kind, [InputFile(file.path, path(file.digest)) for file in artifact.files])
            for name, artifact in self._start.inputs.items()
        }
        limits = self._start.limits
        return StepOrder(
            self._start.plugin,
            edge,
            given,
            inputs,
            Limits(limits.deadline_seconds, limits.memory_bytes, limits.log_bytes),
        )

    def _wait_for_slot(self) -> None:
        while not self._worker.slots.acquire(timeout=0.2):
            if not self._context.is_active():
                raise ClosedError

    def _run(self, order: StepOrder, pins: Pins) -> Generator[worker_pb2.StepResponse, None, worker_pb2.StepFinished]:
        folder = self._worker.zygote.claim() or StepFolder(self._worker.steps / self._number).create()
        try:
            prepare(folder, order)
            result = yield from self._follow(folder, order)
            files = [self._adopt(folder, path, pins) for path in result.files]
        finally:
            self._worker.zygote.release(folder)
            folder.remove()
        return worker_pb2.StepFinished(
            output=messages.artifact(order.edge.output, files),
            facts=structs.from_json(result.facts),
            run_seconds=result.run_seconds,
            peak_memory=result.peak_memory,
        )

    def _follow(self, folder: StepFolder, order: StepOrder) -> Generator[worker_pb2.StepResponse, None, StepResult]:
        process = self._worker.zygote.start(self._number, order.plugin, folder)
        run = StepRun(folder, order, process)
        self._requests.watch(process)
        try:
            pid = run.started()
            self._log.info(
                "step started", extra={"fields": {"plugin": order.plugin, "edge": order.edge.name, "pid": pid}}
            )
            yield worker_pb2.StepResponse(started=worker_pb2.StepStarted(pid=pid))
            for item in run.news():
                yield messages.news(item)
        finally:
            run.end()
        result = run.result()
        self._log.info("step finished", extra={"fields": {"seconds": round(result.run_seconds, 4)}})
        return result

    def _adopt(self, folder: StepFolder, path: str, pins: Pins) -> artifact_pb2.File:
        digest, size = self._worker.blobs.adopt(folder.output / path, pins)
        return artifact_pb2.File(path=path, digest=digest, size=size)

    def _outputs(self, output: artifact_pb2.Artifact) -> Iterator[worker_pb2.StepResponse]:
        made = {file.digest for file in output.files}
        for digest in self._requests.want():
            if digest not in made:
                message = "The step made no file {!r:.80}; ask for digests of its output only.".format(digest)
                raise StepError("UNKNOWN_DIGEST", message, {"digest": digest[:100]})
            for data in self._worker.blobs.chunks(digest):
                yield messages.chunk(digest, data, last=False)
            yield messages.chunk(digest, b"", last=True)

    def _failed(self, error: StepError) -> worker_pb2.StepResponse:
        failed = FailedStep(self._start.plugin, self._start.edge, error.reason, error.message, error.log_tail)
        hints = self._worker.registry.error_hints(failed, self._log)
        if hints:
            told = [{"code": hint.code, "text": hint.text, "distribution": source} for source, hint in hints]
            error.details = dict(error.details, hints=told)
        self._log.warning("step failed", extra={"fields": {"reason": error.reason, "what": error.message}})
        return worker_pb2.StepResponse(failed=messages.failure(error))


def _digests(start: worker_pb2.StepStart) -> List[str]:
    return [file.digest for _, artifact in sorted(start.inputs.items()) for file in artifact.files]


def check_inputs(edge: Edge, start: worker_pb2.StepStart) -> None:
    """Raises StepError INVALID_INPUT where names or kinds are not those that the edge takes."""
    expected = dict(edge.inputs)
    given = {name: artifact.kind for name, artifact in start.inputs.items()}
    if set(expected) == {"*"}:
        fits = bool(given) and set(given.values()) == {expected["*"]}
    else:
        fits = set(expected) == set(given) and all(kind in ("*", given[name]) for name, kind in expected.items())
    if not fits:
        raise StepError(
            "INVALID_INPUT",
            "The edge {} of {} takes {}, not {}.".format(edge.name, start.plugin, _told(expected), _told(given)),
            {"expected": expected, "given": given},
        )


def _told(inputs: Dict[str, str]) -> str:
    return ", ".join("{} ({})".format(name, kind) for name, kind in sorted(inputs.items())) or "no inputs"
