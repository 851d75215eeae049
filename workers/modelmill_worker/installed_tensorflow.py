"""Whether this environment has TensorFlow, told without importing it: `base` has none."""

import importlib.util
import sys


def is_installed() -> bool:
    """Whether ``import tensorflow`` would find it, or has."""
    # What 1.14 leaves in sys.modules has no __spec__, and find_spec raises ValueError for such a module.
    return "tensorflow" in sys.modules or importlib.util.find_spec("tensorflow") is not None
