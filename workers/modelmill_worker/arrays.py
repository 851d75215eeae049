"""Reads and writes ``.npz`` files whose keys are tensor names.

numpy's own `savez` cannot hold a key such as "file", and its reader takes "a" for "a.npy". Written here, equal arrays
also give equal bytes with every numpy: the digest of a dataset then depends on nothing but what is in it.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html; one member of a zip archive each.
"""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Dict

import numpy as np

from modelmill_worker.errors import StepError

_SUFFIX = ".npy"
#: The earliest time that a zip archive can say.
_NO_TIME = (1980, 1, 1, 0, 0, 0)

#: What a damaged archive, or an array in it that says it is larger than memory, raises, by the place of the damage.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    OSError,
    EOFError,
)


def write(path: Path, arrays: Dict[str, np.ndarray]) -> None:
    """Write arrays in order of their names; any array but one of Python objects."""
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(arrays[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + _SUFFIX, date_time=_NO_TIME), content.getvalue())


def read(path: Path) -> Dict[str, np.ndarray]:
    """Read all arrays; StepError DATASET_UNREADABLE where the file is no .npz or holds Python objects."""
    try:
        with zipfile.ZipFile(str(path)) as archive:
            return {_key(name): _read_member(archive, name) for name in archive.namelist()}
    except _UNREADABLE as error:
        raise StepError(
            "DATASET_UNREADABLE",
            "{} cannot be read as a .npz of plain arrays ({}). Write it with numpy.savez, and without "
            "Python objects in it.".format(path.name, error),
            {"file": path.name},
        ) from error


def _key(member: str) -> str:
    return member[: -len(_SUFFIX)] if member.endswith(_SUFFIX) else member


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    # An archive's member cannot be read as an array in place; numpy's reader wants a seekable stream in old versions.
    return np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
