"""The tensor that an entry of a node's `input` field names."""

from typing import Iterable, List, NamedTuple, Tuple

from modelmill_worker import graph_def


class Tensor(NamedTuple):
    """One output of a node; written "node" for the first one and "node:1" for the second, as TensorFlow does."""

    node: str
    output: int = 0

    def __str__(self) -> str:
        return self.node if self.output == 0 else "{}:{}".format(self.node, self.output)


def parse_tensor(spelling: str) -> Tensor:
    """The tensor of a data input's or a signature's spelling: "a", "a:0", "a:1"."""
    name, _, index = spelling.partition(":")
    return Tensor(name, int(index) if index else 0)


def split_inputs(spellings: Iterable[str]) -> Tuple[Tuple[Tensor, ...], Tuple[str, ...]]:
    """The tensors that a node reads, and the names of the nodes that it only waits for."""
    data: List[Tensor] = []
    control: List[str] = []
    for spelling in spellings:
        if graph_def.is_control(spelling):
            control.append(spelling[1:])
        else:
            data.append(parse_tensor(spelling))
    return tuple(data), tuple(control)
