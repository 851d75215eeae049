"""Fake quantisation: the ranges that quantisation-aware training leaves in a graph, and the nodes that hold them."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import GraphIndex, Tensor, set_attribute

#: With one range for the whole tensor.
FAKE_QUANT = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs")
#: With a range for each channel, which only weights are given.
FAKE_QUANT_PER_CHANNEL = "FakeQuantWithMinMaxVarsPerChannel"

_FLOAT32 = tensors.data_type_named("float32")


@dataclass(frozen=True)
class Range:
    """What a fake quantisation lets through: numbers from `low` to `high`, in equal steps of which 0 is one.

    bits: how many a number gets; narrow: whether the smallest of the integers that these can count is not used.
    """

    low: float
    high: float
    bits: int = 8
    narrow: bool = False

    @property
    def step(self) -> float:
        """The distance between two numbers that are let through."""
        return (self.high - self.low) / _steps(self.bits, self.narrow)

    def lets_through(self, number: float) -> bool:
        """Whether the number comes out as it went in, to what float32 tells apart."""
        steps = number / self.step
        return self.low <= number <= self.high and abs(steps - round(steps)) * self.step <= 1e-6 * abs(number)


def nudged(low: float, high: float, bits: int = 8, narrow: bool = False) -> Optional[Range]:
    """The range that TensorFlow makes of the one that it is given; None where there is nothing between the two.

    It is moved so that 0 is one of the steps (tensorflow/core/kernels/fake_quant_ops_functor.h, `Nudge`); in float32 as
    there, since a range like [-4, 4] has 0 in the very middle of two.
    """
    if not np.isfinite(low) or not np.isfinite(high) or low >= high:
        return None
    steps = np.float32(_steps(bits, narrow))
    step = (np.float32(high) - np.float32(low)) / steps
    below = np.clip(np.floor(-np.float32(low) / step + np.float32(0.5)), 0, steps)
    return Range(float(np.float32(0) - below * step), float((steps - below) * step), bits, narrow)


def range_of(graph: GraphIndex, name: str) -> Optional[Range]:
    """The range of a fake quantisation with one for the whole tensor; None where the graph does not fix it."""
    node = graph.node(name)
    bits = int(node.attr["num_bits"].i) if "num_bits" in node.attr else 8
    narrow = bool(node.attr["narrow_range"].b) if "narrow_range" in node.attr else False
    if node.op == "FakeQuantWithMinMaxArgs":
        # The defaults of the operation.
        low = node.attr["min"].f if "min" in node.attr else -6.0
        high = node.attr["max"].f if "max" in node.attr else 6.0
        return nudged(low, high, bits, narrow)
    ends = [graph.constant(tensor) for tensor in graph.data_inputs(name)[1:3]]
    if len(ends) != 2 or any(end is None or end.size != 1 for end in ends):
        return None
    low, high = (float(end.reshape(-1)[0]) for end in ends if end is not None)
    return nudged(low, high, bits, narrow)


def fake_quant_attributes(span: Range) -> Dict[str, int]:
    """The attributes of a node with that range, but for the range itself."""
    return {"num_bits": span.bits, "narrow_range": span.narrow}


def fake_quant_nodes(graph: GraphIndex, name: str, reads: Tensor, span: Range) -> List[NodeDef]:
    """The nodes of a fake quantisation of that name: the two ends of its range, then itself."""
    ends: List[Tuple[str, float]] = [("min", span.low), ("max", span.high)]
    nodes = [
        graph_def.new_constant(graph.unused_name("{}/{}".format(name, label)), np.float32(end), _FLOAT32)
        for label, end in ends
    ]
    made = graph_def.new_node(name, FAKE_QUANT[0], (str(reads), nodes[0].name, nodes[1].name))
    for key, value in fake_quant_attributes(span).items():
        set_attribute(made, key, value)
    return [*nodes, made]


def _steps(bits: int, narrow: bool) -> int:
    return 2**bits - (2 if narrow else 1)
