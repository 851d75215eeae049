"""What a GraphDef must be, before a pass and after it."""

import math
from functools import lru_cache
from typing import Container, Dict, Iterable, List, Tuple

from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef, is_control, node_name
from modelmill_worker.op_versions_table import table

from modelmill_rewriter._graph_index import GraphIndex, Interface
from modelmill_rewriter._order import topological_order

_Problem = Tuple[str, str]


def require_valid(graph: GraphDef, interface: Interface) -> List[str]:
    """The nodes' names in the order of the data, of a graph that was handed in.

    Raises StepError GRAPH_INVALID, at the user, where it is broken.
    """
    nodes: Dict[str, NodeDef] = {}
    for node in graph.node:
        if node.name in nodes:
            raise _invalid("two nodes are named {!r}".format(node.name), node.name)
        nodes[node.name] = node
    for problem, name in _missing(interface, nodes):
        raise _invalid(problem, name)
    for name, node in nodes.items():
        for problem, _ in (*_input_problems(name, node, nodes), *_miscounted_inputs(name, node)):
            raise _invalid(problem, name)
    order, cyclic = topological_order(nodes)
    if cyclic:
        raise _invalid(*_waiting(cyclic))
    return order


def require_still_valid(graph: GraphIndex, rule: str) -> None:
    """Raise StepError RULE_BROKE_GRAPH, at the rule, where a pass left a broken graph behind.

    Looks at what was changed since `GraphIndex.start_pass`, and at whom that may have left without an input.
    """
    for problem, name in _new_problems(graph):
        raise StepError(
            "RULE_BROKE_GRAPH",
            "The rule {!r} left a graph in which {}. Leave it out with --no-rewrite {}, and report it.".format(
                rule, problem, rule
            ),
            {"rule": rule, "node": name},
            fault="TOOL",
        )


def _new_problems(graph: GraphIndex) -> Iterable[_Problem]:
    yield from _missing(graph.interface, graph)
    for name in graph.changed:
        if name in graph:
            yield from _input_problems(name, graph.node(name), graph)
    cyclic = graph.cyclic()
    if cyclic:
        yield _waiting(cyclic)


def _missing(interface: Interface, nodes: Container[str]) -> Iterable[_Problem]:
    for name in sorted(interface.nodes):
        if name not in nodes:
            yield "the model's input or output {!r} is not there".format(name), name


def _input_problems(name: str, node: NodeDef, nodes: Container[str]) -> Iterable[_Problem]:
    if node.name != name:
        yield "{!r} has got the name {!r} behind the graph's back".format(name, node.name), name
    control = False
    for entry in node.input:
        is_plain = entry in nodes  # as most entries are; such a name has neither "^" nor ":"
        if not is_plain and node_name(entry) not in nodes:
            yield "{!r} reads {!r}, which is not there".format(name, entry), name
        if control and (is_plain or not is_control(entry)):
            yield "{!r} names the input {!r} after a control dependency".format(name, entry), name
        control = control or (not is_plain and is_control(entry))


def _miscounted_inputs(name: str, node: NodeDef) -> Iterable[_Problem]:
    """Rules rely on it that a node has as many inputs as its operation has in some version of TensorFlow."""
    fewest, most = _input_counts(node.op)
    count = len(node.input)
    if count and is_control(node.input[-1]):  # they come last
        count = sum(not is_control(entry) for entry in node.input)
    if count < fewest:
        yield "{!r} has fewer inputs than the {} that {} takes".format(name, fewest, node.op), name
    elif count > most:
        yield "{!r} has more inputs than the {} that {} takes".format(name, most, node.op), name


@lru_cache(maxsize=4096)
def _input_counts(operation: str) -> Tuple[int, float]:
    """The fewest and the most inputs that an operation has; any number where nothing is known of it."""
    definitions = [definition for definition in table().history(operation) if definition is not None]
    counts = [int(definition.inputs[0]) for definition in definitions]
    is_open = not counts or any(len(definition.inputs) > 1 for definition in definitions)
    return min(counts, default=0), math.inf if is_open else max(counts)


def _waiting(cyclic: List[str]) -> _Problem:
    return "{!r} waits for itself".format(cyclic[0]), cyclic[0]


def _invalid(problem: str, name: str) -> StepError:
    return StepError(
        "GRAPH_INVALID",
        "The graph is broken: {}. Write it again with the program that made it.".format(problem),
        {"node": name},
    )
