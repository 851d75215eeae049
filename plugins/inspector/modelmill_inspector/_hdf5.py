"""What an HDF5 file of Keras holds, told without an HDF5 library.

Keras writes the architecture as an attribute named ``model_config`` of the root group; a file of weights only has
none. Names of attributes are stored as plain bytes ended by a zero
(HDF5 File Format Specification 3.0, IV.A.2.m, The Attribute Message).
"""

import mmap
from pathlib import Path

_ARCHITECTURE = b"model_config\0"


def has_architecture(path: Path) -> bool:
    """Whether the file names the attribute that holds a Keras model's architecture."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(_ARCHITECTURE) >= 0
