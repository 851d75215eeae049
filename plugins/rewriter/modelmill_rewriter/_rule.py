"""Rules: passes that replace what matches a pattern, wherever it matches."""

import abc
import enum
from collections import deque
from dataclasses import dataclass
from typing import ClassVar, Deque, Dict, Iterable, List, Optional, Set, Tuple

from modelmill_worker.errors import StepError

from modelmill_rewriter._builder import Builder
from modelmill_rewriter._control_flow import OUTSIDE, Place, places
from modelmill_rewriter._graph_index import GraphIndex
from modelmill_rewriter._matcher import Match, Matcher
from modelmill_rewriter._pass import Firing, Pass, Refusal, Report
from modelmill_rewriter._pattern import Pattern, depth
from modelmill_rewriter._target import Target
from modelmill_rewriter._tensor import Tensor


class Answer(enum.Enum):
    """What a rule says to a match."""

    YES = "rewrite it"
    NO = "it cannot be rewritten, for a reason that people should know"
    DONE = "it is as the rule would leave it"


@dataclass(frozen=True)
class Verdict:
    """An answer; `reason` is there for NO."""

    answer: Answer
    reason: str = ""


YES = Verdict(Answer.YES)
DONE = Verdict(Answer.DONE)


def no(reason: str) -> Verdict:
    """Do not rewrite; the reason, a sentence without its full stop, reaches the user's report."""
    return Verdict(Answer.NO, reason)


@dataclass(frozen=True)
class Rule(Pass):
    """Replaces what matches `pattern`, where `check` says yes, by what `rewrite` builds.

    may_share: whether the rule also applies where nodes inside the match are used elsewhere, or are outputs of the
        model. They stay then, and their values with them, but what they compute is computed twice.
    inside_control_flow: whether the rule also applies inside TensorFlow 1's loops and conditions: only where what it
        builds reads nothing but what the match read there.
    """

    may_share: ClassVar[bool] = False
    inside_control_flow: ClassVar[bool] = False

    @abc.abstractmethod
    def pattern(self) -> Pattern:
        """The expression to replace."""

    @abc.abstractmethod
    def check(self, match: Match) -> Verdict:
        """Whether this match is to be rewritten, or the reason why not."""

    @abc.abstractmethod
    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The tensor that takes the place of the root's first output.

        If it is one that `make` built, its node gets the root's name; else the root goes, and its consumers read
        the tensor instead.
        """

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Apply the rule until it finds nothing more to do."""
        return _Application(self, graph, target).report()


