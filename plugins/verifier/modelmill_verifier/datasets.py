"""The artifact kind ``dataset``: ``arrays.npz``, ``signature.json``, and ``skipped.json`` where there is no check."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Optional

import numpy as np
from modelmill_worker import arrays
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature

ARRAYS = "arrays.npz"
SKIPPED = "skipped.json"


@dataclass(frozen=True)
class Dataset:
    """Arrays by the name of an input or output, and the model that they belong to.

    skipped: why a check cannot be made, as a sentence; then `arrays` is not complete. It travels from SAMPLE over RUN
        to COMPARE, which reports it.
    """

    signature: Signature
    arrays: Dict[str, np.ndarray] = field(default_factory=dict)
    skipped: Optional[str] = None


def write(folder: Path, dataset: Dataset) -> None:
    """Write a dataset into the output folder of a step."""
    arrays.write(folder / ARRAYS, dataset.arrays)
    signatures.write(folder, dataset.signature)
    if dataset.skipped is not None:
        text = json.dumps({"reason": dataset.skipped}, indent=2)
        (folder / SKIPPED).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Dataset:
    """Read a dataset that one of this plug-in's edges made."""
    return Dataset(signatures.read(folder), arrays.read(folder / ARRAYS), _read_skipped(folder / SKIPPED))


def _read_skipped(path: Path) -> Optional[str]:
    if not path.exists():
        return None
    return str(json.loads(path.read_text(encoding="utf-8"))["reason"])
