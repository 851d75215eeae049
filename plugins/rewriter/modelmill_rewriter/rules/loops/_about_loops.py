"""A loop as something to unroll, whichever way TensorFlow spells it."""

from dataclasses import dataclass
from typing import Dict, FrozenSet, Tuple

from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import Tensor


class StaysALoop(Exception):  # noqa: N818 - it is an answer rather than an error
    """The loop cannot be unrolled; the message is the reason for people, without a full stop."""


@dataclass(frozen=True)
class Loop:
    """Variables that start with values from outside, and what each iteration makes of them while a condition holds.

    name: the node by which people find the loop in the graph.
    nodes: what the condition and the body consist of, by the names that their inputs use.
    order: the names of `nodes`, producers first.
    initial: what each variable starts with, tensors of the graph around the loop.
    variables: tensors by which `nodes` read a variable, with its number.
    constants: tensors by which `nodes` read what is outside, with what they stand for there.
    condition: the tensor that says whether there is another iteration.
    results: what the next iteration gets for each variable, tensors inside.
    outputs: tensors of the graph around the loop, with the number of the variable whose last value they are.
    conditional: those of `nodes` that run in some iterations only, as a condition inside the loop says.
    """

    name: str
    nodes: Dict[str, NodeDef]
    order: Tuple[str, ...]
    initial: Tuple[Tensor, ...]
    variables: Dict[Tensor, int]
    constants: Dict[Tensor, Tensor]
    condition: Tensor
    results: Tuple[Tensor, ...]
    outputs: Dict[Tensor, int]
    conditional: FrozenSet[str] = frozenset()
