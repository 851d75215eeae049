"""Which tensors become the inputs and outputs of the frozen graph: those that the user names, or those found."""

import difflib
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
from modelmill_worker.signature import Signature, Tensor

#: How many names an error proposes.
_PROPOSALS = 5
_LEAST_LIKENESS = 0.6


def choose_endpoints(graph: GraphDef, outputs: Sequence[str], inputs: Sequence[str]) -> Signature:
    """The signature that the frozen graph will have.

    outputs, inputs: node or tensor names; where empty, they are found.
    Raises StepError OUTPUT_NOT_FOUND, INPUT_NOT_FOUND, INPUTS_MISSING or TENSOR_NAME_MALFORMED.
    """
    chosen = _named_outputs(graph, outputs) if outputs else _found_outputs(graph)
    nodes = [graph_def.node_name(tensor.tensor) for tensor in chosen]
    needed = find_inputs(graph, nodes)
    fed = _named_inputs(graph, inputs, nodes, needed) if inputs else needed
    if not fed:
        raise _no_input(graph, nodes)
    return Signature(inputs=fed, outputs=chosen)


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
    return tuple(placeholder_tensor(nodes[tensor.name], graph.versions.producer) for tensor in inputs)


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


def nearest_names(name: str, names: Iterable[str]) -> List[str]:
    """The names most like this one, the likest first; a like last part of the path counts nearly as much."""
    likeness = [(_likeness(name, other), other) for other in names]
    likeness.sort(key=lambda pair: (-pair[0], len(pair[1])))
    return [other for likely, other in likeness[:_PROPOSALS] if likely >= _LEAST_LIKENESS]


def _likeness(name: str, other: str) -> float:
    """From 0 to 1; cheap bounds spare most of the names of a large graph the exact ratio."""
    best = 0.0
    for first, second, weight in ((name, other, 1.0), (_last_part(name), _last_part(other), 0.95)):
        matcher = difflib.SequenceMatcher(None, first.lower(), second.lower(), autojunk=False)
        if weight * matcher.real_quick_ratio() > best and weight * matcher.quick_ratio() >= _LEAST_LIKENESS:
            best = max(best, weight * matcher.ratio())
    return best


def _last_part(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _unknown_output(graph: GraphDef, reference: str) -> StepError:
    nearest = nearest_names(graph_def.node_name(reference), (node.name for node in graph.node))
    candidates = [tensor.name for tensor in find_outputs(graph)][:_PROPOSALS]
    message = "The graph has no output {}.".format(reference)
    return _not_found("OUTPUT_NOT_FOUND", message, reference, nearest, candidates)


def _unknown_input(graph: GraphDef, reference: str) -> StepError:
    placeholders = [node.name for node in graph.node if node.op in FED and not is_setting(node)]
    nearest = nearest_names(graph_def.node_name(reference), placeholders)
    message = "{} is not a placeholder that the outputs depend on.".format(reference)
    return _not_found("INPUT_NOT_FOUND", message, reference, nearest, placeholders[:_PROPOSALS])


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
