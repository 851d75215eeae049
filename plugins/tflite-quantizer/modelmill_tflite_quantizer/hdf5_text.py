"""Lets a Keras that expects bytes of h5py read HDF5 files with h5py 3, which gives text.

Keras before TensorFlow 1.15.4 and 2.1.2 calls ``decode`` on every text attribute of a model's file.
"""

import contextlib
import importlib
from typing import Any, Iterator


class _Text(str):
    """Text that may be decoded once more."""

    def decode(self, encoding: str = "utf-8") -> str:
        """Itself."""
        del encoding
        return str(self)


@contextlib.contextmanager
def as_written_before_3() -> Iterator[None]:
    """Have h5py's attributes give text that bears being decoded; nothing where there is no h5py."""
    try:
        attributes: Any = importlib.import_module("h5py").AttributeManager
    except ImportError:
        yield
        return
    read = attributes.__getitem__

    def read_text(self: Any, name: str) -> Any:
        value = read(self, name)
        if isinstance(value, str):
            return _Text(value)
        if getattr(getattr(value, "dtype", None), "kind", "") == "O":
            return [_Text(one) if isinstance(one, str) else one for one in value]
        return value

    attributes.__getitem__ = read_text
    try:
        yield
    finally:
        attributes.__getitem__ = read
