"""Gives the variables of a graph the values of a checkpoint.

A variable whose name is in the checkpoint is assigned from there, through a placeholder and an Assign added to the
GraphDef: that works in every TensorFlow and needs nothing of its Python API. For a variable that the
checkpoint has under another name or cut in slices, the graph's own restoring is used: its Saver knows.
"""

import functools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple

import numpy as np
from modelmill_worker import StepError, graph_def, installed_tensorflow

_REFERENCES = ("Variable", "VariableV2")
_RESOURCE = "VarHandleOp"
_ASSIGNMENTS = ("Assign", "AssignVariableOp")
_RESTORERS = ("RestoreV2", "Restore", "RestoreSlice")


@dataclass(frozen=True)
class Restoration:
    """What to add to a graph, and what to run in it, before it computes anything.

    added_nodes: placeholders and assignments that are not in the graph yet.
    values: for each assignment added, by its node name: its placeholder's tensor, and what reads the value.
    own_assignments: assignments of the graph's Saver, by node name, with the tensors that take the checkpoint's prefix.
    """

    added_nodes: Tuple[Any, ...]
    values: Dict[str, Tuple[str, Callable[[], np.ndarray]]]
    own_assignments: Dict[str, Tuple[str, ...]]
    prefix: str

    def assignments(self) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """Pairs of an operation to run and what to feed for it, each read when it is its turn: values may be large."""
        for operation, (placeholder, read) in self.values.items():
            yield operation, {placeholder: read()}
        for operation, tensors in self.own_assignments.items():
            yield operation, dict.fromkeys(tensors, self.prefix)


def plan_restoration(
    graph: Any, needed: Set[str], checkpoint: Optional[str], averages: Mapping[str, str]
) -> Restoration:
    """How the needed variables of a graph get their values.

    averages: for variables that take another value than their own, its key in the checkpoint.
    Raises StepError VARIABLES_WITHOUT_CHECKPOINT where there are variables and no checkpoint,
    VARIABLE_NOT_IN_CHECKPOINT where there is no value for one.
    """
    variables = [node for node in graph.node if node.name in needed and _is_variable(node)]
    if not variables:
        return Restoration((), {}, {}, "")
    if checkpoint is None:
        raise StepError(
            "VARIABLES_WITHOUT_CHECKPOINT",
            "The graph has variables, such as {}, and no values for them. Give its checkpoint.".format(
                variables[0].name
            ),
            {"variables": [node.name for node in variables]},
        )
    reader = _open(checkpoint)
    savers = SaverOfGraph(graph)
    added: List[Any] = []
    values: Dict[str, Tuple[str, Callable[[], np.ndarray]]] = {}
    own: Dict[str, Tuple[str, ...]] = {}
    for number, variable in enumerate(variables):
        key = averages.get(variable.name) or _key_in(reader, variable)
        if key is None:
            operation, tensors = savers.assignment_of(variable.name)
            own[operation] = tensors
            continue
        placeholder, assignment = _new_assignment(variable, "modelmill/restore_{}".format(number))
        added.extend((placeholder, assignment))
        values[assignment.name] = (placeholder.name + ":0", functools.partial(_read, reader, key))
    return Restoration(tuple(added), values, own, checkpoint)


def _is_variable(node: Any) -> bool:
    return node.op in _REFERENCES or node.op == _RESOURCE


def _open(checkpoint: str) -> Any:
    with _refusing_damage():
        return installed_tensorflow.v1().train.NewCheckpointReader(checkpoint)


def _read(reader: Any, key: str) -> np.ndarray:
    with _refusing_damage():
        return np.asarray(reader.get_tensor(key))


@contextmanager
def _refusing_damage() -> Iterator[None]:
    """Turn what TensorFlow raises for a damaged checkpoint into a StepError.

    TensorFlow 1 raises its own OpError; TensorFlow 2 translates some of them into Python's, by their text.
    """
    import tensorflow as tf

    try:
        yield
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise StepError(
            "CHECKPOINT_UNREADABLE",
            "The checkpoint cannot be read: {}. Were all of its files copied whole?".format(str(error).rstrip(".")),
            {"error": str(error)},
        ) from error


def _key_in(reader: Any, variable: Any) -> Optional[str]:
    shared_name = variable.attr["shared_name"].s.decode("utf-8") if "shared_name" in variable.attr else ""
    for key in (variable.name, shared_name):
        if key and reader.has_tensor(key):
            return key
    return None


def _new_assignment(variable: Any, name: str) -> Tuple[Any, Any]:
    dtype = variable.attr["dtype"].type
    placeholder = graph_def.new_node(name + "/value", "Placeholder")
    placeholder.attr["dtype"].type = dtype
    placeholder.attr["shape"].shape.unknown_rank = True
    inputs = (variable.name, placeholder.name)
    if variable.op == _RESOURCE:
        assignment = graph_def.new_node(name, "AssignVariableOp", inputs)
        assignment.attr["dtype"].type = dtype
    else:
        assignment = graph_def.new_node(name, "Assign", inputs)
        assignment.attr["T"].type = dtype
        assignment.attr["validate_shape"].b = False
    return placeholder, assignment


class SaverOfGraph:
    """The restoring part of the Savers in a graph."""

    def __init__(self, graph: Any) -> None:
        self._nodes = graph_def.nodes_by_name(graph)

    def assignment_of(self, variable: str) -> Tuple[str, Tuple[str, ...]]:
        """The assignment that restores a variable, and the tensors that take the checkpoint's prefix for it."""
        for node in self._nodes.values():
            if node.op in _ASSIGNMENTS and graph_def.node_name(node.input[0]) == variable:
                prefixes = self.prefixes_of(node)
                if prefixes:
                    return node.name, prefixes
        raise StepError(
            "VARIABLE_NOT_IN_CHECKPOINT",
            "The checkpoint has no value for the variable {}. Is it the checkpoint of this graph?".format(variable),
            {"variable": variable},
        )

    def prefixes_of(self, assignment: Any) -> Tuple[str, ...]:
        """The tensors that take the checkpoint's prefix for what a node assigns; none where nothing is restored."""
        found = []
        waiting = [graph_def.node_name(reference) for reference in assignment.input[1:]]
        seen: Set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._nodes:
                continue
            seen.add(name)
            node = self._nodes[name]
            if node.op in _RESTORERS:
                found.append(graph_def.tensor_name(node.input[0]))
            else:
                waiting.extend(graph_def.node_name(reference) for reference in node.input)
        return tuple(sorted(set(found)))
