"""The nodes that a model's outputs depend on, those of the functions that it calls included."""

from typing import Dict, List, Sequence, Set

from modelmill_worker import graph_def
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.signature import Tensor


def needed_names(graph: GraphDef, outputs: Sequence[Tensor]) -> Set[str]:
    """The graph's nodes that the outputs depend on by data; all of them where no output is known."""
    flow = Dataflow(graph)
    known = [name for name in (graph_def.node_name(tensor.tensor) for tensor in outputs) if name in flow.nodes]
    return flow.ancestors(known) if known else set(flow.nodes)


def needed_nodes(graph: GraphDef, names: Set[str]) -> List[NodeDef]:
    """These nodes of the graph, and the nodes of every function that they reach."""
    library = {function.signature.name: function for function in graph.library.function}
    nodes = [node for node in graph.node if node.name in names]
    reached: Set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        for name in called_functions(node, library):
            if name not in reached:
                reached.add(name)
                body = list(library[name].node_def)
                nodes.extend(body)
                waiting.extend(body)
    return nodes


def called_functions(node: NodeDef, library: Dict[str, object]) -> List[str]:
    """The functions of the library that a node calls, by its operation's name or through an attribute."""
    called = [node.op] if node.op in library else []
    for attribute in node.attr.values():
        kind = attribute.WhichOneof("value")
        if kind == "func":
            called.append(attribute.func.name)
        elif kind == "list":
            called.extend(function.name for function in attribute.list.func)
    return [name for name in called if name in library]
