"""Where the data of a training graph come from a queue, an iterator or a reader, they are fed instead.

    MatMul(IteratorGetNext, w) -> MatMul(Placeholder, w)

The cut is made where `pipeline_ends` finds it: at the batch as the pipeline hands it over, or, where what follows
still draws random numbers or works on single examples, at the tensor that the network takes. A user may name any
tensor to cut at.
"""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from modelmill_worker import graph_def, tensor_types, tensors
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.graph_outputs import FED
from modelmill_worker.pipeline_ends import End, find_pipeline_ends, is_batched

from modelmill_freezer._nearest_names import nearest_names
from modelmill_freezer.inference.changes import Change
from modelmill_freezer.inference.fixed_batch import open_batch, plan_opening
from modelmill_freezer.inference.input_requests import InputRequest
from modelmill_freezer.inference.tensor_uses import become, canonical, redirect, users

Shape = Optional[Tuple[int, ...]]

#: Types of tensors that nobody can feed.
_UNFEEDABLE = ("unknown", "variant", "resource")


@dataclass
class Cuts:
    """Where a graph was cut.

    names: placeholders that were put in, and the names of the tensors that they stand for.
    batch: the batch size that the source has fixed and the graph no more; 0 for none.
    """

    changes: List[Change] = field(default_factory=list)
    names: Dict[str, str] = field(default_factory=dict)
    batch: int = 0


def cut_inputs(graph: GraphDef, outputs: Sequence[str], requests: Sequence[InputRequest]) -> Cuts:
    """Put placeholders where the user asks for them, or else at the ends of input pipelines, in place.

    outputs: nodes. Raises StepError INPUT_NOT_FOUND, INPUT_TYPE_UNKNOWN, INPUT_TYPE_MISMATCH, INPUT_SHAPE_MISMATCH, or
    INPUTS_MISSING where the user has named inputs and the outputs still depend on a pipeline.
    """
    cuts = Cuts()
    fixed = _fixed_batch(graph, outputs)
    for request in requests:
        _cut_as_asked(graph, outputs, request, cuts, fixed)
    ends = find_pipeline_ends(graph, outputs)
    if requests and ends:
        raise _pipelines_left(ends)
    for end in sorted(ends, key=lambda end: -graph_def.output_index(end.tensor)):  # The first last: it keeps its name.
        _cut_at_end(graph, outputs, end, cuts)
    return cuts


def _fixed_batch(graph: GraphDef, outputs: Sequence[str]) -> int:
    """The one batch size that input pipelines hand over; 0 where it is open, or not the same everywhere."""
    flow = Dataflow(graph)
    ends = [end for end in find_pipeline_ends(graph, outputs) if end.shape and is_batched(flow, end.tensor)]
    sizes = {end.shape[0] for end in ends if end.shape}
    return max(sizes) if len(sizes) == 1 and min(sizes) > 1 else 0


def _cut_as_asked(graph: GraphDef, outputs: Sequence[str], request: InputRequest, cuts: Cuts, fixed_batch: int) -> None:
    flow = Dataflow(graph)
    node = flow.nodes.get(request.node)
    if node is None or node.name not in flow.ancestors(outputs):
        raise _unknown_input(flow, outputs, request.tensor)
    dtype = tensor_types.output_dtype(node, graph_def.output_index(request.tensor))
    if request.dtype and dtype not in (request.dtype, "unknown"):
        raise StepError(
            "INPUT_TYPE_MISMATCH",
            "The input {} is {} in the graph, not {}. Give that type, or leave it out.".format(
                canonical(request.tensor), dtype, request.dtype
            ),
            {"input": request.tensor, "declared": dtype, "given": request.dtype},
        )
    if node.op in FED and graph_def.output_index(request.tensor) == 0:
        _fix_shape(graph, request)
        return
    operation = node.op
    found = tensor_types.find_shape(flow, request.tensor)
    if found and found[0] < 0 and fixed_batch and is_batched(flow, request.tensor):
        found = (fixed_batch, *found[1:])
    shape = _settle_batch(graph, outputs, request.tensor, found, request.shape, cuts)
    name = _cut(graph, outputs, canonical(request.tensor), request.dtype or dtype, shape)
    cuts.names[name] = canonical(request.tensor)
    cuts.changes.append(_told(request.tensor, operation, request.dtype or dtype, shape, "as asked"))


def _fix_shape(graph: GraphDef, request: InputRequest) -> None:
    """The shape that was asked for, in a placeholder that is there."""
    node = graph_def.nodes_by_name(graph)[request.node]
    if request.shape is None:
        return
    declared = graph_def.shape_of_placeholder(node, graph.versions.producer)
    if not tensors.shapes_agree(declared, request.shape):
        raise shape_mismatch(request.node, declared, request.shape)
    tensors.encode_shape(request.shape, node.attr["shape"].shape)


def _cut_at_end(graph: GraphDef, outputs: Sequence[str], end: End, cuts: Cuts) -> None:
    shape = _settle_batch(graph, outputs, end.tensor, end.shape, None, cuts)
    name = _cut(graph, outputs, end.tensor, end.dtype, shape)
    cuts.names[name] = end.tensor
    why = "behind single examples and random changes" if end.late else "at the end of the input pipeline"
    cuts.changes.append(_told(end.tensor, end.operation, end.dtype, shape, why))


