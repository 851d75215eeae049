r"""The worker host: a gRPC server beside a pinned TensorFlow that imports none of it.

    python -m modelmill_worker.host --environment tf-1.15 --environment-digest D \
        --provides '{"tensorflow": "1.15.5"}' --address unix:/run/w.sock --folder /tmp/w

When it serves it prints one line to standard output, ``{"address": ..., "pid": ...}``, and nothing else there;
its log goes to standard error. The end of its standard input, or SIGTERM, ends it with all its processes and files.
"""

import argparse
import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import threading
from concurrent import futures
from pathlib import Path
from typing import Iterator, List, Optional

import grpc
from modelmill_protos.v1 import worker_pb2_grpc

from modelmill_worker import libc, logs, registry, sandbox
from modelmill_worker.blobs import BlobCache
from modelmill_worker.servicer import Worker, WorkerServicer
from modelmill_worker.step_folder import remove_tree
from modelmill_worker.zygote_client import ZygoteClient

#: Seconds after which a host that cannot end in good order ends anyway.
_LAST_RESORT = 20.0


def main(arguments: Optional[List[str]] = None) -> int:
    """Serve until standard input ends or SIGTERM comes."""
    given = _parser().parse_args(arguments)
    logs.write_to_stderr()
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the coordinator, which ends us in order
    end = _termination()
    libc.adopt_orphans()
    with _run_folder(given.folder):
        _serve(given, end)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelmill_worker.host", description="Run the steps of one environment.")
    parser.add_argument("--environment", required=True, help="its name")
    parser.add_argument("--environment-digest", required=True, help="the digest of its lock file")
    parser.add_argument("--provides", type=json.loads, default={}, help="package to version, a JSON object")
    parser.add_argument("--address", default="127.0.0.1:0", help="unix:PATH or HOST:PORT, port 0 for a free one")
    parser.add_argument("--folder", type=Path, required=True, help="for files; used by one host at a time")
    parser.add_argument("--concurrency", type=int, default=1, help="steps at once (default: 1)")
    parser.add_argument("--cache-bytes", type=int, default=4 << 30, help="files kept for later steps (default: 4 GiB)")
    return parser


def _serve(given: argparse.Namespace, end: int) -> None:
    steps = given.folder / "steps"
    zygote = ZygoteClient(given.provides, given.folder / "zygote.log", steps)
    zygote.open()
    worker = Worker(
        registry.load(),
        zygote,
        BlobCache(given.folder / "blobs", given.cache_bytes),
        steps,
        threading.BoundedSemaphore(given.concurrency),
    )
    # Each waiting or running step holds a thread; some are left for Describe.
    pool = futures.ThreadPoolExecutor(max_workers=2 * given.concurrency + 4)
    server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
    servicer = WorkerServicer(worker, given.environment, given.environment_digest)
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, server)
    address = _bind(server, given.address)
    server.start()
    fields = {"environment": given.environment, "address": address, "landlock": sandbox.version()}
    logs.worker_log().info("worker serves", extra={"fields": fields})
    print(json.dumps({"address": address, "pid": os.getpid()}), flush=True)  # noqa: T201 - what the coordinator reads
    _wait_for_end(end)
    _shut_down(server, zygote, pool)


def _bind(server: grpc.Server, address: str) -> str:
    """Listen: the address with the port that was found. Raises RuntimeError."""
    port = server.add_insecure_port(address)
    if port == 0:
        raise RuntimeError("cannot listen on {}".format(address))
    return address if address.startswith("unix:") else "{}:{}".format(address.rpartition(":")[0], port)


def _termination() -> int:
    """A descriptor that becomes readable on SIGTERM."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return read


def _wait_for_end(end: int) -> None:
    standard_input = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([standard_input, end], [], [])
        if end in ready:
            logs.worker_log().info("worker ends", extra={"fields": {"cause": "SIGTERM"}})
            return
        if not os.read(standard_input, 4096):
            logs.worker_log().info("worker ends", extra={"fields": {"cause": "end of standard input"}})
            return


def _shut_down(server: grpc.Server, zygote: ZygoteClient, pool: futures.ThreadPoolExecutor) -> None:
    last_resort = threading.Timer(_LAST_RESORT, os._exit, [1])
    last_resort.daemon = True
    last_resort.start()
    stopped = server.stop(grace=0)
    zygote.close()
    stopped.wait()
    pool.shutdown(wait=True)
    last_resort.cancel()


@contextlib.contextmanager
def _run_folder(folder: Path) -> Iterator[None]:
    """A folder of our own, cleared of what a killed host left, and cleared again at the end.

    Raises BlockingIOError where another host uses it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _clear(folder)
        (folder / "steps").mkdir()
        try:
            yield
        finally:
            _clear(folder)
            lock.unlink()


def _clear(folder: Path) -> None:
    for name in ("steps", "blobs"):
        remove_tree(folder / name)
    log = folder / "zygote.log"
    if log.exists():
        log.unlink()


if __name__ == "__main__":
    sys.exit(main())
