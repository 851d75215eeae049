"""A GraphDef with variables becomes one with constants: no session, nothing of the model is run."""

import re
from dataclasses import dataclass
from typing import Container, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors, weights_beside
from modelmill_worker.dataflow import Dataflow, prune
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.graph_stream import Content

from modelmill_freezer._functions import Library
from modelmill_freezer._kept_variables import kept_variables, note_kept
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
#: What writes into a variable by its reference and hands it on, beside those.
_WRITES = re.compile(r"Scatter(Nd)?(Add|Sub|Mul|Div|Min|Max|Update)|CountUpTo|(Sparse)?Apply[A-Z].*")
_UPDATE_ATTRIBUTES = ("use_locking", "validate_shape")


@dataclass(frozen=True)
class Frozen:
    """A graph with constants for variables, and how many variables became constants with how many elements.

    contents: of the graph's constants that have none (see weights_beside), by name. They are read when the graph is
        written, one at a time: a model is never in memory as a whole.
    shadows: for variables that took the value of their moving average, its key.
    without_shadow: the variables that have no moving average and took their own value, where averages were asked for.
    kept: the nodes that are variables still, as asked for.
    """

    graph: GraphDef
    contents: Mapping[str, Content]
    variables: int
    parameters: int
    notes: Tuple[str, ...]
    shadows: Dict[str, str]
    without_shadow: Tuple[str, ...]
    kept: Tuple[str, ...]


def variables_of(graph: GraphDef) -> List[str]:
    """The names of the graph's variables."""
    return [node.name for node in graph.node if node.op in graph_def.VARIABLES]


def freeze_graph(
    graph: GraphDef,
    values: Mapping[str, np.ndarray],
    outputs: Iterable[str],
    use_moving_averages: bool = False,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Frozen:
    """The part of the graph that computes the output nodes, with each variable a constant of the same name.

    values: checkpoint keys to arrays; each is read once, a large one only when the graph is written.
    only, without: names or patterns of the variables that become constants, and of those that do not.
    Raises StepError VARIABLE_NOT_IN_CHECKPOINT, VARIABLE_MISMATCH, UNSUPPORTED_VARIABLE_USE, MOVING_AVERAGES_MISSING or
    VARIABLE_PATTERN_UNMATCHED.
    """
    frozen = prune(graph, outputs)
    kept = kept_variables(variables_of(graph), only, without)
    variables = [node for node in frozen.node if node.op in graph_def.VARIABLES and node.name not in kept]
    names = [node.name for node in variables]
    shadows = find_shadows(graph, names, values) if use_moving_averages else {}
    reader = VariableReader(graph, values, shadows)
    reader.check(variables)
    notes = _note_updates(frozen)
    handles = {node.name: _variable(node) for node in variables if node.op == "VarHandleOp"}
    parameters, contents = _replace_by_constants(variables, reader)
    use_values(frozen, handles, _library_of)
    flow = Dataflow(frozen)
    for node in frozen.node:
        _drop_references(node, flow, kept)
    without_shadow = tuple(name for name in names if name not in shadows) if use_moving_averages else ()
    still = tuple(name for name in variables_of(frozen) if name in kept)
    notes += note_kept(still)
    return Frozen(frozen, contents, len(variables), parameters, notes, shadows, without_shadow, still)


def _variable(node: NodeDef) -> Variable:
    shape = tensors.decode_shape(node.attr["shape"].shape) if "shape" in node.attr else None
    return Variable(node.attr["dtype"].type, shape)


def _library_of(graph: GraphDef) -> Library:
    """Functions are read where TensorFlow is; a graph without any can be frozen anywhere."""
    from modelmill_freezer._tensorflow import library_of

    return library_of(graph)


def _replace_by_constants(variables: List[NodeDef], reader: VariableReader) -> Tuple[int, Dict[str, Content]]:
    """How many elements the variables have, and the contents of those that are too large to be in the graph."""
    parameters = 0
    contents: Dict[str, Content] = {}
    for node in variables:
        kind = tensors.data_type(node.attr["dtype"].type)
        shape = _known_shape(node)
        if shape is None or not _is_large(shape, kind):
            value = reader.read(node)
            shape = value.shape
        parameters += tensors.element_count(shape)
        if _is_large(shape, kind):
            contents[node.name] = _content(reader, node, kind)
            _become(node, weights_beside.emptied(node.name, shape, kind))
        else:
            _become(node, graph_def.new_constant(node.name, value, kind))
    return parameters, contents


def _known_shape(node: NodeDef) -> Optional[Tuple[int, ...]]:
    shape = tensors.decode_shape(node.attr["shape"].shape) if "shape" in node.attr else None
    return None if shape is None or -1 in shape else shape


def _is_large(shape: Tuple[int, ...], kind: tensors.DataType) -> bool:
    if kind.storage is None:
        return False
    return tensors.element_count(shape) * np.dtype(kind.storage).itemsize >= weights_beside.SMALLEST


def _content(reader: VariableReader, variable: NodeDef, kind: tensors.DataType) -> Content:
    """Reads a variable when it is called, whatever has become of its node by then."""
    node = graph_def.new_node(variable.name, variable.op)
    node.ParseFromString(variable.SerializeToString())
    return lambda: tensors.stored(reader.read(node), kind)


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


def _drop_references(node: NodeDef, flow: Dataflow, kept: Container[str]) -> None:
    """What is done to a reference to a variable, done to its value; a variable that stays gives its value as well."""
    if node.op == "IsVariableInitialized":
        variable = flow.passed_on(graph_def.node_name(node.input[0]), ("RefIdentity", "Identity"))[-1]
        if variable in kept:
            node.input[0] = variable
            return
        _become(node, graph_def.new_constant(node.name, np.array(True)))
    elif node.op == "Assign":
        value, kind = node.input[1], node.attr["T"].type
        _become(node, graph_def.new_node(node.name, "Identity", (value,)))
        node.attr["T"].type = kind
    elif _WRITES.fullmatch(node.op) and graph_def.node_name(node.input[0]) not in kept:
        raise StepError(
            "UNSUPPORTED_VARIABLE_USE",
            "The outputs depend on {} ({}), which changes a variable while the graph runs; a frozen graph has none. "
            "Choose outputs that do not need it, or keep the variable with --without-variable.".format(
                node.name, node.op
            ),
            {"node": node.name, "operation": node.op},
        )
    elif node.op in _ON_VALUES:
        node.op = _ON_VALUES[node.op]
        for attribute in _UPDATE_ATTRIBUTES:
            if attribute in node.attr:
                del node.attr[attribute]
