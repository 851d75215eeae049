"""Constants that patterns of activations look for."""

import numpy as np

from modelmill_rewriter.rules_api import Pattern, constant

#: How far a constant may be from what it stands for, relatively: float32, rounded some times on its way.
_NEAR = 1e-6


def about(number: float) -> Pattern:
    """A constant that is this number everywhere, but for float32's rounding."""
    return constant("", lambda array: is_about(array, number))


def is_about(array: np.ndarray, number: float) -> bool:
    """Whether an array is this number everywhere, but for float32's rounding."""
    return array.dtype.kind == "f" and bool(np.all(np.abs(array - number) <= _NEAR * abs(number)))
