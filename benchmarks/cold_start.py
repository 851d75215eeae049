"""From nothing running to the first artifact: the command, with environments installed and no coordinator."""

import statistics
import subprocess
import sys
from pathlib import Path

from modelmill import settings
from modelmill.client import embedded

from benchmarks.conversion import ENVIRONMENT, _tflite_convert
from benchmarks.farm import Farm, timed
from benchmarks.models import models
from benchmarks.row import Row, seconds

ROUNDS = 3


def measure(farm: Farm) -> list[Row]:
    python = farm.python_of(ENVIRONMENT)
    rows = []
    for model in models(farm):
        cold, warm, commands = [], [], []
        for number in range(ROUNDS):
            home = farm.folder / f"cold-{model.name}-{number}"
            cold.append(timed(lambda home=home, model=model: _convert(farm, home, model.graph)))
            warm.append(timed(lambda home=home, model=model: _convert(farm, home, model.graph)))
            _stop(farm, home)
            commands.append(timed(lambda model=model: _tflite_convert(farm, python, model)))
        command = statistics.median(commands)
        other = f"{seconds(commands)}, the command `tflite_convert`"
        ratio = f"{statistics.median(cold) / command:.2f}x"
        rows.append(Row(f"{model.name}, `modelmill convert`, cold", seconds(cold), other, ratio, "", None))
        rows.append(
            Row(
                f"{model.name}, `modelmill convert` again, cached",
                seconds(warm),
                other,
                f"{command / statistics.median(warm):.0f}x faster",
                "well under a second",
                statistics.median(warm) < 1,
            )
        )
    return rows


def _convert(farm: Farm, home: Path, graph: Path) -> None:
    command = [
        Path(sys.executable).with_name("modelmill"),
        "convert",
        graph,
        "--to",
        "tflite",
        "--output",
        home / "out",
    ]
    environment = {**farm.variables, "MODELMILL_HOME": str(home)}
    subprocess.run(command, env=environment, check=True, capture_output=True)


def _stop(farm: Farm, home: Path) -> None:
    """End the coordinator that the command has left running for the next one."""
    embedded.end_if_idle(embedded.ensure(settings.load({**farm.variables, "MODELMILL_HOME": str(home)})))
