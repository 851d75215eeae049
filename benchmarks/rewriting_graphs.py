"""Writes frozen graphs of any size for the benchmark of the rewriter, the same each time.

    rewriting_graphs.py CHANNELS LAYERS RESULT

Each layer is a convolution of 3 by 3 and so many channels, scaled and shifted as a folded batch normalisation is, with
each constant behind an Identity, as freezing leaves them: nine nodes. From `x`, float32 [1, 4, 4, channels], to `y`.
"""

import sys
from pathlib import Path

import numpy as np
from modelmill_worker import graph_def, graph_stream

_FLOAT = 1
#: Random numbers, of which every constant is a piece: to make new ones for each would take most of the time.
_NUMBERS = np.random.RandomState(0).uniform(-0.1, 0.1, 2**22).astype(np.float32)


class Graph:
    def __init__(self, channels):
        self.message = graph_def.new_graph()
        self._places = np.random.RandomState(1)
        placeholder = self.message.node.add(name="x", op="Placeholder")
        placeholder.attr["dtype"].type = _FLOAT
        for size in (1, 4, 4, channels):
            placeholder.attr["shape"].shape.dim.add().size = size

    def node(self, name, operation, *inputs):
        node = self.message.node.add(name=name, op=operation, input=inputs)
        node.attr["T"].type = _FLOAT
        if operation == "Conv2D":
            node.attr["strides"].list.i.extend([1, 1, 1, 1])
            node.attr["padding"].s, node.attr["data_format"].s = b"SAME", b"NHWC"
        return name

    def constant(self, name, *shape):
        count = int(np.prod(shape))
        start = self._places.randint(len(_NUMBERS) - count)
        self.message.node.append(graph_def.new_constant(name, _NUMBERS[start : start + count].reshape(shape)))
        return self.node(name + "/read", "Identity", name)


def build(channels, layers):
    graph, value = Graph(channels), "x"
    for number in range(layers):
        name = f"layer{number}/"
        value = graph.node(name + "conv", "Conv2D", value, graph.constant(name + "w", 3, 3, channels, channels))
        value = graph.node(name + "scaled", "Mul", value, graph.constant(name + "scale", channels))
        value = graph.node(name + "shifted", "BiasAdd", value, graph.constant(name + "offset", channels))
        value = graph.node(name + "relu", "Relu", value)
    graph.node("y", "Identity", value)
    return graph.message


if __name__ == "__main__":
    graph_stream.write(Path(sys.argv[3]), build(int(sys.argv[1]), int(sys.argv[2])), {})
