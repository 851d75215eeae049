"""A GraphDef with variables becomes one with constants: no session, nothing of the model is run."""

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.dataflow import Dataflow, prune
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_freezer._variables import VariableReader

#: Operations on references to variables, and those that do the same to values. Updates of moving averages that lie in
#: the way of the data become what they compute, as a session without the update's side effect would see it.
_ON_VALUES = {
    "RefIdentity": "Identity",
    "RefSwitch": "Switch",
    "RefMerge": "Merge",
    "RefEnter": "Enter",
    "RefExit": "Exit",
    "RefNextIteration": "NextIteration",
    "RefSelect": "Select",
    "AssignAdd": "Add",
    "AssignSub": "Sub",
}
_UPDATE_ATTRIBUTES = ("use_locking", "validate_shape")
#: What passes a resource handle on and can pass a value on as well.
_CARRIERS = frozenset(["Identity", "Switch", "Merge", "Enter", "Exit", "NextIteration", "StopGradient"])


@dataclass(frozen=True)
class Frozen:
    """A graph without variables, and how many variables went into it with how many elements."""

    graph: GraphDef
    variables: int
    parameters: int
    notes: Tuple[str, ...]


def has_variables(graph: GraphDef) -> bool:
    """Whether the graph holds variables."""
    return any(node.op in graph_def.VARIABLES for node in graph.node)


def freeze_graph(graph: GraphDef, values: Mapping[str, np.ndarray], outputs: Iterable[str]) -> Frozen:
    """The part of the graph that computes the output nodes, with each variable a constant of the same name.

    values: checkpoint keys to arrays; each is read once.
    Raises StepError VARIABLE_NOT_IN_CHECKPOINT, VARIABLE_MISMATCH, UNSUPPORTED_VARIABLE_USE or GRAPH_TOO_LARGE.
    """
    frozen = prune(graph, outputs)
    variables = [node for node in frozen.node if node.op in graph_def.VARIABLES]
    reader = VariableReader(graph, values)
    reader.check(variables)
    notes = _note_updates(frozen)
    handles = {node.name: node.attr["dtype"].type for node in variables if node.op == "VarHandleOp"}
    parameters = _replace_by_constants(variables, reader)
    _read_values_instead_of_handles(frozen, handles)
    for node in frozen.node:
        _drop_references(node)
    return Frozen(frozen, len(variables), parameters, notes)


def _replace_by_constants(variables: List[NodeDef], reader: VariableReader) -> int:
    parameters = size = 0
    for node in variables:
        value = reader.read(node)
        parameters += value.size
        size += value.nbytes
        if size > graph_def.LARGEST_GRAPH:
            raise graph_def.too_large(size)
        constant = graph_def.new_constant(node.name, value, tensors.data_type(node.attr["dtype"].type))
        _become(node, constant)
    return parameters


def _become(node: NodeDef, other: NodeDef) -> None:
    node.ParseFromString(other.SerializeToString())


def _note_updates(graph: GraphDef) -> Tuple[str, ...]:
    updates = [node.name for node in graph.node if node.op in ("Assign", "AssignAdd", "AssignSub")]
    if not updates:
        return ()
    return (
        "The outputs depend on updates of variables ({}): the graph was built for training. "
        "Each became the value that it computes.".format(", ".join(updates[:3])),
    )


def _drop_references(node: NodeDef) -> None:
    """What is done to a reference to a variable, done to its value."""
    if node.op == "IsVariableInitialized":
        _become(node, graph_def.new_constant(node.name, np.array(True)))
    elif node.op == "Assign":
        value, kind = node.input[1], node.attr["T"].type
        _become(node, graph_def.new_node(node.name, "Identity", (value,)))
        node.attr["T"].type = kind
    elif node.op in _ON_VALUES:
        node.op = _ON_VALUES[node.op]
        for attribute in _UPDATE_ATTRIBUTES:
            if attribute in node.attr:
                del node.attr[attribute]


def _read_values_instead_of_handles(graph: GraphDef, handles: Dict[str, int]) -> None:
    """Turn every use of a variable's handle into a use of its value; `handles`: variables to their data types."""
    if not handles:
        return
    flow = Dataflow(graph)
    waiting = [(user, kind) for name, kind in handles.items() for user in flow.consumers[name]]
    done: Set[str] = set()
    while waiting:
        name, kind = waiting.pop()
        if name in done:
            continue
        done.add(name)
        node = flow.nodes[name]
        if node.op in _CARRIERS and tensors.data_type(node.attr["T"].type) is tensors.RESOURCE:
            node.attr["T"].type = kind
            waiting.extend((user, kind) for user in flow.consumers[name])
        else:
            _use_value(node, kind)


def _use_value(node: NodeDef, kind: int) -> None:
    if node.op == "ReadVariableOp":
        _become_operation(node, "Identity", {"T": kind}, 1)
    elif node.op == "ResourceGather" and not node.attr["batch_dims"].i:
        # Gather rather than GatherV2: its axis would be a constant outside of the loop that the node may be in.
        _become_operation(node, "Gather", {"Tparams": kind, "Tindices": node.attr["Tindices"].type}, 2)
    elif node.op == "ResourceGatherNd":
        _become_operation(node, "GatherNd", {"Tparams": kind, "Tindices": node.attr["Tindices"].type}, 2)
    elif node.op == "VariableShape":
        _become_operation(node, "Shape", {"T": kind, "out_type": node.attr["out_type"].type or 3}, 1)
    elif node.op == "VarIsInitializedOp":
        _become(node, graph_def.new_constant(node.name, np.array(True)))
    else:
        raise StepError(
            "UNSUPPORTED_VARIABLE_USE",
            "{} ({}) takes a variable itself and not its value, which a frozen graph cannot do. "
            "Export the model without it, or choose outputs that do not need it.".format(node.name, node.op),
            {"node": node.name, "operation": node.op},
        )


def _become_operation(node: NodeDef, operation: str, types: Dict[str, int], data_inputs: int) -> None:
    """Another operation in a node's place, with its first data inputs and its control inputs."""
    inputs = graph_def.data_inputs(node)[:data_inputs]
    inputs += [reference for reference in node.input if graph_def.is_control(reference)]
    fresh: Any = graph_def.new_node(node.name, operation, tuple(inputs))
    for attribute, number in types.items():
        fresh.attr[attribute].type = number
    _become(node, fresh)
