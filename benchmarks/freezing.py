"""Freezing against TensorFlow's own ways, in fresh processes, of the corpus's nets and of a checkpoint of 1.5 GB."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.farm import PROJECT, Farm, corpus
from benchmarks.row import Row, seconds

ENVIRONMENTS = ("tf-1.15", "tf-2.15")
WAYS = {
    "modelmill": "modelmill",
    "freeze_graph": "`freeze_graph`",
    "session": "a session and `convert_variables_to_constants`",
}
ROUNDS, ROUNDS_OF_LARGE = 3, 1
#: What the process of a step may take over its start, in bytes, beside twice the weights.
MARGIN = 300e6


@dataclass(frozen=True)
class Source:
    """A checkpoint with its graph; weights: bytes."""

    name: str
    graph: Path
    checkpoint: Path
    outputs: tuple[str, ...]
    rounds: int

    @property
    def weights(self) -> int:
        return sum(path.stat().st_size for path in self.checkpoint.parent.glob(self.checkpoint.name + ".data-*"))


@dataclass(frozen=True)
class Run:
    """What one process told."""

    seconds: float
    peak: int
    imported: int
    nodes: int = 0


def measure(farm: Farm) -> list[Row]:
    pythons = {name: farm.python_of(name) for name in ENVIRONMENTS}
    rows = []
    for source in _sources(farm.folder, pythons["tf-1.15"]):
        for name, python in pythons.items():
            print(f"    {source.name} in {name}", flush=True)
            rows += _measure(farm.folder, source, name, python)
    return rows


def _sources(folder: Path, python: Path) -> Iterator[Source]:
    nets = corpus()
    if nets is None:
        print("    MTCNN is left out: the corpus is not here")
    else:
        outputs = {"pnet": ("prob", "bbox"), "rnet": ("prob", "bbox"), "onet": ("prob", "bbox", "landmarks")}
        for net, names in outputs.items():
            files = nets / "mtcnn" / "tf1.15.5" / net
            title = f"MTCNN's {net[0].upper()}-Net"
            yield Source(title, files / "graph.pb", files / "model.ckpt", names, ROUNDS)
    large = folder / "large"
    large.mkdir()
    source = Source("1.5 GB", large / "graph.pb", large / "model.ckpt", ("y",), ROUNDS_OF_LARGE)
    _run(python, "make", source.graph, source, large / "none")
    yield source


def _measure(folder: Path, source: Source, environment: str, python: Path) -> Iterator[Row]:
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    results = {}
    for _ in range(source.rounds):
        for way in WAYS:
            results[way] = folder / "freezing" / way / "frozen.pb"
            results[way].parent.mkdir(parents=True, exist_ok=True)
            runs[way].append(_run(python, way, source.graph, source, results[way]))
    arrays = {}
    for way, result in results.items():
        answers = folder / "freezing" / f"{way}.npz"
        _run(python, "run", result, source, answers)
        with np.load(answers) as made:
            arrays[way] = [made[key] for key in made.files]
        result.unlink()
    ours = runs["modelmill"]
    for way in ("freeze_graph", "session"):
        theirs = runs[way]
        time = statistics.median(run.seconds for run in ours) / statistics.median(run.seconds for run in theirs)
        memory = max(run.peak for run in ours) / max(run.peak for run in theirs)
        error = max(float(np.abs(a - b).max()) for a, b in zip(arrays["modelmill"], arrays[way], strict=True))
        taken = max(run.peak - run.imported for run in ours)
        yield Row(
            f"{source.name}, {environment}",
            _told(ours),
            f"{_told(theirs)}, {WAYS[way]}",
            f"time {time:.2f}x, peak {memory:.2f}x; "
            + ("same numbers" if error == 0 else f"they differ by {error:.1e}"),
            "same numbers, at most 2x the weights + 300 MB over the imports",
            error == 0 and taken <= 2 * source.weights + MARGIN,
        )


def _told(runs: list[Run]) -> str:
    peak, imported = max(run.peak for run in runs), max(run.imported for run in runs)
    taken = f"peak {peak / 1e6:.0f} MB, {imported / 1e6:.0f} of it imports"
    return f"{seconds([run.seconds for run in runs])}, {taken}, {runs[0].nodes} nodes"


def _run(python: Path, way: str, graph: Path, source: Source, result: Path) -> Run:
    script = Path(__file__).with_name("freezing_process.py")
    code = [PROJECT / "protos", PROJECT / "workers", PROJECT / "plugins" / "freezer"]
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(path) for path in code),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [python, script, way, graph, source.checkpoint, ",".join(source.outputs), result]
    process = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if process.returncode:
        sys.stderr.write(process.stderr)
        process.check_returncode()
    return Run(**json.loads(process.stdout.splitlines()[-1]))
