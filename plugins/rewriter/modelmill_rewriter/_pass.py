"""Passes: what rewrites a whole graph, and the contract that every one of them keeps."""

import abc
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from modelmill_worker.errors import StepError

from modelmill_rewriter._graph_index import Drawn, GraphIndex
from modelmill_rewriter._target import Target
from modelmill_rewriter._tensor import Tensor
from modelmill_rewriter._validity import require_still_valid

#: Pictures taken of one pass, and nodes in one.
_MOST_PICTURES = 20
_LARGEST_PICTURE = 60


@dataclass(frozen=True)
class Firing:
    """One change: the nodes that did something, and those that do it now."""

    before: Tuple[str, ...]
    after: Tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """The nodes of one change, as they were and as they are."""

    before: Tuple[Drawn, ...]
    after: Tuple[Drawn, ...]

    def to_json(self) -> Dict[str, Any]:
        """Each node as [name, operation, inputs]."""
        sides = {"before": self.before, "after": self.after}
        return {side: [[*node[:2], list(node.inputs)] for node in nodes] for side, nodes in sides.items()}


@dataclass(frozen=True)
class Refusal:
    """Why a node was left as it is, though the rule is there for nodes like it."""

    node: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What a pass did, and what it did not do; `note` is a sentence about it for the step's notes, or empty.

    pictures: of the first changes that are small enough, by their positions in `fired`; `Pass.run` takes them.
    """

    rule: str
    fired: Tuple[Firing, ...] = ()
    refused: Tuple[Refusal, ...] = ()
    note: str = ""
    pictures: Mapping[int, Picture] = field(default_factory=dict)

    def to_json(self) -> Dict[str, Any]:
        """As docs/architecture.md describes it among the facts of a step."""
        return {
            "rule": self.rule,
            "fired": [{"before": list(item.before), "after": list(item.after)} for item in self.fired],
            "refused": [{"node": item.node, "reason": item.reason} for item in self.refused],
            "pictures": [{"fired": number, **picture.to_json()} for number, picture in sorted(self.pictures.items())],
        }


@dataclass(frozen=True)
class Pass(abc.ABC):
    """A change to a whole graph; a subclass's fields are its options, made with `_arguments.argument`.

    Contract, asserted by `run`: a valid graph goes in and a valid graph comes out, and the model's inputs and
    outputs have the names, the dtypes and the shapes that they had. See `_validity.py` for what is valid. What a pass
    says of functions and of control flow is its own matter: one that is not about them leaves them as they are.

    changes_interface: whether the pass may give the model other inputs and outputs (`GraphIndex.set_interface`), or
        the same ones other names, dtypes or shapes.
    expected_error: what the pass may cost by its nature, relative to an output's range, such as by rounding weights:
        more is not tolerated when the model is verified.
    runs_for: the targets in whose sequences a third party's pass runs; one of our own is named in `sequences.py`.
    """

    name: ClassVar[str]
    #: One line for people.
    summary: ClassVar[str]
    changes_interface: ClassVar[bool] = False
    expected_error: ClassVar[float] = 0.0
    runs_for: ClassVar[Tuple[str, ...]] = ()

    @abc.abstractmethod
    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Change the graph and tell what was done."""

    def run(self, graph: GraphIndex, target: Target) -> Report:
        """Apply the pass and hold it to the contract.

        Raises StepError RULE_BROKE_GRAPH, RULE_CHANGED_INTERFACE or RULE_FAILED, which are the pass's fault.
        """
        before = _described(graph)
        graph.start_pass()
        try:
            report = self.apply(graph, target)
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise _failed(self.name, error) from error
        report = replace(report, pictures=_pictures(graph, report.fired))
        if self.changes_interface and report.fired:
            graph.set_interface(graph.interface)
            graph.forget_shapes()
        if report.fired:
            # Also what the pass says that it changed: it may have done so behind the graph's back.
            graph.suspect(name for firing in report.fired for name in firing.after)
            require_still_valid(graph, self.name)
            if not self.changes_interface:
                _require_same(self.name, before, _described(graph))
        return report


def _pictures(graph: GraphIndex, fired: Sequence[Firing]) -> Dict[int, Picture]:
    """Of the first changes that are small enough to look at."""
    small = [item for item in enumerate(fired) if len(item[1].before) + len(item[1].after) <= _LARGEST_PICTURE]
    return {number: _picture(graph, firing) for number, firing in small[:_MOST_PICTURES]}


def _picture(graph: GraphIndex, firing: Firing) -> Picture:
    before = (graph.draw_before(name) for name in firing.before)
    after = (graph.draw(name) for name in firing.after)
    return Picture(tuple(filter(None, before)), tuple(filter(None, after)))


class _Described(NamedTuple):
    """What users rely on in an input or output; the dtype by its number, 0 where it is not told."""

    dtype: int
    #: Of an input, as its Placeholder declares it; outputs are compared once all passes have run.
    shape: Optional[bytes]


def _described(graph: GraphIndex) -> Dict[Tensor, _Described]:
    inputs, outputs = graph.interface.inputs, graph.interface.outputs
    found = {tensor: _Described(graph.dtype(tensor), None) for tensor in outputs}
    for tensor in inputs:
        attributes = graph.node(tensor.node).attr
        declared = attributes["shape"].SerializeToString(deterministic=True) if "shape" in attributes else None
        found[tensor] = _Described(graph.dtype(tensor), declared)
    return found


def _require_same(rule: str, before: Dict[Tensor, _Described], after: Dict[Tensor, _Described]) -> None:
    if list(before) != list(after):
        raise changed_interface(rule, "which tensors are the model's inputs and outputs", "")
    for tensor, described in before.items():
        if described.dtype and after[tensor].dtype != described.dtype:
            raise changed_interface(rule, "the dtype of {}".format(tensor), str(tensor))
        if after[tensor].shape != described.shape:
            raise changed_interface(rule, "the shape of {}".format(tensor), str(tensor))


def _failed(rule: str, error: Exception) -> StepError:
    """The error for a pass that could not cope with a graph: it may be damaged in a way that nobody thought of."""
    return StepError(
        "RULE_FAILED",
        "The rule {!r} failed at this graph ({}: {}). Leave it out with --no-rewrite {}, and report it.".format(
            rule, type(error).__name__, error, rule
        ),
        {"rule": rule, "error": "{}: {}".format(type(error).__name__, error)},
        fault="TOOL",
    )


def changed_interface(rule: str, what: str, tensor: str) -> StepError:
    """The error for a pass that changed what it must keep."""
    return StepError(
        "RULE_CHANGED_INTERFACE",
        "The rule {!r} changed {}. Leave it out with --no-rewrite {}, and report it.".format(rule, what, rule),
        {"rule": rule, "tensor": tensor},
        fault="TOOL",
    )