class _Application:
    """One run of one rule over one graph."""

    def __init__(self, rule: Rule, graph: GraphIndex, target: Target) -> None:
        self._rule = rule
        self._graph = graph
        pattern = rule.pattern()
        self._depth = depth(pattern)
        self.matcher = Matcher(pattern, graph, target)
        self._places = places(graph)
        self._fired: List[Firing] = []
        self._refused: Dict[str, str] = {}
        self._most_firings = 4 * len(graph) + 100

    def report(self) -> Report:
        """Visit every node at which the pattern can end, producers first, and again where something changed."""
        ends = self._graph.in_data_order(self._graph.nodes_with(*self.matcher.operations))
        waiting: Deque[str] = deque(ends)
        queued: Set[str] = set(ends)
        while waiting:
            name = waiting.popleft()
            queued.discard(name)
            if name in self._graph:
                self._enqueue(self._visit(name), waiting, queued)
        refused = tuple(Refusal(node, reason) for node, reason in self._refused.items() if node in self._graph)
        return Report(self._rule.name, tuple(self._fired), refused)

    def _enqueue(self, names: Iterable[str], waiting: Deque[str], queued: Set[str]) -> None:
        for name in names:
            if name not in queued and self._graph.node(name).op in self.matcher.operations:
                queued.add(name)
                waiting.append(name)

    def _visit(self, name: str) -> Tuple[str, ...]:
        """Rewrite the first match that the rule agrees to; returns the nodes at which this may make new matches."""
        reason: Optional[str] = None
        for match in self.matcher.matches(name):
            verdict = self._verdict(match)
            if verdict.answer is Answer.YES:
                self._refused.pop(name, None)
                return self._downstream(self._replace(match))
            if verdict.answer is Answer.DONE:
                self._refused.pop(name, None)
                return ()
            reason = reason or verdict.reason
        if reason is None:
            self._refused.pop(name, None)
        else:
            self._refused[name] = reason
        return ()

    def _verdict(self, match: Match) -> Verdict:
        verdict = self._rule.check(match)
        if verdict.answer is not Answer.YES:
            return verdict
        place = self._places.get(match.root, OUTSIDE)
        if place != OUTSIDE and not self._rule.inside_control_flow:
            return no("it lies inside {}".format(_describe(place)))
        other = self._other_output(match.root)
        if other is not None:
            return no("its output {} is also used".format(other.output))
        if not self._rule.may_share:
            shared = match.shared_node()
            if shared is not None and shared in self._graph.kept:
                return no("its part {!r} is an output of the model".format(shared))
            if shared is not None:
                return no("its part {!r} is also used elsewhere".format(shared))
        return verdict

    def _other_output(self, root: str) -> Optional[Tensor]:
        """An output of the root beside its first that something reads or the model gives out; None if none is."""
        interface = self._graph.interface
        read = [tensor for name in self._graph.consumers(root) for tensor in self._graph.data_inputs(name)]
        used = [*interface.inputs, *interface.outputs, *read]
        return next((tensor for tensor in used if tensor.node == root and tensor.output), None)

    def _replace(self, match: Match) -> Tuple[str, ...]:
        """Returns the nodes that read something else than before."""
        self._require_an_end(match)
        make = Builder(match)
        result = self._rule.rewrite(match, make)
        built = {node.name: node for node in make.nodes}
        if (result.node not in built and self._must_stay(match)) or (result.node in built and result.output):
            result = make.node("Identity", result)
            built[result.node] = make.nodes[-1]
        if result.node not in built:
            return self._dissolve(match, result)
        final = built[result.node]
        final.name = match.root
        final.input.extend("^" + name for name in match.control_inputs)
        others = [node for node in make.nodes if node is not final]
        read = [tensor.node for tensor in self._graph.data_inputs(match.root)]
        self._graph.replace(match.root, others + [final])
        self._graph.remove_unused([*match.nodes[1:], *read])
        self._fired.append(Firing(match.nodes, tuple(node.name for node in others + [final])))
        return (match.root,)

    def _must_stay(self, match: Match) -> bool:
        """Whether a node of the root's name is needed: for the interface, or to wait for what the match waits for."""
        return match.root in self._graph.kept or bool(match.control_inputs)

    def _dissolve(self, match: Match, result: Tensor) -> Tuple[str, ...]:
        changed = self._graph.redirect(match.root, result)
        self._graph.remove_unused(match.nodes)
        self._fired.append(Firing(match.nodes, ()))
        return changed

    def _downstream(self, names: Tuple[str, ...]) -> Tuple[str, ...]:
        """These nodes and what the pattern's depth lets a new match at them reach."""
        found: Dict[str, None] = dict.fromkeys(names)
        edge = names
        for _ in range(self._depth - 1):
            edge = tuple(consumer for name in edge for consumer in self._graph.consumers(name) if consumer not in found)
            found.update(dict.fromkeys(edge))
        return tuple(found)

    def _require_an_end(self, match: Match) -> None:
        if len(self._fired) >= self._most_firings:
            raise StepError(
                "REWRITE_DOES_NOT_END",
                "The rule {!r} finds something to do in what it has just made, at {}. "
                "Leave it out with --no-rewrite {}, and report it.".format(
                    self._rule.name, match.root, self._rule.name
                ),
                {"rule": self._rule.name, "node": match.root},
                fault="TOOL",
            )


def _describe(place: Place) -> str:
    if place.frames:
        return "the loop {!r}".format(place.frames[-1])
    return "the condition on {!r}".format(min(place.conditions)[0])
