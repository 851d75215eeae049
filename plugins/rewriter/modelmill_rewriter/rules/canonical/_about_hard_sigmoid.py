"""relu6(x + 3), the step that the hard sigmoid and the hard swish share, and a sixth of something."""

import numpy as np

from modelmill_rewriter.rules.canonical._about_constants import about
from modelmill_rewriter.rules_api import Builder, Pattern, Tensor, either, maximum, minimum, op

SIXTH = np.float32(1 / 6)


def clipped(x: Pattern, low: float, high: float) -> Pattern:
    """Between two numbers, by a minimum of a maximum or the other way round."""
    return either(
        op("Minimum", maximum(x, low), high, commutes=True, name="clipping"),
        op("Maximum", minimum(x, high), low, commutes=True, name="clipping"),
        op("ClipByValue", x, low, high, name="clipping"),
    )


def step_of(x: Pattern) -> Pattern:
    """relu6(x + 3), the relu6 spelled out or not."""
    return either(op("Relu6", x + 3), clipped(x + 3, 0, 6))


def sixth_of(x: Pattern) -> Pattern:
    """A sixth of it."""
    return either(x * about(1 / 6), op(("RealDiv", "Div"), x, 6, name="division"))


def make_step(x: Tensor, make: Builder) -> Tensor:
    """relu6(x + 3)."""
    return make.node("Relu6", make.node("Add", x, make.constant("three", np.float32(3))))
