"""A training graph becomes an inference graph: settings fixed, conditions decided, what only training needs gone.

A graph that was built for inference goes through this unchanged.
"""

from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, Sequence, Set, Tuple

from modelmill_worker import graph_def
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef
from modelmill_worker.reference_run import ReferenceRun, StandIn
from modelmill_worker.signature import Signature, Tensor

from modelmill_freezer._endpoints import choose_inputs, choose_outputs
from modelmill_freezer.inference.assertions import remove_checks
from modelmill_freezer.inference.batch_normalisation import use_moving_averages
from modelmill_freezer.inference.changes import Change
from modelmill_freezer.inference.conditions import fold_conditions
from modelmill_freezer.inference.dropout import remove_dropout
from modelmill_freezer.inference.input_pipelines import Cuts, cut_inputs
from modelmill_freezer.inference.input_requests import parse_request
from modelmill_freezer.inference.left_behind import note_left_behind
from modelmill_freezer.inference.random_numbers import drawn
from modelmill_freezer.inference.settings import Settings


@dataclass(frozen=True)
class InferenceGraph:
    """Inputs and outputs of a graph that infers, what was changed for that, and what to say besides.

    The endpoints' `reference` tells how the source is run to compare with.
    """

    endpoints: Signature
    changes: Tuple[Change, ...]
    notes: Tuple[str, ...]


def make_inference_graph(
    graph: GraphDef,
    outputs: Sequence[str] = (),
    inputs: Sequence[str] = (),
    settings: Mapping[str, str] = {},
    fed: Sequence[str] = (),
) -> InferenceGraph:
    """Change a graph, in place, to what inference computes, and choose its inputs and outputs.

    outputs, inputs: as FreezeOptions has them; found where they are empty. settings: values of placeholders.
    fed: further placeholders that stay such, by node or tensor name.

    Raises StepError for what cannot be found or does not fit: OUTPUT_NOT_FOUND, INPUT_NOT_FOUND, SETTING_NOT_FOUND, ...
    """
    source = Dataflow(graph)
    order = _data_order(source)
    wanted = choose_outputs(graph, outputs)
    requests = [parse_request(text) for text in inputs]
    stand_ins: List[StandIn] = []
    settled = Settings(graph)
    settled.settle(settings, {request.node for request in requests} | {graph_def.node_name(name) for name in fed})
    made = fold_conditions(graph)
    made += remove_checks(graph)
    made += remove_dropout(graph, stand_ins)
    made += use_moving_averages(graph, stand_ins)
    chosen = _still_there(graph, wanted, is_named=bool(outputs))
    nodes = [graph_def.node_name(tensor.tensor) for tensor in chosen]
    needed = source.ancestors(name for name in nodes if name in source.nodes)
    changes = settled.changes + _within(needed, made) + note_left_behind(graph, nodes)
    cuts = cut_inputs(graph, nodes, requests)
    taken = choose_inputs(graph, nodes, [_placeholder_of(request.tensor, cuts) for request in requests])
    random = drawn(graph, nodes)
    behind = _behind_cuts(source, nodes, cuts)
    stand_ins = [item for item in settled.stand_ins + stand_ins if graph_def.node_name(item.tensor) in behind]
    stand_ins.sort(key=lambda item: order[graph_def.node_name(item.tensor)])
    reference = ReferenceRun(_fed_otherwise(cuts), tuple(stand_ins), cuts.batch, _unlike(random))
    reshaped = any(request.shape is not None for request in requests)
    answers = tuple(replace(tensor, shape=None) if reshaped else _open_again(tensor, cuts.batch) for tensor in chosen)
    endpoints = Signature(tuple(_renamed(tensor, cuts) for tensor in taken), answers, reference=reference)
    return InferenceGraph(endpoints, tuple(changes + cuts.changes), tuple(_notes(random)))


def _still_there(graph: GraphDef, wanted: Sequence[Tensor], is_named: bool) -> Tuple[Tensor, ...]:
    """The outputs that inference computes: what only a branch for training has is found no more.

    Raises StepError OUTPUT_NOT_FOUND where somebody has named it.
    """
    nodes = graph_def.nodes_by_name(graph)
    found = tuple(tensor for tensor in wanted if graph_def.node_name(tensor.tensor) in nodes)
    if found and (len(found) == len(wanted) or not is_named):
        return found
    if not is_named:
        return choose_outputs(graph, ())
    gone = [tensor.name for tensor in wanted if tensor not in found]
    raise StepError(
        "OUTPUT_NOT_FOUND",
        "{} is in a branch that is taken in training only. Name an output behind the condition, or keep the "
        "setting that decides it by naming it as an input.".format(gone[0]),
        {"name": gone[0], "nearest": [], "candidates": [tensor.name for tensor in choose_outputs(graph, ())][:5]},
    )


def _data_order(flow: Dataflow) -> Dict[str, int]:
    """A number for each node, larger than those of all that its data come from; loops are entered somewhere."""
    order: Dict[str, int] = {}
    seen: Set[str] = set()
    for start in flow.nodes:
        waiting = [(start, False)]
        while waiting:
            name, is_done = waiting.pop()
            if is_done:
                order[name] = len(order)
            elif name not in seen:
                seen.add(name)
                waiting.append((name, True))
                waiting.extend((feeder, False) for feeder in flow.feeders[name])
    return order


def _behind_cuts(source: Dataflow, outputs: Sequence[str], cuts: Cuts) -> Set[str]:
    """What the source computes for the outputs once the tensors that the graph is cut at are fed."""
    cut = {graph_def.node_name(name) for name in cuts.names.values()}
    reached: Set[str] = set()
    waiting = [name for name in outputs if name in source.nodes]
    while waiting:
        name = waiting.pop()
        if name not in reached and name not in cut:
            reached.add(name)
            waiting.extend(source.feeders[name])
    return reached


def _placeholder_of(tensor: str, cuts: Cuts) -> str:
    """The placeholder that now stands for a tensor that the user named."""
    for name, stood_for in cuts.names.items():
        if graph_def.tensor_name(stood_for) == tensor:
            return name
    return tensor


def _renamed(tensor: Tensor, cuts: Cuts) -> Tensor:
    return replace(tensor, name=cuts.names.get(tensor.name, tensor.name))


def _fed_otherwise(cuts: Cuts) -> Dict[str, str]:
    """The inputs whose tensors have other names in the source."""
    return {name: graph_def.tensor_name(name) for node, name in cuts.names.items() if node != name}


def _open_again(tensor: Tensor, batch: int) -> Tensor:
    """An output whose batch was fixed and is no more."""
    if not batch or not tensor.shape or tensor.shape[0] != batch:
        return tensor
    return replace(tensor, shape=(-1, *tensor.shape[1:]))


def _within(needed: Set[str], changes: Sequence[Change]) -> List[Change]:
    """The changes as far as they concern these nodes; a loss and its gradients were changed too, for nobody."""
    concerning = [replace(change, nodes=tuple(name for name in change.nodes if name in needed)) for change in changes]
    return [change for change in concerning if change.nodes]


def _unlike(random: Sequence[str]) -> str:
    return (
        "The outputs depend on random numbers, such as those of {}: no two runs agree.".format(random[0])
        if random
        else ""
    )


def _notes(random: Sequence[str]) -> List[str]:
    if not random:
        return []
    return ["The outputs depend on random numbers: {}.".format(", ".join(random[:3]))]
