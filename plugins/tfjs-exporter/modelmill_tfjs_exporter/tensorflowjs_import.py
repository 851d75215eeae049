"""Imports tensorflowjs without the packages that it asks for and that a conversion of a graph never uses.

Every tensorflowjs imports what its other inputs need at the top of its modules: 0.8 keras and tensorflow_hub, 1.7
tensorflow_hub, 4.22 tensorflow_decision_forests, tensorflow_hub and jax.experimental.jax2tf. They weigh up to a
gigabyte, and their own requirements contradict each other in most environments. Empty modules stand in for them while
tensorflowjs is imported, and are gone afterwards. `generations` says which, for each version.
"""

import importlib
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Iterator, Tuple

from modelmill_tfjs_exporter.generations import Generation

if sys.version_info >= (3, 8):
    from importlib import metadata
else:
    import importlib_metadata as metadata


def installed_version() -> str:
    """The version of tensorflowjs that is installed here, which is not imported for it."""
    return str(metadata.version("tensorflowjs"))


def import_converter(generation: Generation) -> Any:
    """The module of tensorflowjs that converts graphs; imports TensorFlow."""
    for name in generation.needs:
        importlib.import_module(name)
    with stand_ins(generation.unused):
        return importlib.import_module(generation.module)


@contextmanager
def stand_ins(names: Tuple[str, ...]) -> Iterator[None]:
    """Empty modules under these names while the block lasts; what is imported already is left as it is."""
    added = [name for name in names if name not in sys.modules]
    for name in added:
        sys.modules[name] = _empty_module(name)
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


def _empty_module(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = []  # type: ignore[attr-defined]
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module