def _settle_batch(
    graph: GraphDef, outputs: Sequence[str], tensor: str, found: Shape, asked: Shape, cuts: Cuts
) -> Shape:
    """The shape of a new placeholder: any batch where training fixed one for no reason, or what was asked for."""
    if asked is not None and not tensors.shapes_agree(_any_batch(found), asked):
        raise shape_mismatch(canonical(tensor), found, asked)
    batch = found[0] if found and is_batched(Dataflow(graph), tensor) else -1
    if batch <= 1 or (asked is not None and asked[0] == batch):
        return found if asked is None else asked
    opening = plan_opening(graph, outputs, batch)
    if opening.fixed_by and asked is not None:
        raise StepError(
            "INPUT_SHAPE_MISMATCH",
            "{} must be a batch of {}: {} depends on it. Ask for that batch.".format(
                canonical(tensor), batch, ", ".join(opening.fixed_by[:3])
            ),
            {"input": canonical(tensor), "declared": list(found or ()), "given": list(asked)},
        )
    if opening.fixed_by:
        cuts.changes.append(
            Change("The batch stays {}: these constants depend on it.".format(batch), tuple(opening.fixed_by))
        )
        return found
    open_batch(graph, opening)
    if opening.reshapes:
        cuts.changes.append(Change("Reshapes to a batch of {} take any batch.".format(batch), tuple(opening.reshapes)))
    cuts.batch = batch
    return asked if asked is not None else _any_batch(found)


def _any_batch(shape: Shape) -> Shape:
    return None if shape is None else (-1, *shape[1:]) if shape else ()


def _cut(graph: GraphDef, outputs: Sequence[str], tensor: str, dtype: str, shape: Shape) -> str:
    """Put a placeholder in a tensor's place; its name is the node's where nobody needs another output of that."""
    if dtype in _UNFEEDABLE:
        raise StepError(
            "INPUT_TYPE_UNKNOWN",
            "The graph does not tell the type of {}. Give it, with the shape, as in --input {}=1,224,224,3:float32, "
            "or name another tensor to feed.".format(tensor, tensor),
            {"input": tensor, "dtype": dtype},
        )
    flow = Dataflow(graph)
    node = flow.nodes[graph_def.node_name(tensor)]
    name = node.name
    if tensor != name or _has_other_users(graph, flow, outputs, name):
        name = _free_name(flow, tensor.replace(":", "_") if ":" in tensor else name + "_0")
    placeholder = graph_def.new_node(name, "Placeholder")
    placeholder.attr["dtype"].type = tensors.data_type_named(dtype).number
    if shape is None:
        placeholder.attr["shape"].shape.unknown_rank = True
    else:
        tensors.encode_shape(shape, placeholder.attr["shape"].shape)
    if name == node.name:
        become(node, placeholder)
    else:
        graph.node.add().ParseFromString(placeholder.SerializeToString())
        redirect(graph, {tensor: name})
    return name


def _has_other_users(graph: GraphDef, flow: Dataflow, outputs: Sequence[str], name: str) -> bool:
    needed = flow.ancestors(outputs)
    others = {tensor: nodes for tensor, nodes in users(graph).items() if tensor.startswith(name + ":")}
    return any(node.name in needed for nodes in others.values() for node in nodes)


def _free_name(flow: Dataflow, name: str) -> str:
    while name in flow.nodes:
        name += "_input"
    return name


def _told(tensor: str, operation: str, dtype: str, shape: Shape, why: str) -> Change:
    sizes = "any shape" if shape is None else "[{}]".format(", ".join("?" if size < 0 else str(size) for size in shape))
    what = "The graph is cut at {} ({}), {}: feed it with {} {}.".format(
        canonical(tensor), operation, why, dtype, sizes
    )
    return Change(what, (graph_def.node_name(tensor),))


def shape_mismatch(name: str, declared: Shape, given: Tuple[int, ...]) -> StepError:
    """The error for a shape that an input cannot have."""
    return StepError(
        "INPUT_SHAPE_MISMATCH",
        "The input {} has the shape {}, which {} does not fit.".format(name, list(declared or ()), list(given)),
        {"input": name, "declared": list(declared or ()), "given": list(given)},
    )


def _pipelines_left(ends: Sequence[End]) -> StepError:
    names = [end.tensor for end in ends]
    return StepError(
        "INPUTS_MISSING",
        "The outputs depend on further inputs, which an input pipeline hands over: {}. "
        "Name them too, or name tensors behind them.".format(", ".join(names)),
        {"missing": names},
    )


def _unknown_input(flow: Dataflow, outputs: Sequence[str], reference: str) -> StepError:
    needed = flow.ancestors(outputs)
    name = graph_def.node_name(reference)
    nearest = nearest_names(name, sorted(needed))
    candidates = [node.name for node in flow.nodes.values() if node.name in needed and node.op in FED]
    message = "{} is no tensor that the outputs depend on.".format(canonical(reference))
    if nearest:
        message += " Nearest names: {}.".format(", ".join(nearest))
    if candidates:
        message += " It looks made for: {}.".format(", ".join(candidates[:5]))
    details = {"name": canonical(reference), "nearest": nearest, "candidates": candidates[:5]}
    return StepError("INPUT_NOT_FOUND", message, details)
