"""The tensor that an entry of a node's `input` field names."""

from typing import NamedTuple, Tuple

from modelmill_worker import graph_def


class Tensor(NamedTuple):
    """One output of a node; written "node" for the first one and "node:1" for the second, as TensorFlow does."""

    node: str
    output: int = 0

    def __str__(self) -> str:
        return self.node if self.output == 0 else "{}:{}".format(self.node, self.output)


def parse_tensor(spelling: str) -> Tensor:
    """The tensor of a data input's or a signature's spelling: "a", "a:0", "a:1"."""
    return Tensor(graph_def.node_name(spelling), graph_def.output_index(spelling))


def split_inputs(spellings: Tuple[str, ...]) -> Tuple[Tuple[Tensor, ...], Tuple[str, ...]]:
    """The tensors that a node reads, and the names of the nodes that it only waits for."""
    data = tuple(parse_tensor(spelling) for spelling in spellings if not graph_def.is_control(spelling))
    control = tuple(spelling[1:] for spelling in spellings if graph_def.is_control(spelling))
    return data, control
