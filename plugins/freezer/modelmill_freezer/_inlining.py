"""Calls of functions replaced by what the functions do, until only control flow still names functions.

Most of what reads frozen graphs, and every TensorFlow before 1.14, knows no calls. What a call runs for its side
effects comes along as control inputs, and goes when the graph is cut down to what its outputs need.
"""

from typing import AbstractSet, Dict, Iterable, List, Set, Tuple

from modelmill_worker import graph_def
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_freezer._functions import ARGUMENT, Body, Library, drop_unused, pruned, reached
from modelmill_freezer.inference.changes import Change
from modelmill_freezer.inference.left_behind import note_left_behind


class Inlined:
    """A graph without calls.

    graph: a new GraphDef.
    calls: the names of the calls that are gone, each with the call in the graph that it was found inside of, or is.
    types: for each of them the numbers of its results' data types.
    """

    def __init__(self, graph: GraphDef, inliner: "_Inliner") -> None:
        self.graph = graph
        self.calls = inliner.calls
        self.types = inliner.types
        self._moved = inliner.moved

    def tensor(self, reference: str) -> str:
        """Where a tensor of the graph before is now, such as "dense/BiasAdd:0" for "StatefulPartitionedCall:0"."""
        return _follow(graph_def.tensor_name(reference), self._moved)

    def changes(self, nodes: AbstractSet[str]) -> Tuple[Change, ...]:
        """What to tell of it: the calls among these nodes of the graph before, and those inside of them."""
        calls = tuple(call for call, outermost in self.calls.items() if outermost in nodes)
        return (Change("Calls of functions were replaced by what the functions do.", calls),) if calls else ()


def inline_calls(graph: GraphDef, needed: Iterable[str], library: Library, keep: Iterable[str] = ()) -> Inlined:
    """The graph with each call that these nodes need replaced by the function's own nodes.

    A node keeps the name that it has in the function where that is free, and else gets the call's name before it.
    keep: calls that stay calls. Functions of control flow are left as they are; see `inline_in_functions`.
    Raises StepError FUNCTION_MISSING or UNSUPPORTED_FUNCTION.
    """
    inliner = _Inliner(library, graph_def.nodes_by_name(graph), _needed(graph, needed) - set(keep))
    for node in graph.node:
        inliner.add(node, ())
    result = graph_def.new_graph()
    result.versions.ParseFromString(graph.versions.SerializeToString())
    result.library.ParseFromString(graph.library.SerializeToString())
    for node in inliner.made:
        _rewire(node, inliner)
        result.node.add().ParseFromString(node.SerializeToString())
    return Inlined(result, inliner)


def inline_in_functions(graph: GraphDef, outputs: Iterable[str], library: Library) -> Tuple[Change, ...]:
    """Inline the calls inside every function that these nodes need, and cut each down to its results; in place.

    Side effects inside a function go with that: an assertion, a print, an update of a variable. Other functions go too.
    Returns which side effects went, with the names of the functions before those of the nodes.
    """
    nodes = _part(graph, _needed(graph, outputs)).node
    gone: List[Change] = []
    for name, user in reached(nodes, library):
        body = library.body(name, user)
        inlined = inline_calls(body.graph, body.result_nodes() + body.arguments, library)
        results = [(result, inlined.tensor(tensor), dtype) for result, tensor, dtype in body.results]
        body = Body(name, inlined.graph, body.arguments, results, [])
        for change in note_left_behind(body.graph, body.result_nodes()):
            gone.append(Change(change.what, tuple("{}/{}".format(name, node) for node in change.nodes)))
        library.add(pruned(body), like=name)
    drop_unused(graph)
    return tuple(gone)


def side_effects(graph: GraphDef, outputs: Iterable[str]) -> Tuple[Change, ...]:
    """What the output nodes wait for and do not compute with, which goes when the graph is cut down to them."""
    names = list(outputs)
    return tuple(note_left_behind(_part(graph, _needed(graph, names)), names))


def merged(changes: Iterable[Change]) -> Tuple[Change, ...]:
    """The changes with those of one kind put together."""
    nodes: Dict[str, Tuple[str, ...]] = {}
    for change in changes:
        nodes[change.what] = nodes.get(change.what, ()) + change.nodes
    return tuple(Change(what, names) for what, names in nodes.items())


def _part(graph: GraphDef, names: Set[str]) -> GraphDef:
    part = graph_def.new_graph()
    for node in graph.node:
        if node.name in names:
            part.node.add().ParseFromString(node.SerializeToString())
    return part


def keep_name(inlined: Inlined, tensors: Iterable[str]) -> None:
    """Let tensors of calls stay where they were, by nodes of the calls' names that pass them on; in place."""
    taken = {node.name for node in inlined.graph.node}
    for name in sorted({graph_def.node_name(it) for it in tensors} - taken):
        results: List[str] = []
        while inlined.tensor("{}:{}".format(name, len(results))) != "{}:{}".format(name, len(results)):
            results.append(inlined.tensor("{}:{}".format(name, len(results))))
        node = inlined.graph.node.add(name=name, op="Identity" if len(results) == 1 else "IdentityN", input=results)
        types = inlined.types[name]
        if len(results) == 1:
            node.attr["T"].type = types[0]
        else:
            node.attr["T"].list.type.extend(types)


