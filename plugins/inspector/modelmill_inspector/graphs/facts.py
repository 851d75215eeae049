"""All facts about one GraphDef, put together."""

import difflib
from collections import Counter
from dataclasses import asdict, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from modelmill_worker import graph_def
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.graph_outputs import find_inputs, find_outputs, output_tensor, ranked_inputs, ranked_outputs
from modelmill_worker.shapes import Shapes, infer
from modelmill_worker.signature import Signature, Tensor

from modelmill_inspector import _tensorflow_versions, support
from modelmill_inspector.graphs.costs import describe_costs
from modelmill_inspector.graphs.reach import needed_names, needed_nodes
from modelmill_inspector.graphs.structure import describe_quantisation, describe_structure
from modelmill_inspector.graphs.unknown_dimensions import describe_unknown_dimensions
from modelmill_inspector.graphs.weights import describe_weights

#: How many inputs or outputs are proposed.
_PROPOSED = 20


def find_endpoints(graph: GraphDef) -> Signature:
    """The inputs and outputs of a graph whose endpoints nobody has named."""
    outputs = find_outputs(graph)
    return Signature(find_inputs(graph, _node_names(outputs)), outputs)


def named_endpoints(graph: GraphDef, names: Sequence[str]) -> Signature:
    """The named outputs, and the inputs that they depend on. Raises StepError OUTPUT_NOT_FOUND."""
    nodes = graph_def.nodes_by_name(graph)
    outputs = []
    for name in names:
        tensor = graph_def.tensor_name(name)
        node = nodes.get(graph_def.node_name(tensor))
        if node is None:
            near = difflib.get_close_matches(graph_def.node_name(tensor), list(nodes), 5)
            told = " Nearest names: {}.".format(", ".join(near)) if near else ""
            message = "The graph has no output {}.{}".format(name, told)
            raise StepError("OUTPUT_NOT_FOUND", message, {"name": name, "nearest": near})
        index = graph_def.output_index(tensor)
        known = len(infer(graph).outputs.get(node.name, ())) if index else 1
        if index >= known:
            message = "{} has no output {}: it has {}.".format(node.name, index, known)
            raise StepError("OUTPUT_NOT_FOUND", message, {"name": name, "nearest": [node.name]})
        outputs.append(output_tensor(node, index))
    return Signature(find_inputs(graph, _node_names(outputs)), tuple(outputs))


def describe_graph(
    graph: GraphDef,
    endpoints: Signature,
    writer: str = "",
    tensorflow: Optional[Dict[str, Any]] = None,
    input_shapes: Optional[Mapping[str, Tuple[int, ...]]] = None,
) -> Dict[str, Any]:
    """Inputs, outputs, operations, sizes, costs, and which TensorFlow versions read what the outputs depend on.

    writer: the TensorFlow version that wrote the graph, where that is known.
    tensorflow: the fact of that name, where another reader than of GraphDefs decides.
    input_shapes: to count costs with and to predict conversions for, by input.

    `support` predicts which converters take the graph (see modelmill_inspector.support).
    `operations` counts the whole graph with its functions, `training_only` those nodes of the graph that its outputs do
    not depend on; everything else is about what they depend on, functions included. `candidate_inputs` and
    `candidate_outputs` (at most 20 each) have the reason why a tensor is taken for one.
    """
    given = _by_input(endpoints.inputs, input_shapes or {})
    needed = needed_names(graph, endpoints.outputs)
    nodes = needed_nodes(graph, needed)
    shapes = infer(graph)
    facts: Dict[str, Any] = {
        "producer": int(graph.versions.producer),
        "min_consumer": int(graph.versions.min_consumer),
        "inputs": [asdict(tensor) for tensor in endpoints.inputs],
        "outputs": [asdict(tensor) for tensor in _with_shapes(shapes, endpoints.outputs)],
        "operations": _histogram(_all_nodes(graph)),
        "training_only": _histogram([node for node in graph.node if node.name not in needed]),
        "nodes": len(graph.node),
        "tensorflow": tensorflow or _tensorflow_versions.of_graph(graph, needed, writer),
        "quantisation": describe_quantisation(graph, needed),
        "costs": describe_costs(graph, endpoints.inputs, needed, given, shapes),
    }
    facts["support"] = support.describe(graph, needed, endpoints, facts["tensorflow"], given)
    facts.update(_candidates("outputs", graph, ranked_outputs(graph)))
    facts.update(_candidates("inputs", graph, ranked_inputs(graph, _node_names(endpoints.outputs))))
    facts.update(describe_weights(nodes))
    facts.update(describe_structure(graph, nodes))
    facts.update(describe_unknown_dimensions(graph, needed, shapes))
    return facts


def _by_input(inputs: Sequence[Tensor], given: Mapping[str, Tuple[int, ...]]) -> Dict[str, Tuple[int, ...]]:
    """Shapes by the inputs' names; they may be given by tensors or nodes as well. Raises StepError INPUT_NOT_FOUND."""
    found: Dict[str, Tuple[int, ...]] = {}
    for name, shape in given.items():
        exact = [tensor for tensor in inputs if name in (tensor.name, tensor.tensor)]
        by_node = [tensor for tensor in inputs if name == graph_def.node_name(tensor.tensor)]
        if not exact + by_node:
            names = [tensor.name for tensor in inputs]
            message = "The graph has no input {}. It has: {}.".format(name, ", ".join(names) or "none")
            raise StepError("INPUT_NOT_FOUND", message, {"name": name, "nearest": names})
        found[(exact + by_node)[0].name] = tuple(shape)
    return found


def needs_checkpoint(graph: GraphDef) -> bool:
    """Whether values that the outputs depend on lie elsewhere."""
    needed = needed_names(graph, find_outputs(graph))
    return any(node.op in graph_def.VARIABLES for node in graph.node if node.name in needed)


def _with_shapes(shapes: Shapes, outputs: Sequence[Tensor]) -> List[Tensor]:
    """Outputs with the shapes that the graph implies, where nothing tells them."""
    return [
        tensor if tensor.shape is not None else replace(tensor, shape=shapes.of(tensor.tensor).shape)
        for tensor in outputs
    ]


def _candidates(side: str, graph: GraphDef, ranked: Sequence[Tuple[Tensor, str]]) -> Dict[str, Any]:
    """`candidate_inputs` or `candidate_outputs`, and how many there are."""
    operations = {node.name: node.op for node in graph.node}
    listed = [
        {
            "name": tensor.name,
            "op": operations.get(graph_def.node_name(tensor.tensor), ""),
            "dtype": tensor.dtype,
            "shape": None if tensor.shape is None else list(tensor.shape),
            "reason": reason,
        }
        for tensor, reason in ranked[:_PROPOSED]
    ]
    return {"candidate_" + side: listed, "candidate_{}_count".format(side): len(ranked)}


def _node_names(outputs: Sequence[Tensor]) -> List[str]:
    return [graph_def.node_name(tensor.tensor) for tensor in outputs]


def _all_nodes(graph: GraphDef) -> List[NodeDef]:
    """The nodes of the graph and of its functions."""
    return list(graph.node) + [node for function in graph.library.function for node in function.node_def]


def _histogram(nodes: Sequence[NodeDef]) -> Dict[str, int]:
    return dict(sorted(Counter(node.op for node in nodes).items()))
