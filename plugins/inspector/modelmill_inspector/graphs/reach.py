"""The nodes that a model's outputs depend on, those of the functions that it calls included."""

from typing import Any, Dict, List, Sequence, Set

from modelmill_worker import graph_def
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.shapes import Shapes
from modelmill_worker.signature import Tensor


def needed_names(graph: GraphDef, outputs: Sequence[Tensor]) -> Set[str]:
    """The graph's nodes that the outputs depend on by data; all of them where no output is known."""
    flow = Dataflow(graph)
    known = [name for name in (graph_def.node_name(tensor.tensor) for tensor in outputs) if name in flow.nodes]
    return flow.ancestors(known) if known else set(flow.nodes)


def needed_nodes(graph: GraphDef, names: Set[str]) -> List[NodeDef]:
    """These nodes of the graph, and the nodes of every function that they reach."""
    own = [node for node in graph.node if node.name in names]
    return own + [node for function in needed_functions(graph, names) for node in function.node_def]


def needed_functions(graph: GraphDef, names: Set[str]) -> List[Any]:
    """The functions that these nodes of the graph reach."""
    library = {function.signature.name: function for function in graph.library.function}
    nodes = [node for node in graph.node if node.name in names]
    reached: Dict[str, Any] = {}
    waiting = list(nodes)
    while waiting:
        for name in called_functions(waiting.pop(), library):
            if name not in reached:
                reached[name] = library[name]
                waiting.extend(library[name].node_def)
    return list(reached.values())


def as_graph(function: Any) -> GraphDef:
    """A function's nodes as those of a graph, arguments as placeholders; which output an input takes is left open."""
    graph = graph_def.new_graph()
    for argument in function.signature.input_arg:
        graph.node.add(name=argument.name, op="Placeholder")
    for node in function.node_def:
        copied = graph.node.add(name=node.name, op=node.op)
        copied.input.extend(
            reference if graph_def.is_control(reference) else reference.split(":")[0] for reference in node.input
        )
    return graph


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


def called_by(node: NodeDef, shapes: Shapes) -> List[str]:
    """Under which names `shapes` has what is inside of the functions that a node calls."""
    if not shapes.called:
        return []
    names = [node.name, node.name + "/then_branch", node.name + "/else_branch"]
    return [name for name in names if name in shapes.called]


def function_behind(node: NodeDef, called: str) -> str:
    """The function's name behind one of those names."""
    side = called[len(node.name) + 1 :]
    for attribute in (side,) if side else ("f", "body"):
        if attribute in node.attr:
            return str(node.attr[attribute].func.name)
    return str(node.op)


def plain_reference(reference: str) -> str:
    """A tensor's name as a graph writes it: "x:1" of a function's "x:output:1", "x:0" of "x"."""
    parts = reference.split(":")
    return parts[0] + ":" + (parts[-1] if len(parts) > 1 else "0")
