"""The order of an addition's inputs, which decides whether tensorflowjs takes the addition for a PReLU.

tensorflowjs 1.x and 4.x look for `relu(x) + minus_alpha * relu(neg(x))` in an addition that has the Relu first and a
Mul second, and make one operator Prelu of it, or of it and the convolution that gives x (fuse_prelu.py). They look
no further than the expression, and that is too little:

- TensorFlow 1.15 sorts the inputs of an addition by name beforehand, so that most PReLUs stay as they are;
- 1.7 changes the sign of the constant in `relu(a) + constant * b`, whatever b is, and leaves the rest as it is;
- where another node reads x, or x is an output, it gets what comes out of the PReLU;
- where the sum is an output, it is gone.

Putting the Relu first where a PReLU may be made, and second everywhere else, mends all four. Sums stay what they are.
"""

from collections import Counter
from typing import Any, Dict, FrozenSet, Optional


def order_additions(graph: Any, outputs: FrozenSet[str]) -> None:
    """Order the inputs of each addition of a Relu and a Mul in a GraphDef.

    outputs: the names of the nodes that give the model's outputs.
    """
    index = _Index(graph, outputs)
    for node in graph.node:
        if node.op not in ("Add", "AddV2") or len(node.input) != 2:
            continue
        first, second = (index.node(name) for name in node.input)
        if {_op(first), _op(second)} == {"Relu", "Mul"}:
            relu, mul = (first, second) if _op(first) == "Relu" else (second, first)
            relu_goes_first = index.is_prelu(node, relu, mul)
            if relu_goes_first != (_op(first) == "Relu"):
                node.input[:] = [node.input[1], node.input[0]]


class _Index:
    """The nodes of a graph by name, and how often each is read."""

    def __init__(self, graph: Any, outputs: FrozenSet[str]) -> None:
        self._nodes: Dict[str, Any] = {node.name: node for node in graph.node}
        self._reads = Counter(_node_name(name) for node in graph.node for name in node.input)
        self._outputs = outputs

    def node(self, tensor: str) -> Optional[Any]:
        return self._nodes.get(_node_name(tensor))

    def is_prelu(self, add: Any, relu: Any, mul: Any) -> bool:
        """Whether nothing but the sum is read of the expression, and x by nothing but the expression."""
        factors = {_op(factor): factor for factor in (self.node(name) for name in mul.input)}
        if set(factors) != {"Const", "Relu"}:
            return False
        neg = self.node(factors["Relu"].input[0])
        if _op(neg) != "Neg" or neg is None or list(neg.input) != list(relu.input):
            return False
        parts = (relu, mul, factors["Relu"], factors["Const"], neg)
        x = _node_name(neg.input[0])
        return (
            all(self._reads[part.name] == 1 for part in parts)
            and self._reads[x] == 2
            and self._outputs.isdisjoint([add.name, x] + [part.name for part in parts])
        )


def _op(node: Optional[Any]) -> str:
    return "" if node is None else str(node.op)


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").split(":")[0]
