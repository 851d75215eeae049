"""A GraphDef with variables becomes one with constants: no session, nothing of the model is run."""

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.dataflow import prune
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_freezer._functions import Library
from modelmill_freezer._shadow_variables import find_shadows
from modelmill_freezer._variable_handles import Variable, use_values
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


@dataclass(frozen=True)
class Frozen:
    """A graph without variables, and how many variables went into it with how many elements.

    shadows: for variables that took the value of their moving average, its key.
    without_shadow: the variables that have no moving average and took their own value, where averages were asked for.
    """

    graph: GraphDef
    variables: int
    parameters: int
    notes: Tuple[str, ...]
    shadows: Dict[str, str]
    without_shadow: Tuple[str, ...]


def has_variables(graph: GraphDef) -> bool:
    """Whether the graph holds variables."""
    return any(node.op in graph_def.VARIABLES for node in graph.node)


def freeze_graph(
    graph: GraphDef, values: Mapping[str, np.ndarray], outputs: Iterable[str], use_moving_averages: bool = False
) -> Frozen:
    """The part of the graph that computes the output nodes, with each variable a constant of the same name.

    values: checkpoint keys to arrays; each is read once.
    Raises StepError VARIABLE_NOT_IN_CHECKPOINT, VARIABLE_MISMATCH, UNSUPPORTED_VARIABLE_USE, GRAPH_TOO_LARGE or
    MOVING_AVERAGES_MISSING.
    """
    frozen = prune(graph, outputs)
    variables = [node for node in frozen.node if node.op in graph_def.VARIABLES]
    names = [node.name for node in variables]
    shadows = find_shadows(graph, names, values) if use_moving_averages else {}
    reader = VariableReader(graph, values, shadows)
    reader.check(variables)
    notes = _note_updates(frozen)
    handles = {node.name: _variable(node) for node in variables if node.op == "VarHandleOp"}
    parameters = _replace_by_constants(variables, reader)
    use_values(frozen, handles, _library_of)
    for node in frozen.node:
        _drop_references(node)
    without = tuple(name for name in names if name not in shadows) if use_moving_averages else ()
    return Frozen(frozen, len(variables), parameters, notes, shadows, without)


def _variable(node: NodeDef) -> Variable:
    shape = tensors.decode_shape(node.attr["shape"].shape) if "shape" in node.attr else None
    return Variable(node.attr["dtype"].type, shape)


def _library_of(graph: GraphDef) -> Library:
    """Functions are read where TensorFlow is; a graph without any can be frozen anywhere."""
    from modelmill_freezer._tensorflow import library_of

    return library_of(graph)


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
