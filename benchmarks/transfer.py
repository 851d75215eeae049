"""1 GiB into the farm and out again, against a copy that computes the SHA-256, and the memory that it takes."""

import hashlib
import os
import statistics
from pathlib import Path

import psutil
from modelmill.client import artifact_pb2

from benchmarks.farm import Farm, timed
from benchmarks.row import Row, seconds

SIZE = 1 << 30
ROUNDS = 3
MEMORY_LIMIT = 200 << 20


def measure(farm: Farm) -> list[Row]:
    uploads, downloads, copies, peaks = [], [], [], []
    for number in range(ROUNDS):
        path = farm.folder / "source" / f"weights-{number}.bin"
        _make(path)
        _reset_peak(farm.pid)
        sent: list[artifact_pb2.Artifact] = []
        uploads.append(timed(lambda path=path, sent=sent: sent.append(farm.client.upload(path))))
        copies.append(timed(lambda path=path: _copy(path, farm.folder / "copy.bin")))
        downloads.append(timed(lambda sent=sent: farm.client.download(sent[0], farm.folder / "back")))
        peaks.append(_peak(farm.pid))
        path.unlink()
    copy = statistics.median(copies)
    other = f"{seconds(copies)}, a copy with SHA-256"
    return [
        Row("1 GiB up", seconds(uploads), other, f"{statistics.median(uploads) / copy:.2f}x", "", None),
        Row("1 GiB down", seconds(downloads), other, f"{statistics.median(downloads) / copy:.2f}x", "", None),
        Row(
            "Coordinator's peak memory while 1 GiB passes up and down",
            f"{max(peaks) / 2**20:.0f} MiB",
            f"{psutil.Process(farm.pid).memory_info().rss / 2**20:.0f} MiB, at rest afterwards",
            "",
            "under 200 MiB",
            max(peaks) < MEMORY_LIMIT,
        ),
    ]


def _make(path: Path) -> None:
    """Bytes that no file system can squeeze, other ones each time."""
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        for _ in range(SIZE >> 23):
            file.write(os.urandom(1 << 23))
        os.fsync(file.fileno())


def _copy(source: Path, target: Path) -> None:
    """What a copy that is checked and that survives a power cut costs: read, hash, write, fsync."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while data := reader.read(1 << 20):
            digest.update(data)
            writer.write(data)
        os.fsync(writer.fileno())
    target.unlink()


def _reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10
