"""Loops that run a fixed number of times, written out.

Before:

    x[0] = initial
    while condition(x[k]): x[k + 1] = body(x[k])

with a condition that depends on constants only, so that the number n of iterations is known. TensorFlow 1 spells it
with Enter, Merge, Switch, NextIteration and Exit (`_about_frames.py`), TensorFlow 2 with While or StatelessWhile and
two functions (`_about_functions.py`).

After:

    x[n] = body(body(... body(initial)))    ->  the loop's output

The body computes the same n times over, so its result is the same to the last bit. Counters and what is computed of
them are known then, so they become constants; what is the same in each iteration is there once. The arrays that
a loop reads and writes step by step stay arrays, over constant indices now: `unpack_arrays` is about them.

Loops inside others go first. A loop stays where the number is not constant or above `max_iterations`, where the graph
would have more than 200,000 nodes, where it lies on one side of a condition, where it holds a loop that stays, and
where an operation of it has a state of its own, such as a random number generator's.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, Iterable, List, Optional, Sequence, Tuple

from modelmill_worker import graph_def
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules.loops._about_frames import FrameReader, frames
from modelmill_rewriter.rules.loops._about_functions import WHILES, functions_of, while_loop
from modelmill_rewriter.rules.loops._about_loops import Loop, StaysALoop
from modelmill_rewriter.rules.loops._about_small_values import SmallValues
from modelmill_rewriter.rules.loops._about_unrolling import (
    Counting,
    Unrolling,
    needed_nodes,
    require_it_can_be_written_out,
)
from modelmill_rewriter.rules.loops.unpack_arrays import UnpackArrays
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Refusal, Report, Target, Tensor, argument, places

#: A few nested loops in a small file can mean any number of nodes.
_LARGEST_GRAPH = 200000


@dataclass(frozen=True)
class UnrollLoops(Pass):
    """Writes out loops whose number of iterations is constant."""

    name: ClassVar[str] = "unroll_loops"
    summary: ClassVar[str] = "Writes out loops that run a fixed number of times."

    max_iterations: int = argument(256, "Loops that run more often than this stay loops.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Unroll the loops of TensorFlow 1, inner ones first, then those of TensorFlow 2, outer ones first.

        How often a loop runs may depend on how much another one gathered, so arrays are unpacked in between.
        Raises StepError INVALID_OPTION.
        """
        if self.max_iterations < 0:
            raise StepError(
                "INVALID_OPTION",
                "unroll_loops takes no max_iterations of {}: give the number of iterations up to which loops "
                "are to be written out.".format(self.max_iterations),
                {"rule": self.name, "option": "max_iterations", "value": self.max_iterations},
            )
        fired: List[Firing] = []
        while True:
            work = _Work(graph, self.max_iterations)
            work.unroll_frames()
            work.unroll_whiles()
            if work.fired:
                graph.forget_shapes()
            fired += work.fired
            if not work.fired or not work.refused:
                return Report(self.name, tuple(fired), tuple(Refusal(*item) for item in work.refused.items()))
            fired += UnpackArrays().apply(graph, target).fired


