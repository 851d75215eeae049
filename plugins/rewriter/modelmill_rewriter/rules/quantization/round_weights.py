"""Weights of few different values, which compress well.

Before: a float32 constant of 16 elements or more, between low and high, its smallest and its largest.
After:  the same constant with each element moved to the middle of its step; steps are (high - low) / num_steps wide.

No element moves by more than half a step. The largest element is the start of one step more, as in TensorFlow's
TransformGraph. The graph takes as many bytes as before: it is an archive of it that becomes small.

Smaller constants are biases, axes and thresholds: little to gain, and sensitive. A constant whose elements lie on such
steps already, among them one with a single value, compresses as it is.
"""

from dataclasses import dataclass
from typing import ClassVar, List

import numpy as np
from modelmill_worker import tensors, weights_beside
from modelmill_worker.errors import StepError

from modelmill_rewriter.rules.quantization._about_eight_bits import LOW_PRECISION
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Refusal, Report, Target, argument

#: Constants with fewer elements stay.
_SMALLEST = 16


@dataclass(frozen=True)
class RoundWeights(Pass):
    """Weights rounded to a few values, so that the model compresses well."""

    name: ClassVar[str] = "round_weights"
    summary: ClassVar[str] = "Rounds weights to a number of steps, so that the model compresses well."
    expected_error: ClassVar[float] = LOW_PRECISION

    num_steps: int = argument(256, "How many steps there are between a constant's smallest and largest element.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change constants in place. Raises StepError INVALID_OPTION for a number of steps below 1."""
        del target
        if self.num_steps < 1:
            raise StepError(
                "INVALID_OPTION",
                "The option num_steps of the rule round_weights cannot be {}: give 1 or more.".format(self.num_steps),
                {"rule": self.name, "option": "num_steps", "value": self.num_steps},
            )
        fired: List[Firing] = []
        refused: List[Refusal] = []
        for name in graph.nodes_with("Const"):
            node = graph.node(name)
            kind = tensors.data_type(node.attr["value"].tensor.dtype)
            if kind.name != "float32":
                continue
            if weights_beside.is_emptied(node):
                refused.append(Refusal(name, "its value lies beside the graph, which is too large to hold it"))
                continue
            array = graph.array(name)
            assert array is not None  # It has a value that can be read, and it is here.
            if array.size < _SMALLEST:
                continue
            if not np.all(np.isfinite(array)):
                refused.append(Refusal(name, "it has elements that are no finite numbers"))
                continue
            rounded = _rounded(array, self.num_steps)
            if rounded is not array:
                tensors.encode(rounded, graph.edit(name).attr["value"].tensor)
                fired.append(Firing((name,), (name,)))
        return Report(self.name, tuple(fired), tuple(refused))


def _rounded(array: np.ndarray, num_steps: int) -> np.ndarray:
    """The array with its elements in the middle of their steps; the array itself where they lie on steps already.

    Computed in float32, so that the bytes are those that TransformGraph writes.
    """
    low, high = array.min(), array.max()
    width = (high - low) / np.float32(num_steps)
    if width == 0 or not np.isfinite(width):
        return array
    steps = (array - low) / width
    if any(_lie_on_steps(steps * (count / num_steps), num_steps) for count in {num_steps, max(num_steps - 1, 1)}):
        return array
    return np.asarray(low + width * (np.floor(steps) + np.float32(0.5)), np.float32)


def _lie_on_steps(steps: np.ndarray, num_steps: int) -> bool:
    """Whether elements, as so many steps above the smallest, lie at the start of one, as far as float32 tells.

    Those of a rounded constant do, and its largest is num_steps steps up, or one less where a division came out low.
    """
    return bool(np.all(np.abs(steps - np.rint(steps)) < 1e-6 * num_steps + 1e-4))
