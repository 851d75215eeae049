"""Which tensors become the inputs and outputs of the frozen graph: those that the user names, or those found."""

from dataclasses import replace
from typing import Dict, Iterable, List, Sequence, Tuple

from modelmill_worker import graph_def, tensors
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.graph_outputs import (
    FED,
    find_inputs,
    find_outputs,
    is_setting,
    output_tensor,
    output_tensors,
    placeholder_tensor,
)
from modelmill_worker.signature import Tensor

from modelmill_freezer._nearest_names import PROPOSALS, nearest_names


def choose_outputs(graph: GraphDef, names: Sequence[str]) -> Tuple[Tensor, ...]:
    """The outputs of these node or tensor names, or those found where there are none.

    Raises StepError OUTPUT_NOT_FOUND or TENSOR_NAME_MALFORMED.
    """
    return _named_outputs(graph, names) if names else _found_outputs(graph)


def choose_inputs(graph: GraphDef, outputs: Sequence[str], names: Sequence[str]) -> Tuple[Tensor, ...]:
    """The placeholders of these names, or all that the output nodes depend on where there are none.

    Raises StepError INPUT_NOT_FOUND, INPUTS_MISSING or TENSOR_NAME_MALFORMED.
    """
    needed = find_inputs(graph, outputs)
    fed = _named_inputs(graph, names, outputs, needed) if names else needed
    if not fed:
        raise _no_input(graph, outputs)
    return fed


def fix_input_shapes(graph: GraphDef, shapes: Dict[str, Tuple[int, ...]]) -> None:
    """Write shapes into placeholders, in place. Keys are node or tensor names.

    Raises StepError INPUT_NOT_FOUND, or INPUT_SHAPE_MISMATCH where the placeholder declares another shape.
    """
    nodes = graph_def.nodes_by_name(graph)
    for name, shape in shapes.items():
        node = nodes.get(graph_def.node_name(graph_def.tensor_name(name)))
        if node is None or node.op not in FED:
            raise _unknown_input(graph, name)
        declared = graph_def.shape_of_placeholder(node, graph.versions.producer)
        if not tensors.shapes_agree(declared, shape):
            raise StepError(
                "INPUT_SHAPE_MISMATCH",
                "The input {} has the shape {}, which {} does not fit.".format(name, list(declared or ()), list(shape)),
                {"input": name, "declared": list(declared or ()), "given": list(shape)},
            )
        tensors.encode_shape(shape, node.attr["shape"].shape)


def refreshed_inputs(graph: GraphDef, inputs: Sequence[Tensor]) -> Tuple[Tensor, ...]:
    """The same inputs with the shapes that the graph's placeholders have now."""
    nodes = graph_def.nodes_by_name(graph)
    return tuple(
        replace(
            placeholder_tensor(nodes[graph_def.node_name(tensor.tensor)], graph.versions.producer), name=tensor.name
        )
        for tensor in inputs
    )


def _found_outputs(graph: GraphDef) -> Tuple[Tensor, ...]:
    found = find_outputs(graph)
    if not found:
        raise StepError(
            "OUTPUT_NOT_FOUND",
            "No output could be found: nothing in the graph depends on a placeholder. Name the outputs.",
            {"nodes": len(graph.node)},
        )
    return found


def _named_outputs(graph: GraphDef, names: Sequence[str]) -> Tuple[Tensor, ...]:
    nodes = graph_def.nodes_by_name(graph)
    chosen = []  # type: List[Tensor]
    for reference in names:
        tensor = graph_def.tensor_name(reference)
        node = nodes.get(graph_def.node_name(tensor))
        if node is None:
            raise _unknown_output(graph, reference)
        index = graph_def.output_index(tensor)
        if len(output_tensors(node)) > 1 and index >= len(output_tensors(node)):
            raise _unknown_output(graph, reference)
        chosen.append(output_tensor(node, index))
    return tuple(chosen)


def _named_inputs(
    graph: GraphDef, names: Sequence[str], outputs: Iterable[str], needed: Sequence[Tensor]
) -> Tuple[Tensor, ...]:
    nodes = graph_def.nodes_by_name(graph)
    reaching = Dataflow(graph).ancestors(outputs)
    chosen = []  # type: List[Tensor]
    for reference in names:
        node = nodes.get(graph_def.node_name(graph_def.tensor_name(reference)))
        if node is None or node.op not in FED or node.name not in reaching:
            raise _unknown_input(graph, reference)
        chosen.append(placeholder_tensor(node, graph.versions.producer))
    without_default = [tensor for tensor in needed if nodes[tensor.name].op != "PlaceholderWithDefault"]
    missing = [tensor.name for tensor in without_default if tensor not in chosen]
    if missing:
        raise StepError(
            "INPUTS_MISSING",
            "The outputs depend on further inputs: {}. Name them too, or choose other outputs.".format(
                ", ".join(missing)
            ),
            {"missing": missing},
        )
    return tuple(chosen)


def _unknown_output(graph: GraphDef, reference: str) -> StepError:
    nearest = nearest_names(graph_def.node_name(reference), (node.name for node in graph.node))
    candidates = [tensor.name for tensor in find_outputs(graph)][:PROPOSALS]
    message = "The graph has no output {}.".format(reference)
    return _not_found("OUTPUT_NOT_FOUND", message, reference, nearest, candidates)


def _unknown_input(graph: GraphDef, reference: str) -> StepError:
    placeholders = [node.name for node in graph.node if node.op in FED and not is_setting(node)]
    nearest = nearest_names(graph_def.node_name(reference), placeholders)
    message = "{} is not a placeholder that the outputs depend on.".format(reference)
    return _not_found("INPUT_NOT_FOUND", message, reference, nearest, placeholders[:PROPOSALS])


def _not_found(reason: str, message: str, name: str, nearest: List[str], candidates: List[str]) -> StepError:
    if nearest:
        message += " Nearest names: {}.".format(", ".join(nearest))
    if candidates:
        message += " It looks made for: {}.".format(", ".join(candidates))
    return StepError(reason, message, {"name": name, "nearest": nearest, "candidates": candidates})


def _no_input(graph: GraphDef, outputs: Iterable[str]) -> StepError:
    flow = Dataflow(graph)
    starts = [name for name in sorted(flow.ancestors(outputs)) if not flow.feeders[name]]
    sources = [name for name in starts if flow.nodes[name].op not in _NO_SOURCE]
    message = "The outputs depend on no placeholder, so nothing can be fed."
    if sources:
        message += " Their data come from {}; export the graph with a placeholder there.".format(", ".join(sources[:5]))
    return StepError("INPUT_NOT_FOUND", message, {"sources": sources})


_NO_SOURCE = frozenset(["Const", "Variable", "VariableV2", "VarHandleOp"])
