"""The coordinator's half of a RunStep stream, read in the order that worker.proto tells."""

import queue
import threading
from typing import Iterator, List, Optional

from modelmill_protos.v1 import worker_pb2

from modelmill_worker.blobs import BlobCache
from modelmill_worker.errors import INFRASTRUCTURE, StepError
from modelmill_worker.zygote_client import Closed, StepProcess


class ClosedError(Exception):
    """The coordinator closed or cancelled the stream."""


class RequestStream:
    """Reads messages one at a time, never ahead of what is to come next."""

    def __init__(self, messages: Iterator[worker_pb2.StepRequest]) -> None:
        self._messages = messages
        self._answers: "queue.Queue[Optional[worker_pb2.StepRequest]]" = queue.Queue()
        self._waiting = False

    def start(self) -> worker_pb2.StepStart:
        """What to run. Raises ClosedError, StepError PROTOCOL_VIOLATED."""
        return self._expect("start").start

    def receive(self, digests: List[str], blobs: BlobCache) -> None:
        """Take these files, in whatever order.

        Raises ClosedError, StepError PROTOCOL_VIOLATED (a chunk nobody asked for), DIGEST_MISMATCH.
        """
        due = set(digests)
        while due:
            first = self._expect("chunk").chunk
            if first.digest not in due:
                raise _violated("a chunk of {!r:.80}, which was not asked for".format(first.digest))
            self._receive_file(first, blobs)
            due.remove(first.digest)

    def watch(self, process: StepProcess) -> None:
        """From now on, kill the step's process as soon as the stream is closed or cancelled.

        The one message that may come while a step runs is `want`; it is kept for `want`.
        """
        self._waiting = True
        threading.Thread(target=self._listen, args=(process,), name="requests", daemon=True).start()

    def want(self) -> List[str]:
        """Which outputs to send. Raises ClosedError, StepError PROTOCOL_VIOLATED."""
        message = self._answers.get() if self._waiting else self._next()
        if message is None:
            raise ClosedError
        if message.WhichOneof("part") != "want":
            raise _violated("{} where `want` is due".format(message.WhichOneof("part")))
        return list(message.want.digests)

    def _receive_file(self, chunk: worker_pb2.Chunk, blobs: BlobCache) -> None:
        digest = chunk.digest
        with blobs.receive(digest) as file:
            file.write(chunk.data)
            while not chunk.last:
                chunk = self._expect("chunk").chunk
                if chunk.digest != digest:
                    raise _violated("a chunk of {!r:.80} amid those of {}".format(chunk.digest, digest))
                file.write(chunk.data)
            file.commit()

    def _listen(self, process: StepProcess) -> None:
        message = self._next()
        if message is None:
            process.kill()
            process.events.put(Closed())
        self._answers.put(message)

    def _expect(self, part: str) -> worker_pb2.StepRequest:
        message = self._next()
        if message is None:
            raise ClosedError
        if message.WhichOneof("part") != part:
            raise _violated("{} where `{}` is due".format(message.WhichOneof("part"), part))
        return message

    def _next(self) -> Optional[worker_pb2.StepRequest]:
        """The next message; None at the end, however it came."""
        try:
            return next(self._messages)
        except StopIteration:
            return None
        except Exception:  # noqa: BLE001 - grpcio raises a bare Exception for a stream that was cancelled
            return None


def _violated(what: str) -> StepError:
    return StepError(
        "PROTOCOL_VIOLATED",
        "The worker got {}. Coordinator and worker are of different versions: install the same.".format(what),
        fault=INFRASTRUCTURE,
    )
