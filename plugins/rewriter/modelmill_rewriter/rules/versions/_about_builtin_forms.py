"""How an operation that TFLite's converter leaves to TensorFlow is written with others that it has itself."""

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
from modelmill_worker import tensors
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import Builder, Dtype, Match, Tensor

Version = Tuple[int, int]
Build = Callable[["Use", Builder], Tensor]
Check = Callable[["Use"], str]

FLOAT = Dtype(tensors.data_type_named("float32").number)
INT32 = Dtype(tensors.data_type_named("int32").number)
BOOL = Dtype(tensors.data_type_named("bool").number)


class Use:
    """An operation where it is used: what it reads, and what is known of that."""

    def __init__(self, match: Match) -> None:
        self.graph = match.graph
        self.root = match.root
        self.node: NodeDef = match.root_node
        self.inputs: Tuple[Tensor, ...] = match.graph.data_inputs(match.root)

    @property
    def dtype(self) -> str:
        """The name of the first input's type; empty where it is not known."""
        number = self.graph.dtype(self.inputs[0])
        return tensors.data_type(number).name if number else ""

    def shape(self, position: int = 0) -> Optional[Tuple[int, ...]]:
        """An input's shape, -1 for what is open."""
        return self.graph.shape(self.inputs[position])

    def constant(self, position: int) -> Optional[np.ndarray]:
        """An input's value, where it is constant."""
        return self.graph.constant(self.inputs[position])

    def numbers(self, position: int) -> List[int]:
        """A constant input of whole numbers, as a list; `check` has seen to it that it is constant."""
        value = self.constant(position)
        assert value is not None
        return [int(number) for number in value.reshape(-1)]

    def list_attribute(self, key: str) -> List[int]:
        """An attribute that is a list of whole numbers."""
        return list(self.node.attr[key].list.i) if key in self.node.attr else []

    def text_attribute(self, key: str) -> str:
        """An attribute that is a text; empty where the node leaves it out."""
        return str(self.node.attr[key].s.decode("ascii", "replace")) if key in self.node.attr else ""

    def float_attribute(self, key: str, default: float) -> float:
        """An attribute that is a number."""
        return float(self.node.attr[key].f) if key in self.node.attr else default


@dataclass(frozen=True)
class Form:
    """One way to write an operation.

    builtin_since: the TensorFlow whose converter has the operation itself; None where none does.
    needs: the TensorFlow since which converters have all that the form is written with.
    dtypes: the types of the first input that the form is for.
    why_not: the reason against a use, empty where there is none.
    """

    build: Build
    builtin_since: Optional[Version]
    needs: Version
    dtypes: Tuple[str, ...]
    why_not: Check


def nothing(use: Use) -> str:
    """No reason against any use."""
    del use
    return ""


def form(
    forms: Dict[str, Form],
    *operations: str,
    needs: Version,
    builtin_since: Optional[Version] = None,
    dtypes: Tuple[str, ...] = ("float32",),
    why_not: Check = nothing,
) -> Callable[[Build], Build]:
    """Put the decorated function into a table, as how these operations are written."""

    def register(build: Build) -> Build:
        for operation in operations:
            forms[operation] = Form(build, builtin_since, needs, dtypes, why_not)
        return build

    return register


def is_constant(*positions: int) -> Check:
    """The check that inputs are constant."""

    def check(use: Use) -> str:
        for position in positions:
            if use.constant(position) is None:
                return "its input {} is computed, and would have to be constant".format(use.inputs[position])
        return ""

    return check
