"""One parser in a process of its own: what it may take in time and memory, and what became of it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: What one input may take of a processor: how busy the machine is says nothing of a parser.
SECONDS_AN_INPUT = 10
#: Seconds of the clock after which the process ends hard: where it waits, or code in C does not heed the signal.
HARD_END = 45
#: What the process may take in all: Python, NumPy and the messages come to some 200 MB of address space and more.
ADDRESS_SPACE = 3 * 2**30
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    problem: the end of what the process printed, where it broke; else empty.
    culprit: the input that broke it.
    peak: the most memory that it had, in bytes.
    """

    examples: int
    problem: str
    culprit: bytes
    peak: int


def run(
    name: str, folder: Path, *, examples: int = 0, seconds: float = 0, seed: int = 0, given: Path | None = None
) -> Outcome:
    """Pass inputs to a parser: so many, or for so long, or the one that is given.

    folder: an empty one, for the input and what lies beside it.
    """
    task = {
        "parser": name,
        "folder": str(folder),
        "examples": examples,
        "seconds": seconds,
        "seed": seed,
        "given": str(given.resolve()) if given else "",
    }
    path = os.pathsep.join(filter(None, [str(ROOT / "tests"), os.environ.get("PYTHONPATH")]))
    environ = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
    patience = (seconds or examples * 0.2) * 2 + HARD_END + 60
    try:
        result = subprocess.run(
            [sys.executable, "-m", "fuzzing.child", json.dumps(task)],
            env=environ,
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=patience,
        )
        code, output = result.returncode, result.stdout[-3000:] + result.stderr[-6000:]
    except subprocess.TimeoutExpired as error:
        code, output = -1, f"It took more than {patience:.0f} s. {error.stderr or b''!r}"
    told = folder / "told.json"
    counted = json.loads(told.read_text()) if told.is_file() else {"examples": 0, "peak": 0}
    culprit = folder / "latest"
    if code == 0:
        return Outcome(counted["examples"], "", b"", counted["peak"])
    return Outcome(
        counted["examples"], f"exit code {code}\n{output}", culprit.read_bytes() if culprit.is_file() else b"", 0
    )
