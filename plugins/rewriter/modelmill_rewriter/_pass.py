"""Passes: what rewrites a whole graph, and the contract that every one of them keeps."""

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Tuple

from modelmill_worker.errors import StepError

from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._target import Target
from modelmill_rewriter._tensor import Tensor
from modelmill_rewriter._validity import require_still_valid


@dataclass(frozen=True)
class Firing:
    """One change: the nodes that did something, and those that do it now."""

    before: Tuple[str, ...]
    after: Tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """Why a node was left as it is, though the rule is there for nodes like it."""

    node: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What a pass did, and what it did not do; `note` is a sentence about it for the step's notes, or empty."""

    rule: str
    fired: Tuple[Firing, ...] = ()
    refused: Tuple[Refusal, ...] = ()
    note: str = ""

    def to_json(self) -> Dict[str, Any]:
        """As docs/architecture.md describes it among the facts of a step."""
        return {
            "rule": self.rule,
            "fired": [{"before": list(item.before), "after": list(item.after)} for item in self.fired],
            "refused": [{"node": item.node, "reason": item.reason} for item in self.refused],
        }


@dataclass(frozen=True)
class Pass(abc.ABC):
    """A change to a whole graph; a subclass's fields are its options.

    Contract, asserted by `run`: a valid graph goes in and a valid graph comes out, and the model's inputs and
    outputs have the names and the dtypes that they had. See `_validity.py` for what is valid.
    """

    name: ClassVar[str]
    #: One line for people.
    summary: ClassVar[str]

    @abc.abstractmethod
    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change the graph and tell what was done."""

    def run(self, graph: GraphIndex, target: Target) -> Report:
        """Apply the pass and hold it to the contract.

        Raises StepError RULE_BROKE_GRAPH or RULE_CHANGED_INTERFACE, which are the pass's fault.
        """
        dtypes = _interface_dtypes(graph)
        report = self.apply(graph, target)
        if report.fired:
            require_still_valid(graph, self.name)
            _require_same_dtypes(self.name, dtypes, _interface_dtypes(graph))
        return report


def _interface_dtypes(graph: GraphIndex) -> Dict[Tensor, int]:
    return {tensor: graph.dtype(tensor) for tensor in graph.interface.inputs + graph.interface.outputs}


def _require_same_dtypes(rule: str, before: Dict[Tensor, int], after: Dict[Tensor, int]) -> None:
    for tensor, dtype in before.items():
        if dtype and after[tensor] != dtype:
            raise StepError(
                "RULE_CHANGED_INTERFACE",
                "The rule {!r} changed the dtype of {}. Leave it out with --no-rewrite {}, and report it.".format(
                    rule, tensor, rule
                ),
                {"rule": rule, "tensor": str(tensor)},
                fault="TOOL",
            )
