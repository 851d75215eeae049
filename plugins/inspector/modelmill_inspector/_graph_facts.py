"""Facts about one GraphDef, read from its nodes."""

from collections import Counter
from dataclasses import asdict
from typing import Any, Dict, List, Optional, Sequence

from modelmill_worker import graph_def, tensors
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.graph_outputs import find_inputs, find_outputs
from modelmill_worker.signature import Signature, Tensor

from modelmill_inspector import _tensorflow_versions


def find_endpoints(graph: GraphDef) -> Signature:
    """The inputs and outputs of a graph whose endpoints nobody has named."""
    outputs = find_outputs(graph)
    return Signature(find_inputs(graph, _node_names(outputs)), outputs)


def describe_graph(
    graph: GraphDef, endpoints: Signature, writer: str = "", tensorflow: Optional[Dict[str, Any]] = None
) -> Dict[str, Any]:
    """Inputs, outputs, operations, sizes, and which TensorFlow versions read what the outputs depend on.

    writer: the TensorFlow version that wrote the graph, where that is known.
    tensorflow: the fact of that name, where another reader than of GraphDefs decides.

    `operations` counts the whole graph; `variables` and `parameters` count what the outputs depend on, and
    `training_only` counts the operations that they do not depend on.
    """
    needed = _needed_nodes(graph, endpoints.outputs)
    return {
        "producer": int(graph.versions.producer),
        "min_consumer": int(graph.versions.min_consumer),
        "inputs": [asdict(tensor) for tensor in endpoints.inputs],
        "outputs": [asdict(tensor) for tensor in endpoints.outputs],
        "operations": _histogram(_all_nodes(graph)),
        "training_only": _histogram([node for node in graph.node if node.name not in needed]),
        "parameters": sum(_elements(node) for node in graph.node if node.name in needed),
        "variables": sum(node.op in graph_def.VARIABLES for node in graph.node if node.name in needed),
        "nodes": len(graph.node),
        "tensorflow": tensorflow or _tensorflow_versions.of_graph(graph, needed, writer),
    }


def needs_checkpoint(graph: GraphDef) -> bool:
    """Whether values that the outputs depend on lie elsewhere."""
    needed = _needed_nodes(graph, find_outputs(graph))
    return any(node.op in graph_def.VARIABLES for node in graph.node if node.name in needed)


def _needed_nodes(graph: GraphDef, outputs: Sequence[Tensor]) -> "set[str]":
    """What the outputs depend on; everything where none are known."""
    flow = Dataflow(graph)
    known = [name for name in _node_names(outputs) if name in flow.nodes]
    return flow.ancestors(known) if known else set(flow.nodes)


def _node_names(outputs: Sequence[Tensor]) -> List[str]:
    return [graph_def.node_name(tensor.tensor) for tensor in outputs]


def _all_nodes(graph: GraphDef) -> List[NodeDef]:
    """The nodes of the graph and of its functions."""
    return list(graph.node) + [node for function in graph.library.function for node in function.node_def]


def _histogram(nodes: Sequence[NodeDef]) -> Dict[str, int]:
    return dict(sorted(Counter(node.op for node in nodes).items()))


def _elements(node: NodeDef) -> int:
    """How many weights a node holds: a variable's elements, or those of a constant of floats that is no scalar."""
    if node.op in graph_def.VARIABLES:
        return tensors.element_count(tensors.decode_shape(node.attr["shape"].shape))
    if node.op != "Const":
        return 0
    tensor = node.attr["value"].tensor
    shape = tensors.decode_shape(tensor.tensor_shape)
    weights = tensors.data_type(tensor.dtype).name in tensors.FLOATING and shape != ()
    return tensors.element_count(shape) if weights else 0
