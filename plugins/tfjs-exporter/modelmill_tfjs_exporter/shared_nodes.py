"""Nodes that tensorflowjs must not fuse: what comes out of them is read elsewhere as well, or is an output.

tensorflowjs 1.x and 4.x fold a batch normalisation into the convolution before it, and fuse a depthwise convolution
with its bias and activation, whoever else reads what is in between. These readers then get the fused result, which is
another number, and an output in between is gone. So the nodes are hidden while tensorflowjs looks.
"""

from collections import Counter
from typing import Any, Callable, FrozenSet

#: What a batch normalisation is folded into, or an activation fused with.
_INNER = frozenset(("Conv2D", "DepthwiseConv2dNative", "BiasAdd", "Add", "AddV2"))

#: Ends the operation of a node that is hidden; no operation of TensorFlow has a colon in its name.
_HIDDEN = ":hidden"


def leave_shared_nodes(fuse: Callable[[Any], Any], outputs: FrozenSet[str]) -> Callable[[Any], Any]:
    """A fusion, from a GraphDef to another, that does not see the nodes which it would take from others.

    outputs: the names of the nodes that give the model's outputs.
    """

    def fuse_the_others(graph: Any) -> Any:
        reads = Counter(tensor.lstrip("^").split(":")[0] for node in graph.node for tensor in node.input)
        for node in graph.node:
            if node.name in outputs or (node.op in _INNER and reads[node.name] > 1):
                node.op += _HIDDEN
        fused = fuse(graph)
        for node in fused.node:
            if node.op.endswith(_HIDDEN):
                node.op = node.op[: -len(_HIDDEN)]
        return fused

    return fuse_the_others
