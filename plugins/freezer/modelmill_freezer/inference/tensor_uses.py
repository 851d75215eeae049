"""Who uses which output of a node, and how to give the users another one."""

from typing import Dict, List, Mapping

from modelmill_worker import graph_def
from modelmill_worker.graph_def import GraphDef, NodeDef


def canonical(reference: str) -> str:
    """A data input as nodes write it: "x" of "x:0", "x:1" of itself."""
    return reference[:-2] if reference.endswith(":0") else reference


def users(graph: GraphDef) -> Dict[str, List[NodeDef]]:
    """The nodes that take each tensor, by the tensor's canonical name; once for every use."""
    found: Dict[str, List[NodeDef]] = {}
    for node in graph.node:
        for reference in graph_def.data_inputs(node):
            found.setdefault(canonical(reference), []).append(node)
    return found


def redirect(graph: GraphDef, others: Mapping[str, str]) -> None:
    """Give every user of a tensor another one, in place; names are canonical. Chains are followed."""
    if not others:
        return
    for node in graph.node:
        for position, reference in enumerate(node.input):
            if not graph_def.is_control(reference) and canonical(reference) in others:
                node.input[position] = _end_of(canonical(reference), others)


def _end_of(name: str, others: Mapping[str, str]) -> str:
    seen = {name}
    while name in others and others[name] not in seen:
        name = others[name]
        seen.add(name)
    return name


def become(node: NodeDef, other: NodeDef) -> None:
    """Put another node in a node's place."""
    node.ParseFromString(other.SerializeToString())