class _Inliner:
    """moved: tensors of calls, and where they are now; controls: for a call, the nodes that end when it ends.

    wanted: the nodes outside of functions that may be replaced.
    """

    def __init__(self, library: Library, nodes: Dict[str, NodeDef], wanted: Set[str]) -> None:
        self._library = library
        self._taken = set(nodes)
        self._wanted = wanted
        self.made: List[NodeDef] = []
        self.calls: Dict[str, str] = {}
        self._outermost = ""
        self.types: Dict[str, List[int]] = {}
        self.moved: Dict[str, str] = {}
        self.controls: Dict[str, List[str]] = {}

    def add(self, node: NodeDef, inside: Tuple[str, ...]) -> None:
        """Add a node, or in place of a call the function's nodes; `inside` are the functions that it was found in."""
        called = self._library.called_by(node) if inside or node.name in self._wanted else ""
        if not called:
            copy = graph_def.new_node(node.name, node.op)
            copy.ParseFromString(node.SerializeToString())
            self.made.append(copy)
            return
        if called in inside:
            raise StepError(
                "UNSUPPORTED_FUNCTION",
                "The function {} calls itself, which a graph without functions cannot do.".format(called),
                {"function": called},
            )
        if not inside:
            self._outermost = node.name
        self.calls[node.name] = self._outermost
        self._expand(node, self._library.body(called, node), inside + (called,))

    def _expand(self, call: NodeDef, body: Body, inside: Tuple[str, ...]) -> None:
        given = graph_def.data_inputs(call)
        controls = [reference for reference in call.input if graph_def.is_control(reference)]
        if len(given) != len(body.arguments):
            raise graph_def.damaged(
                "The GraphDef",
                "{} gives {} inputs to {}, which takes {}.".format(
                    call.name, len(given), body.name, len(body.arguments)
                ),
            )
        names = {node.name: self._free_name(node.name, call.name) for node in body.graph.node if node.op != ARGUMENT}
        arguments = {name: graph_def.tensor_name(reference) for name, reference in zip(body.arguments, given)}
        for number, (_, tensor, _) in enumerate(body.results):
            self.moved["{}:{}".format(call.name, number)] = _renamed(tensor, names, arguments)
        self.types[call.name] = [dtype for _, _, dtype in body.results]
        ends = body.controls + [name for name in body.result_nodes() if name in names]
        self.controls[call.name] = ["^" + names[name] for name in ends if name in names] + controls
        needed = _needed(body.graph, body.result_nodes() + body.controls)
        for node in body.graph.node:
            if node.op == ARGUMENT or node.name not in needed:
                continue
            node.name, inputs = names[node.name], [_renamed(reference, names, arguments) for reference in node.input]
            del node.input[:]
            # What nothing feeds runs in the loop or branch that the call is in.
            node.input.extend(inputs if any(not graph_def.is_control(it) for it in inputs) else inputs + controls)
            self.add(node, inside)

    def _free_name(self, name: str, call: str) -> str:
        free = name
        number = 0
        while free in self._taken:
            free = "{}/{}".format(call, name) + ("_{}".format(number) if number else "")
            number += 1
        self._taken.add(free)
        return free


def _rewire(node: NodeDef, inliner: _Inliner) -> None:
    """Point a node's inputs to where their tensors are now; controls last and each once."""
    inputs: List[str] = []
    controls: List[str] = []
    waiting = list(node.input)
    while waiting:
        reference = waiting.pop(0)
        if not graph_def.is_control(reference):
            inputs.append(_short(_follow(graph_def.tensor_name(reference), inliner.moved)))
        elif reference[1:] in inliner.controls:
            waiting.extend(inliner.controls[reference[1:]])
        elif reference not in controls:
            controls.append(reference)
    del node.input[:]
    node.input.extend(inputs + controls)


def _renamed(reference: str, names: Dict[str, str], arguments: Dict[str, str]) -> str:
    """A reference inside a body as it is outside."""
    name = graph_def.node_name(reference)
    if graph_def.is_control(reference):
        return "^" + (names[name] if name in names else graph_def.node_name(arguments[name]))
    if name in arguments:
        return arguments[name]
    return "{}:{}".format(names[name], graph_def.output_index(reference))


def _follow(tensor: str, moved: Dict[str, str]) -> str:
    while tensor in moved:
        tensor = moved[tensor]
    return tensor


def _short(tensor: str) -> str:
    return tensor[:-2] if tensor.endswith(":0") else tensor


def _needed(graph: GraphDef, outputs: Iterable[str]) -> Set[str]:
    """The nodes that these need, for their data or before them."""
    nodes = graph_def.nodes_by_name(graph)
    needed: Set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        if name not in nodes:
            raise graph_def.damaged("The GraphDef", "the node {} is missing.".format(name))
        needed.add(name)
        waiting.extend(graph_def.node_name(reference) for reference in nodes[name].input)
    return needed
