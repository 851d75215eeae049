"""A frozen graph of 100 MB inspected in a process of its own, against protobuf's parsing of it in another."""

import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from modelmill_worker import graph_def

from benchmarks.farm import Farm
from benchmarks.row import Row, seconds

ROUNDS = 5
CONVOLUTIONS = 676
#: Both end with seconds and the peak of the process's memory in KiB.
#: (VmHWM: the peak that getrusage tells would count the parent's memory in.)
_REPORT = (
    "; print(time.perf_counter() - start, re.search('VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])"
)
_START = "import re, sys, time; from pathlib import Path; path = Path(sys.argv[1]); start = time.perf_counter(); "
_INSPECT = (
    _START + "from modelmill_inspector._recognition import recognise_source; "
    "from modelmill_worker.plugin_api import Tree; "
    "recognise_source(Tree('source', path.parent, (path.name,)))" + _REPORT
)
_PARSE = (
    _START + "from modelmill_worker import graph_def; "
    "graph_def.parse_into(graph_def.new_graph(), path.read_bytes(), path.name)" + _REPORT
)


def measure(farm: Farm) -> list[Row]:
    folder = farm.folder / "inspection"
    folder.mkdir()
    path = folder / "graph.pb"
    graph_def.write(path, _weighty_graph())
    size = path.stat().st_size
    inspections, parses = [], []
    for _ in range(ROUNDS):
        inspections.append(_run(_INSPECT, path))
        parses.append(_run(_PARSE, path))
    times, memory = zip(*inspections, strict=True)
    other_times, other_memory = zip(*parses, strict=True)
    ratio = statistics.median(times) / statistics.median(other_times)
    return [
        Row(
            f"A frozen graph of {size / 1e6:.0f} MB inspected in a fresh process, imports included",
            seconds(times),
            f"{seconds(other_times)}, parsed by protobuf",
            f"{ratio:.2f}x",
            "about 1 s",
            statistics.median(times) < 1.5,
        ),
        Row(
            "Peak memory of that process",
            f"{max(memory) / 2**10:.0f} MiB",
            f"{max(other_memory) / 2**10:.0f} MiB, parsed by protobuf",
            f"{max(memory) / max(other_memory):.2f}x",
            "little more than the file",
            max(memory) * 1024 < 1.6 * size,
        ),
    ]


def _run(program: str, path: Path) -> tuple[float, int]:
    output = subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True, text=True).stdout
    time, memory = output.split()
    return float(time), int(memory)


def _weighty_graph() -> graph_def.GraphDef:
    """Convolutions one after another, with weights that nothing can squeeze."""
    numbers = np.random.default_rng(0)
    graph = graph_def.new_graph()
    image = graph_def.new_node("input", "Placeholder")
    image.attr["dtype"].type = 1
    for size in (1, 56, 56, 64):
        image.attr["shape"].shape.dim.add().size = size
    graph.node.append(image)
    last = "input"
    for index in range(CONVOLUTIONS):
        weights = graph_def.new_constant(f"weights_{index}", numbers.random((3, 3, 64, 64), np.float32))
        convolution = graph_def.new_node(f"convolution_{index}", "Conv2D", (last, weights.name))
        convolution.attr["T"].type = 1
        convolution.attr["padding"].s = b"SAME"
        convolution.attr["strides"].list.i.extend([1, 1, 1, 1])
        graph.node.extend([weights, convolution])
        last = convolution.name
    graph.versions.producer = 134
    return graph
