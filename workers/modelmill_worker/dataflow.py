"""Who feeds whom in a GraphDef, and the part of it that given nodes need."""

from typing import AbstractSet, Container, Dict, Iterable, List, Mapping, Set

from modelmill_worker import graph_def
from modelmill_worker.graph_def import GraphDef, NodeDef

#: What steers TensorFlow 1's loops and branches; such nodes decide in which frame or branch another one runs.
CONTROL_FLOW = frozenset(
    ["Switch", "RefSwitch", "Merge", "RefMerge", "Enter", "RefEnter", "Exit", "RefExit", "LoopCond", "NextIteration"]
)


class Dataflow:
    """A GraphDef's nodes by name with their data edges; a picture of the moment when it was made.

    Raises StepError GRAPH_DEF_DAMAGED where two nodes share a name or an input is missing.
    """

    def __init__(self, graph: GraphDef) -> None:
        self.nodes: Dict[str, NodeDef] = graph_def.nodes_by_name(graph)
        self.feeders: Dict[str, List[str]] = {
            node.name: [graph_def.node_name(reference) for reference in graph_def.data_inputs(node)]
            for node in graph.node
        }
        self.consumers: Dict[str, List[str]] = {name: [] for name in self.nodes}
        for name, feeders in self.feeders.items():
            for feeder in feeders:
                if feeder not in self.consumers:
                    raise graph_def.damaged(
                        "The GraphDef", "{} has the input {}, which is missing.".format(name, feeder)
                    )
                self.consumers[feeder].append(name)

    def ancestors(self, names: Iterable[str]) -> Set[str]:
        """These nodes and all whose data reach them."""
        return reach(names, self.feeders)

    def descendants(self, names: Iterable[str], without: AbstractSet[str] = frozenset()) -> Set[str]:
        """These nodes and all that their data reach, on ways that pass none of `without`."""
        return reach((name for name in names if name not in without), self.consumers, without)

    def passed_on(self, name: str, operations: Container[str]) -> List[str]:
        """This node, and those whose values it has through nodes of these operations that pass their first input on."""
        chain = [name]
        seen = {name}
        while self.nodes[chain[-1]].op in operations and self.feeders[chain[-1]]:
            feeder = self.feeders[chain[-1]][0]
            if feeder in seen:  # A graph that somebody damaged may go in circles.
                break
            seen.add(feeder)
            chain.append(feeder)
        return chain

    def inside_loops(self) -> Set[str]:
        """Nodes that run in the frame of a TensorFlow 1 loop, where nothing can be fetched."""
        enters = [name for name, node in self.nodes.items() if node.op in ("Enter", "RefEnter")]
        exits = {name for name, node in self.nodes.items() if node.op in ("Exit", "RefExit")}
        return self.descendants(enters, without=exits)

    def order_matters(self, reference: str) -> bool:
        """Whether a control input ("^x") says in which frame or branch a node runs, so that it must stay.

        Other control inputs are there for side effects: updates of moving averages, assertions, initialisers.
        """
        source = self.nodes.get(graph_def.node_name(reference))
        if source is None:
            return False
        if source.op == "Identity":
            return any(self.nodes[feeder].op in CONTROL_FLOW for feeder in self.feeders[source.name])
        return source.op in CONTROL_FLOW


def prune(graph: GraphDef, outputs: Iterable[str]) -> GraphDef:
    """A copy of the graph with only what these nodes need; node order, versions and functions stay.

    Control inputs that are there for side effects only are dropped, and so is what they alone would have kept.
    """
    flow = Dataflow(graph)
    needed = _needed(flow, outputs)
    pruned = graph_def.new_graph()
    pruned.versions.ParseFromString(graph.versions.SerializeToString())
    pruned.library.ParseFromString(graph.library.SerializeToString())
    for node in graph.node:
        if node.name in needed:
            kept = pruned.node.add()
            kept.ParseFromString(node.SerializeToString())
            _drop_passing_inputs(flow, kept)
    return pruned


def prune_in_place(graph: GraphDef, outputs: Iterable[str]) -> None:
    """As `prune`, of a graph that may hold so much that a copy would be costly."""
    flow = Dataflow(graph)
    needed = _needed(flow, outputs)
    for index in reversed(range(len(graph.node))):
        if graph.node[index].name not in needed:
            del graph.node[index]
    for node in graph.node:
        _drop_passing_inputs(flow, node)


def _needed(flow: Dataflow, outputs: Iterable[str]) -> Set[str]:
    return reach(outputs, {name: _lasting_inputs(flow, node) for name, node in flow.nodes.items()})


def _drop_passing_inputs(flow: Dataflow, node: NodeDef) -> None:
    lasting = [reference for reference in node.input if _lasts(flow, reference)]
    if len(lasting) != len(node.input):
        del node.input[:]
        node.input.extend(lasting)


def _lasts(flow: Dataflow, reference: str) -> bool:
    return not graph_def.is_control(reference) or flow.order_matters(reference)


def _lasting_inputs(flow: Dataflow, node: NodeDef) -> List[str]:
    return [graph_def.node_name(reference) for reference in node.input if _lasts(flow, reference)]


def reach(starts: Iterable[str], edges: Mapping[str, List[str]], without: AbstractSet[str] = frozenset()) -> Set[str]:
    """The starts and all that edges lead to from them, on ways that pass none of `without`."""
    reached: Set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name in reached or name in without:
            continue
        reached.add(name)
        waiting.extend(edges[name])
    return reached
