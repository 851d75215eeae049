"""A real worker host in a process of its own, and a coordinator's half of a RunStep stream.

Everything here runs on Python 3.6 as well (test_on_python_3_6.py).
"""

import collections
import contextlib
import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from modelmill_protos.v1 import artifact_pb2, failure_pb2, worker_pb2, worker_pb2_grpc

ROOT = Path(__file__).resolve().parents[3]
PLUGIN = ROOT / "tests" / "plugins" / "misbehaving"
MODEL = {"graph.pb": b"not looked at by these edges", "weights/part": b"\x00" * 3000}
PATIENCE = 60.0


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wait_until(holds: Callable[[], Any], what: str) -> Any:
    """Poll until something holds; what it returned."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        result = holds()
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError("waited in vain for " + what)


def exists(pid: int) -> bool:
    """A process is there and not a zombie."""
    try:
        stat = Path("/proc/{}/stat".format(pid)).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def install_metadata(folder: Path, name: str, module: str) -> None:
    """What an installer leaves of a distribution: enough to find its entry point."""
    info = folder / "{}-0.1.0.dist-info".format(name.replace("-", "_"))
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: {}\nVersion: 0.1.0\n".format(name))
    (info / "entry_points.txt").write_text("[modelmill.plugins]\nentry = {}\n".format(module))


@dataclass
class Outcome:
    """All that came back from one step."""

    need: List[str]
    pid: int
    progress: List[worker_pb2.Progress]
    log: str
    finished: Optional[worker_pb2.StepFinished]
    failed: Optional[failure_pb2.Failure]
    outputs: Dict[str, bytes]

    @property
    def facts(self) -> Dict[str, Any]:
        assert self.finished is not None, self.failed
        return json_format.MessageToDict(self.finished.facts)

    @property
    def details(self) -> Dict[str, Any]:
        assert self.failed is not None, self.finished
        return json_format.MessageToDict(self.failed.details)


class StepStream:
    """The coordinator's half, message by message."""

    def __init__(self, stub: worker_pb2_grpc.WorkerServiceStub) -> None:
        self._requests = queue.Queue()  # type: ignore[var-annotated]
        self.call = stub.RunStep(iter(self._requests.get, None), timeout=2 * PATIENCE)
        self.outcome = Outcome([], 0, [], "", None, None, {})

    def start(self, plugin: str, edge: str, options: Dict[str, Any], files: Dict[str, bytes], **limits: Any) -> None:
        given = struct_pb2.Struct()
        given.update(options)
        listed = [artifact_pb2.File(path=path, digest=digest_of(data), size=len(data)) for path, data in files.items()]
        self.send(
            start=worker_pb2.StepStart(
                conversion_id="conversion-1",
                step_id="step-1",
                plugin=plugin,
                edge=edge,
                options=given,
                inputs={"model": artifact_pb2.Artifact(kind="tf.frozen_graph", files=listed)},
                limits=worker_pb2.StepLimits(**limits),
            )
        )

    def send(self, **part: Any) -> None:
        self._requests.put(worker_pb2.StepRequest(**part))

    def send_file(self, digest: str, data: bytes) -> None:
        self.send(chunk=worker_pb2.Chunk(digest=digest, data=data[:1000]))
        self.send(chunk=worker_pb2.Chunk(digest=digest, data=data[1000:], last=True))

    def send_needed(self, files: Dict[str, bytes]) -> None:
        known = {digest_of(data): data for data in files.values()}
        for digest in self.outcome.need:
            self.send_file(digest, known[digest])

    def close(self) -> None:
        self._requests.put(None)

    def read(self) -> Optional[str]:
        """Take the next message into the outcome: its name; None at the end."""
        try:
            message = next(self.call)
        except StopIteration:
            return None
        part = message.WhichOneof("part")
        if part == "need":
            self.outcome.need = list(message.need.digests)
        elif part == "started":
            self.outcome.pid = message.started.pid
        elif part == "progress":
            self.outcome.progress.append(message.progress)
        elif part == "log":
            self.outcome.log += message.log
        elif part == "finished":
            self.outcome.finished = message.finished
        elif part == "failed":
            self.outcome.failed = message.failed
        elif part == "chunk":
            self.outcome.outputs[message.chunk.digest] = (
                self.outcome.outputs.get(message.chunk.digest, b"") + message.chunk.data
            )
        return part

    def read_until(self, *parts: Optional[str]) -> Optional[str]:
        while True:
            part = self.read()
            if part in parts or part is None:
                return part


