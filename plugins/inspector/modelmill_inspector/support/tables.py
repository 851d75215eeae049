"""The tables of support beside this file: which operations each version's converter takes.

`plugins/inspector/tables/make_tables` makes `tflite.txt` and `tfjs.txt`; `edgetpu.txt` says itself where it is from.

On the first line of the two stands what each version is and can do, as JSON. Every other line holds a key, a tab and a
letter for each version. A key of tflite.txt is an operation with what a node must be for the line to hold for it:
"Conv2D T=float32 data_format=NCHW", or "Reshape T=float32 @1" where input 1 is computed. The line that stands first for
an operation holds where no other one does.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

_FOLDER = Path(__file__).parent
TFLITE = _FOLDER / "tflite.txt"
TFJS = _FOLDER / "tfjs.txt"
EDGETPU = _FOLDER / "edgetpu.txt"

#: The letters: a builtin operator; a Select TF operator; a custom operator, of which nothing but the name and the
#: inputs are known; nothing; the version's TensorFlow does not know the operation, or not with such attributes.
BUILTIN, SELECT, CUSTOM, MISSING, UNKNOWN = "b", "s", "c", "-", "u"

#: The key of the first line.
VERSIONS = "versions"


@dataclass(frozen=True)
class Line:
    """What a node must be, attribute to value or "@N" to "", and a letter for each version."""

    conditions: Tuple[Tuple[str, str], ...]
    letters: str


@dataclass(frozen=True)
class Table:
    """A table: what is told of each version, oldest first, and the lines by operation."""

    versions: Tuple[Dict[str, Any], ...]
    lines: Dict[str, List[Line]]


@dataclass(frozen=True)
class EdgeTpuOperation:
    """An operation that the Edge TPU has.

    runtime: the version of the runtime since which it has it; 0 for all.
    limit: what its documentation says against some of its uses; empty where nothing.
    """

    runtime: int
    limit: str


@lru_cache(maxsize=None)
def tflite() -> Table:
    """The table of TFLite converters, read once a process."""
    return _read(TFLITE)


@lru_cache(maxsize=None)
def tfjs() -> Table:
    """The table of TensorFlow.js converters, read once a process."""
    return _read(TFJS)


@lru_cache(maxsize=None)
def edgetpu() -> Dict[str, EdgeTpuOperation]:
    """TensorFlow's operations that become something that the Edge TPU has, read once a process."""
    found = {}
    for line in EDGETPU.read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            operations, runtime, limit = (line.split("\t") + [""])[:3]
            for operation in operations.split():
                found[operation] = EdgeTpuOperation(int(runtime), limit)
    return found


def letter_of(attempts: Mapping[str, Mapping[str, Any]]) -> str:
    """The letter for what a converter made of one sample, by the attempts that `tables/convert_samples.py` tells."""
    if any("unknown" in result for result in attempts.values()):
        return UNKNOWN
    made = {way: result["custom"] for way, result in attempts.items() if "made" in result}
    if "plain" in made and not made["plain"]:
        return BUILTIN
    if "select" in made and all(name.startswith("Flex") for name in made["select"]):
        return SELECT
    return CUSTOM if "custom" in made else MISSING


def _read(file: Path) -> Table:
    first, *rest = file.read_text(encoding="ascii").splitlines()
    lines: Dict[str, List[Line]] = {}
    for text in rest:
        key, letters = text.split("\t")
        operation, *conditions = key.split(" ")
        parsed = tuple((name, value) for name, _, value in (part.partition("=") for part in conditions))
        lines.setdefault(operation, []).append(Line(parsed, letters))
    return Table(tuple(json.loads(first.split("\t", 1)[1])), lines)
