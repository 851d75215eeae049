"""The order of a graph's data: producers before consumers."""

from typing import Dict, List, Tuple

from modelmill_worker.graph_def import NodeDef, node_name

#: The only edges that may lead backwards: those by which a TensorFlow 1 loop comes round again.
LOOP_OPERATIONS = ("NextIteration", "RefNextIteration")


def topological_order(nodes: Dict[str, NodeDef]) -> Tuple[List[str], List[str]]:
    """The nodes with producers before consumers, and the nodes that lie on a cycle or behind one.

    The edges out of NextIteration do not count. What the nodes read must be among them.
    """
    backwards = frozenset(name for name, node in nodes.items() if node.op in LOOP_OPERATIONS)
    missing: Dict[str, int] = {}
    consumers: Dict[str, List[str]] = {name: [] for name in nodes}
    order = []
    for name, node in nodes.items():
        count = 0
        for entry in node.input:
            producer = entry if entry in consumers else node_name(entry)  # most entries are plain names
            if producer not in backwards:
                count += 1
                consumers[producer].append(name)
        if count:
            missing[name] = count
        else:
            order.append(name)
    for name in order:  # grows while it is walked
        for consumer in consumers[name]:
            missing[consumer] -= 1
            if not missing[consumer]:
                order.append(consumer)
    if len(order) == len(nodes):
        return order, []
    ordered = frozenset(order)
    return order, [name for name in nodes if name not in ordered]
