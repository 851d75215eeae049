"""Large weights in 8 bits, in a graph that computes with floats.

    Const(w) -> Dequantize(Const(codes of w), low, high)

for a float32 constant of `minimum_size` elements or more, with low and high its smallest and largest element, and 0
where all lie on one side of it. What reads w reads low + code * (high - low) / 255, which differs from w by
less than such a step: by half of one, and at the ends of the range by up to half more, as 0 has a code of its own. The
file becomes a quarter as large; the numbers are computed again whenever the model runs.
"""

from dataclasses import dataclass
from typing import ClassVar, List, Tuple

import numpy as np
from modelmill_worker import tensors, weights_beside
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules.quantization._about_eight_bits import (
    LOW_PRECISION,
    EightBit,
    constant_nodes,
    dequantize,
    range_of,
)
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Refusal, Report, Target, Tensor, argument


@dataclass(frozen=True)
class QuantizeWeights(Pass):
    """Large weights as 8-bit constants, made floats again when the model runs."""

    name: ClassVar[str] = "quantize_weights"
    summary: ClassVar[str] = "Stores large weights in 8 bits and computes the floats from them."
    expected_error: ClassVar[float] = LOW_PRECISION

    minimum_size: int = argument(1024, "Constants with fewer elements stay as they are.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Replace constants; what reads them finds a Dequantize of the same name."""
        del target
        fired: List[Firing] = []
        refused: List[Refusal] = []
        for name in graph.nodes_with("Const"):
            node = graph.node(name)
            proto = node.attr["value"].tensor
            size = tensors.element_count(tensors.decode_shape(proto.tensor_shape))
            if tensors.data_type(proto.dtype).name != "float32" or size < max(self.minimum_size, 1):
                continue
            reason = _reason_to_leave(graph, node)
            if reason:
                refused.append(Refusal(name, reason))
                continue
            fired.append(Firing((name,), _replace(graph, node)))
        return Report(self.name, tuple(fired), tuple(refused))


def _reason_to_leave(graph: GraphIndex, node: NodeDef) -> str:
    if graph.is_fed(node.name):
        return "it is an input of the model"
    if weights_beside.is_emptied(node):
        return "its value lies beside the graph, which is too large to hold it"
    array = graph.array(node.name)
    assert array is not None  # It has a value that can be read, and it is here.
    return "" if np.all(np.isfinite(array)) else "it has elements that are no finite numbers"


def _replace(graph: GraphIndex, node: NodeDef) -> Tuple[str, ...]:
    """The names of the nodes that took the constant's place."""
    array = graph.array(node.name)
    assert array is not None
    constants = constant_nodes(node.name, array, *range_of(array))
    for constant in constants:
        constant.name = graph.unused_name(constant.name)
        # A loop's constants wait for something inside it, and so must these, to be inside.
        constant.input.extend("^" + name for name in graph.control_inputs(node.name))
    codes, low, high = (Tensor(constant.name) for constant in constants)
    nodes = constants + [dequantize(node.name, EightBit(codes, low, high))]
    for new in nodes:
        new.device = node.device
    graph.replace(node.name, nodes)
    return tuple(new.name for new in nodes)
