"""The TensorFlow of this environment: whether there is one (`base` has none), and where TensorFlow 1's names are."""

import importlib.util
import sys
from typing import Any


def is_installed() -> bool:
    """Whether ``import tensorflow`` would find it, or has; told without importing it."""
    # What 1.14 leaves in sys.modules has no __spec__, and find_spec raises ValueError for such a module.
    return "tensorflow" in sys.modules or importlib.util.find_spec("tensorflow") is not None


def v1() -> Any:
    """TensorFlow 1's names: before 1.13 TensorFlow itself has them, and nothing else does."""
    import tensorflow as tf

    return tf.compat.v1 if hasattr(tf.compat, "v1") else tf
