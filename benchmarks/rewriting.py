"""The rewriter against TensorFlow 1.15's Graph Transform Tool, from file to file, in fresh processes."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.farm import PROJECT, Farm
from benchmarks.row import Row, seconds

ROUNDS = 3
#: Both are held to it from this size on, in bytes.
LARGE = 50e6
#: What the rewriter may take over its imports: the graph, and so many bytes for each of its nodes and besides.
PER_NODE, MARGIN = 4000, 20e6
NODES_IN_LAYER = 10

TRANSFORMS = {
    "deployment": "strip_unused_nodes remove_nodes(op=Identity) fold_constants fold_batch_norms fold_old_batch_norms",
    "remove_nodes": "remove_nodes(op=Identity)",
    "merge_duplicate_nodes": "merge_duplicate_nodes",
    "round_weights": "round_weights(num_steps=64)",
    "quantize_weights": "quantize_weights",
    "obfuscate_names": "obfuscate_names",
}


@dataclass(frozen=True)
class Made:
    """A graph. channels: decide how large its constants are: 512 are 9 MB, 32 are 37 kB."""

    title: str
    channels: int
    layers: int
    transforms: tuple[str, ...] = tuple(TRANSFORMS)

    @property
    def nodes(self) -> int:
        return NODES_IN_LAYER * self.layers + 2


def _of_size(megabytes: int, channels: int, what: str, transforms: tuple[str, ...] = tuple(TRANSFORMS)) -> Made:
    layers = round(megabytes * 1e6 / (9 * channels * channels * 4))
    return Made(f"{megabytes} MB, {what} constants", channels, max(1, layers), transforms)


GRAPHS = (
    _of_size(5, 256, "large"),
    _of_size(50, 512, "large"),
    _of_size(200, 512, "large"),
    _of_size(5, 32, "small"),
    _of_size(50, 32, "small"),
    _of_size(200, 32, "small", ("deployment", "remove_nodes")),
    Made("100,000 nodes", 4, 10_000, ("deployment", "remove_nodes")),
)


@dataclass(frozen=True)
class Run:
    """What one process told."""

    seconds: float
    importing: float
    peak: int
    imported: int
    size: int

    @property
    def taken(self) -> int:
        """Bytes over the imports."""
        return self.peak - self.imported


def measure(farm: Farm) -> list[Row]:
    pythons = {"modelmill": farm.python_of("base"), "tool": farm.python_of("tf-1.15")}
    folder = farm.folder / "rewriting"
    folder.mkdir()
    rows = []
    for made in GRAPHS:
        graph = folder / "graph.pb"
        _call(pythons["modelmill"], "rewriting_graphs.py", made.channels, made.layers, graph)
        for name in made.transforms:
            print(f"    {made.title}, {name}", flush=True)
            rows += _race(pythons, made, graph, name, folder / "result.pb")
    return rows


def _race(pythons: dict[str, Path], made: Made, graph: Path, name: str, result: Path) -> Iterator[Row]:
    runs: dict[str, list[Run]] = {way: [] for way in pythons}
    for _ in range(ROUNDS):
        for way, python in pythons.items():
            told = _call(python, "rewriting_process.py", way, graph, TRANSFORMS[name], result)
            runs[way].append(Run(**json.loads(told.splitlines()[-1])))
    ours, theirs = runs["modelmill"], runs["tool"]
    time = statistics.median(run.seconds for run in ours) / statistics.median(run.seconds for run in theirs)
    memory = max(run.taken for run in ours) / max(run.taken for run in theirs)
    size = graph.stat().st_size
    allowed = size + made.nodes * PER_NODE + MARGIN
    is_held = size >= 0.9 * LARGE
    yield Row(
        f"{made.title}, `{name}`",
        _told(ours),
        _told(theirs),
        f"time {time:.2f}x, memory {memory:.2f}x",
        "no slower" if is_held else "",
        time <= 1 if is_held else None,
    )
    if name == "remove_nodes":  # which makes no new constants
        taken = max(run.taken for run in ours)
        yield Row(
            f"{made.title}, memory over the imports, `remove_nodes`",
            f"{taken / 1e6:.0f} MB",
            f"the graph: {size / 1e6:.0f} MB, {made.nodes} nodes",
            f"{taken / size:.2f}x",
            f"the graph, {PER_NODE} bytes a node and {MARGIN / 1e6:.0f} MB",
            taken <= allowed,
        )


def _told(runs: list[Run]) -> str:
    taken = max(run.taken for run in runs)
    importing = statistics.median(run.importing for run in runs)
    return f"{seconds([run.seconds for run in runs])} after {importing:.1f} s of imports, {taken / 1e6:.0f} MB"


def _call(python: Path, script: str, *arguments: object) -> str:
    code = [PROJECT / "protos", PROJECT / "workers", PROJECT / "plugins" / "rewriter"]
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(path) for path in code),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [str(python), str(Path(__file__).with_name(script)), *map(str, arguments)]
    process = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if process.returncode:
        sys.stderr.write(process.stderr)
        process.check_returncode()
    return process.stdout
