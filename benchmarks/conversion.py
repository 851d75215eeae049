"""A warm conversion through the farm, from upload to download, against the same converter without a farm."""

import statistics
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelmill.client import collect

from benchmarks.farm import Farm, timed
from benchmarks.models import Model, models
from benchmarks.row import Row, seconds

ROUNDS = 15
COMMAND_ROUNDS = 3
ENVIRONMENT = "tf-2.15"


def measure(farm: Farm) -> list[Row]:
    python = farm.python_of(ENVIRONMENT)
    return [row for model in models(farm) for row in _measure(farm, model, python)]


def _measure(farm: Farm, model: Model, python: Path) -> list[Row]:
    source = collect(model.graph)

    def through_farm() -> None:
        farm.convert(source, "tflite", salt=uuid.uuid4().hex)

    ours, theirs, commands = [], [], []
    with _warm_converter(python, model) as converter:
        for _ in range(2):
            through_farm()
            converter()
        for _ in range(ROUNDS):
            ours.append(timed(through_farm))
            theirs.append(converter())
    for _ in range(COMMAND_ROUNDS):
        commands.append(timed(lambda: _tflite_convert(farm, python, model)))
    mine, other, command = (statistics.median(values) for values in (ours, theirs, commands))
    allowed = 1.3 * other + 0.1
    return [
        Row(
            f"{model.name} to TFLite, warm, nothing cached: upload, inspect, normalise, rewrite, convert, download",
            seconds(ours),
            f"{seconds(theirs)}, the converter alone in a warm process",
            f"{mine / other:.2f}x ({(mine - 1.3 * other) * 1000:+.0f} ms over 1.3x)",
            "at most 1.3x + 100 ms",
            mine <= allowed,
        ),
        Row(
            f"{model.name} to TFLite, the same",
            seconds(ours),
            f"{seconds(commands)}, the command `tflite_convert`",
            f"{command / mine:.0f}x faster",
            "at least 10x faster",
            command >= 10 * mine,
        ),
    ]


@contextmanager
def _warm_converter(python: Path, model: Model) -> Iterator:
    script = Path(__file__).with_name("converter.py")
    command = [python, script, model.graph, ",".join(model.inputs), ",".join(model.outputs)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )

    def convert() -> float:
        process.stdin.write("convert\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    try:
        assert process.stdout.readline() == "ready\n"
        yield convert
    finally:
        process.stdin.close()
        process.wait()


def _tflite_convert(farm: Farm, python: Path, model: Model) -> None:
    command = [
        python.with_name("tflite_convert"),
        "--enable_v1_converter",
        f"--graph_def_file={model.graph}",
        f"--input_arrays={','.join(model.inputs)}",
        f"--output_arrays={','.join(model.outputs)}",
        f"--output_file={farm.folder / 'command.tflite'}",
    ]
    subprocess.run(command, check=True, capture_output=True)
