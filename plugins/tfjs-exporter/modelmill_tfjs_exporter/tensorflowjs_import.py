"""Imports tensorflowjs without the packages that it asks for and that a conversion of a graph never uses.

tensorflowjs 4.22 imports tensorflow_decision_forests, tensorflow_hub and jax.experimental.jax2tf at the top of its
modules. They weigh more than a gigabyte, and their own requirements contradict each other in most environments. Empty
modules stand in for them while tensorflowjs is imported, and are gone afterwards.
"""

import importlib
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Iterator, Tuple

#: What tensorflowjs imports and a graph conversion does not use; a package comes before what is in it.
UNUSED = ("tensorflow_decision_forests", "tensorflow_hub", "jax", "jax.experimental", "jax.experimental.jax2tf")


def import_converter() -> Any:
    """The module of tensorflowjs that converts graphs; imports TensorFlow."""
    # First without stand-ins: Keras looks whether jax is there while it is imported, and must not find ours.
    importlib.import_module("tensorflow")
    importlib.import_module("tf_keras")
    with stand_ins(UNUSED):
        return importlib.import_module("tensorflowjs.converters.tf_saved_model_conversion_v2")


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
