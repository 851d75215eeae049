"""What a GraphDef must be, before a pass and after it."""

from typing import Dict, Iterable, List, Tuple

from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef, is_control, node_name

from modelmill_rewriter._graph_index import GraphIndex, Interface

#: The only edges that may lead backwards: those by which a TensorFlow 1 loop comes round again.
LOOP_OPERATIONS = ("NextIteration", "RefNextIteration")


def require_valid(graph: GraphDef, interface: Interface) -> None:
    """Raise StepError GRAPH_INVALID, at the user, where a graph that was handed in is broken."""
    nodes: Dict[str, NodeDef] = {}
    for node in graph.node:
        if node.name in nodes:
            raise _invalid("two nodes are named {!r}".format(node.name), node.name)
        nodes[node.name] = node
    for problem, name in _problems(nodes, interface):
        raise _invalid(problem, name)


def require_still_valid(graph: GraphIndex, rule: str) -> None:
    """Raise StepError RULE_BROKE_GRAPH, at the rule, where a pass left a broken graph behind."""
    nodes = {name: graph.node(name) for name in graph.names()}
    for problem, name in _problems(nodes, graph.interface):
        raise StepError(
            "RULE_BROKE_GRAPH",
            "The rule {!r} left a graph in which {}. Leave it out with --no-rewrite {}, and report it.".format(
                rule, problem, rule
            ),
            {"rule": rule, "node": name},
            fault="TOOL",
        )


def topological_order(nodes: Dict[str, NodeDef]) -> Tuple[List[str], List[str]]:
    """The nodes with producers before consumers, and the nodes that lie on a cycle or behind one.

    The edges out of NextIteration do not count.
    """
    missing: Dict[str, int] = {}
    consumers: Dict[str, List[str]] = {name: [] for name in nodes}
    for name, node in nodes.items():
        producers = [node_name(entry) for entry in node.input]
        producers = [producer for producer in producers if nodes[producer].op not in LOOP_OPERATIONS]
        missing[name] = len(producers)
        for producer in producers:
            consumers[producer].append(name)
    order = [name for name, count in missing.items() if not count]
    for name in order:  # grows while it is walked
        for consumer in consumers[name]:
            missing[consumer] -= 1
            if not missing[consumer]:
                order.append(consumer)
    if len(order) == len(nodes):
        return order, []
    ordered = frozenset(order)
    return order, [name for name in nodes if name not in ordered]


def _problems(nodes: Dict[str, NodeDef], interface: Interface) -> Iterable[Tuple[str, str]]:
    for name in sorted(interface.nodes):
        if name not in nodes:
            yield "the model's input or output {!r} is not there".format(name), name
    for name, node in nodes.items():
        for problem in _input_problems(name, node, nodes):
            yield problem, name
    _, cyclic = topological_order(nodes)
    if cyclic:
        yield "{!r} waits for itself".format(cyclic[0]), cyclic[0]


def _input_problems(name: str, node: NodeDef, nodes: Dict[str, NodeDef]) -> Iterable[str]:
    control = False
    for entry in node.input:
        if node_name(entry) not in nodes:
            yield "{!r} reads {!r}, which is not there".format(name, entry)
        if control and not is_control(entry):
            yield "{!r} names the input {!r} after a control dependency".format(name, entry)
        control = control or is_control(entry)


def _invalid(problem: str, name: str) -> StepError:
    return StepError(
        "GRAPH_INVALID",
        "The graph is broken: {}. Write it again with the program that made it.".format(problem),
        {"node": name},
    )