class Host:
    """A worker host that runs, and its folder."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path, log: Path) -> None:
        self.process = process
        self.folder = folder
        self.log = log
        line = process.stdout.readline()
        assert line, log.read_text()
        self.address = json.loads(line.decode())["address"]
        self.channel = grpc.insecure_channel(self.address, options=[("grpc.enable_http_proxy", 0)])
        self.stub = worker_pb2_grpc.WorkerServiceStub(self.channel)

    def describe(self) -> worker_pb2.WorkerDescription:
        return self.stub.Describe(worker_pb2.DescribeRequest(), timeout=PATIENCE)

    def stream(self) -> StepStream:
        return StepStream(self.stub)

    def begin(self, edge: str, options: Optional[Dict[str, Any]] = None, **limits: Any) -> StepStream:
        """A step whose process has started."""
        stream = self.stream()
        stream.start("misbehaving", edge, options or {}, MODEL, **limits)
        stream.read_until("need")
        stream.send_needed(MODEL)
        assert stream.read_until("started") == "started", stream.outcome
        return stream

    def run(
        self,
        edge: str,
        options: Optional[Dict[str, Any]] = None,
        files: Optional[Dict[str, bytes]] = None,
        plugin: str = "misbehaving",
        **limits: Any,
    ) -> Outcome:
        """A step from start to end, with all its outputs fetched."""
        files = MODEL if files is None else files
        stream = self.stream()
        stream.start(plugin, edge, options or {}, files, **limits)
        if stream.read_until("need", "failed") == "need":
            stream.send_needed(files)
            if stream.read_until("finished", "failed") == "finished":
                wanted = {file.digest for file in stream.outcome.finished.output.files}
                stream.send(want=worker_pb2.Digests(digests=sorted(wanted)))
        stream.close()
        stream.read_until(None)
        assert stream.call.code() == grpc.StatusCode.OK
        return stream.outcome

    def zygote(self) -> int:
        """The pid of the zygote that runs now."""
        return (
            wait_until(lambda: self.logged("zygote ready"), "the zygote") and self.logged("zygote started")[-1]["pid"]
        )

    def logged(self, event: str) -> List[Dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def spare(self) -> int:
        """The pid of a spare that waits for its step, as soon as there is one."""

        def find() -> Optional[int]:
            given = {line["pid"] for line in self.logged("step started")}
            ready = [line["pid"] for line in self.logged("spare ready")]
            return next((pid for pid in ready[-1:] if pid not in given and exists(pid)), None)

        return wait_until(find, "a spare")

    def step_folders(self) -> List[str]:
        """Names of the steps' folders; that of the one spare that waits is not among them."""
        names = sorted(path.name for path in (self.folder / "steps").iterdir())
        spares = [name for name in names if name.startswith("spare-")]
        return [name for name in names if name not in spares[-1:]]

    def left_behind(self) -> List[str]:
        """Files of steps and hosts in the run folder."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))

    def stop(self) -> int:
        """Let it end as a coordinator does."""
        self.channel.close()
        self.process.stdin.close()
        return self.process.wait(timeout=PATIENCE)


@contextlib.contextmanager
def running_host(
    folder: Path,
    python_path: Optional[List[Path]] = None,
    provides: Optional[Dict[str, str]] = None,
    arguments: Optional[List[str]] = None,
    variables: Optional[Dict[str, str]] = None,
    prefix: Optional[List[str]] = None,
) -> Iterator[Host]:
    """Start a host that has the misbehaving plug-in, and what else is on `python_path`.

    prefix: a command that runs the host's.
    """
    installed = folder / "installed"
    install_metadata(installed, "modelmill-misbehaving", "modelmill_misbehaving")
    paths = [installed, PLUGIN] + list(python_path or []) + [ROOT / "workers", ROOT / "protos"]
    command = list(prefix or [])
    command += [sys.executable, "-m", "modelmill_worker.host", "--environment", "here", "--environment-digest", "d1"]
    command += ["--provides", json.dumps(provides or {}), "--address", "unix:{}".format(folder / "w.sock")]
    command += ["--folder", str(folder / "run")] + list(arguments or [])
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, paths)), **(variables or {}))
    log = folder / "host.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
        )
    try:
        yield Host(process, folder / "run", log)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name, which the kernel limits to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="mm-"))
    yield folder
    shutil.rmtree(str(folder), ignore_errors=True)


@pytest.fixture
def start_host(short_folder: Path) -> Iterator[Callable[..., Host]]:
    """Start hosts, each in a folder of its own; ended with the test."""
    with contextlib.ExitStack() as stack:
        count = collections.Counter()  # type: ignore[var-annotated]

        def start(**how: Any) -> Host:
            count["hosts"] += 1
            folder = short_folder / str(count["hosts"])
            folder.mkdir()
            return stack.enter_context(running_host(folder, **how))

        yield start


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """One host for all tests of a module: a test that harms it harms the next."""
    folder = Path(tempfile.mkdtemp(prefix="mm-"))
    with running_host(folder, arguments=["--concurrency", "2"]) as running:
        yield running
    shutil.rmtree(str(folder), ignore_errors=True)


@pytest.fixture(scope="session")
def tools() -> Any:
    """The functions above, for tests: pytest imports test files one by one, so they cannot import this one."""
    names = ("digest_of", "wait_until", "exists", "install_metadata")
    return collections.namedtuple("Tools", names)(digest_of, wait_until, exists, install_metadata)