class _Work:
    """One run of the pass; `refused` has the reason by the loop's name."""

    def __init__(self, graph: GraphIndex, most: int) -> None:
        self._graph = graph
        self._most = most
        self.fired: List[Firing] = []
        self.refused: Dict[str, str] = {}

    def unroll_frames(self) -> None:
        """Each loop of TensorFlow 1."""
        for frame in frames(places(self._graph)):
            reader = FrameReader(self._graph, places(self._graph), frame)
            try:
                loop = reader.read()
                nodes, outputs = self._written_out(loop)
            except StaysALoop as reason:
                self.refused[reader.name] = str(reason)
                continue
            if len(frame) > 1:
                _bind(nodes, loop)
            self._put(loop, nodes, outputs, (*reader.members, *reader.exits))

    def unroll_whiles(self) -> None:
        """Each loop of TensorFlow 2 outside of functions, and those that come out of its body."""
        waiting = list(self._graph.nodes_with(*WHILES))
        while waiting:
            name = waiting.pop()
            inside = places(self._graph) if self._graph.nodes_with("Enter", "Switch") else {}
            try:
                if name in inside:
                    raise StaysALoop("it lies inside a loop or condition of TensorFlow 1, which stays")
                if name in self._graph.kept:
                    raise StaysALoop("it is itself an output of the model")
                loop = while_loop(self._graph, name)
                nodes, outputs = self._written_out(loop)
            except StaysALoop as reason:
                self.refused[name] = str(reason)
                continue
            self._put(loop, nodes, outputs, (name,))
            waiting.extend(node.name for node in nodes if node.op in WHILES)

    def _written_out(self, loop: Loop) -> Tuple[List[NodeDef], Dict[Tensor, Tensor]]:
        """The iterations of a loop and what stands for its outputs. Raises StaysALoop."""
        needed = needed_nodes(loop)
        require_it_can_be_written_out(loop, needed, functions_of(self._graph))
        values = SmallValues(self._graph)
        count = Counting(loop, values).iterations(self._most)
        size = len(self._graph) + count * len(needed)
        if size > _LARGEST_GRAPH:
            raise StaysALoop(
                "written out it would make a graph of {:,} nodes, and {:,} are the most".format(size, _LARGEST_GRAPH)
            )
        unrolling = Unrolling(self._graph, loop, values)
        outputs = unrolling.written_out(count)
        return unrolling.nodes, outputs

    def _put(self, loop: Loop, nodes: Sequence[NodeDef], outputs: Dict[Tensor, Tensor], gone: Sequence[str]) -> None:
        """Put the iterations where the loop was."""
        graph = self._graph
        graph.add(nodes, loop.name)
        handing_on = [
            node for output, now in outputs.items() for node in [self._handing_on(output, now)] if node is not None
        ]
        for node in handing_on:
            graph.replace(node.name, [node])
        kept = {node.name for node in handing_on}
        leaving = set(gone) - kept
        feeding = [tensor.node for name in leaving for tensor in graph.data_inputs(name) if tensor.node not in leaving]
        self._release(leaving, outputs)
        graph.retain(name for name in graph.names() if name not in leaving)
        graph.remove_unused(feeding)
        graph.remove_unused(node.name for node in reversed(nodes))
        made = tuple(node.name for node in nodes if node.name in graph)
        self.fired.append(Firing(tuple(sorted(leaving | kept)), made + tuple(sorted(kept))))

    def _handing_on(self, output: Tensor, now: Tensor) -> Optional[NodeDef]:
        """Let readers of an output read what stands for it now; where its node must stay, one that hands it on."""
        if output.node not in self._graph.kept:
            self._graph.redirect_tensor(output, now)
            return None
        node = graph_def.new_node(output.node, "Identity", (str(now),))
        node.device = self._graph.node(output.node).device
        node.attr["T"].CopyFrom(self._graph.node(output.node).attr["T"])
        return node

    def _release(self, leaving: Iterable[str], outputs: Dict[Tensor, Tensor]) -> None:
        """Let who waits for the loop wait for what it ends with."""
        leaving = frozenset(leaving)
        ends = ["^" + now.node for now in outputs.values()]
        for name in leaving:
            for consumer in self._graph.consumers(name):
                if consumer not in leaving:
                    entries = self._graph.node(consumer).input
                    kept = [entry for entry in entries if entry != "^" + name]
                    self._graph.set_inputs(consumer, kept + ends)


def _bind(nodes: Iterable[NodeDef], loop: Loop) -> None:
    """Let what reads nothing wait for what the loop starts with, so that it runs in the frame around the loop."""
    start = tuple(dict.fromkeys("^" + tensor.node for tensor in loop.initial))
    for node in nodes:
        if not node.input:
            node.input.extend(start)
