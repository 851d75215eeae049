"""Programs and measurements in one installed environment."""

import json
import os
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from modelmill.fleet.definitions import EnvironmentDefinition

PROGRAMS = Path(__file__).parent / "programs"
#: The exit code with which `run_tflite.py` says that there is no interpreter.
NO_INTERPRETER = 3
_IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


class EnvironmentRun:
    """An environment's Python, with the variables that its workers have."""

    def __init__(self, definition: EnvironmentDefinition, folder: Path) -> None:
        self.definition = definition
        self.folder = folder

    def program(self, name: str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
        """Run one of `programs`; its output tells more than an exception would."""
        return self._python(PROGRAMS / name, *arguments)

    def import_seconds(self, rounds: int = 3) -> float:
        """Median over fresh processes."""
        program = _IMPORT.format(", ".join(self.definition.imports))
        runs = [self._python("-c", program) for _ in range(rounds)]
        assert all(run.returncode == 0 for run in runs), runs[0].stderr[-2000:]
        return statistics.median(float(run.stdout.split()[-1]) for run in runs)

    def _python(self, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "bin" / "python", *arguments],
            env={**os.environ, **self.definition.variables, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=600,
            check=False,
        )


def run_models(run: EnvironmentRun, models: Sequence[tuple[Path, Path, Path]], folder: Path) -> tuple[str, str]:
    """Run .tflite files, each on a golden file's images, into a file of outputs.

    What was said, of those that failed too; and why this TensorFlow has no interpreter, empty where it has one.
    """
    jobs = folder / "jobs.json"
    keys = ("model", "images", "outputs")
    jobs.write_text(json.dumps([dict(zip(keys, map(str, model), strict=True)) for model in models]))
    done = run.program("run_tflite.py", jobs)
    lacking = done.stderr.strip().splitlines()[-1] if done.returncode == NO_INTERPRETER else ""
    return f"exit code {done.returncode}: {done.stderr}", lacking


def bytes_on_disk(*folders: Path) -> int:
    """What folders take on disk together: a file that several of them share counts once."""
    seen = {}
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                status = Path(parent, name).lstat()
                seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())
