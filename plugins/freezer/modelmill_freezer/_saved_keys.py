"""Under which key a SavedModel's checkpoint keeps each variable, told by the model's own restoring.

TensorFlow 1 saves a variable under its name; TensorFlow 2 under its place among the model's objects, such as
"layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE", and there several variables may have one name. Either brings
along a graph that restores the variables, which a session would run. Here it is only read.
"""

from typing import Dict, Iterator, List, Tuple

from modelmill_worker import graph_def
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_freezer._functions import Library
from modelmill_freezer._inlining import inline_calls

_ASSIGNMENTS = ("Assign", "AssignVariableOp")
_RESTORERS = ("RestoreV2", "Restore")


def name_after_saved_keys(graph: GraphDef, restore_operation: str, library: Library) -> None:
    """Give each resource variable the key of its value as its shared name, where it is read from then; in place.

    restore_operation: the SaverDef's ``restore_op_name``; nothing is known, and nothing done, where it is empty.
    """
    nodes = graph_def.nodes_by_name(graph)
    name = graph_def.node_name(restore_operation)
    if name not in nodes:
        return
    for variable, key in _restored(inline_calls(graph, [name], library).graph):
        if variable in nodes and nodes[variable].op == "VarHandleOp":
            nodes[variable].attr["shared_name"].s = key


def restored_key(nodes: Dict[str, NodeDef], tensor: str) -> bytes:
    """The key of the checkpoint that a tensor is restored from; empty where it is not, or only from a part of it.

    nodes: those of a graph without calls, by name.
    """
    while nodes[graph_def.node_name(tensor)].op == "Identity":
        tensor = nodes[graph_def.node_name(tensor)].input[0]
    node = nodes[graph_def.node_name(tensor)]
    if node.op not in _RESTORERS:
        return b""
    index = graph_def.output_index(tensor)
    keys = _strings(nodes, node.input[1])
    slices = _strings(nodes, node.input[2]) if node.op == "RestoreV2" else [b""] * len(keys)
    return keys[index] if index < min(len(keys), len(slices)) and not slices[index] else b""


def _restored(graph: GraphDef) -> Iterator[Tuple[str, bytes]]:
    nodes = graph_def.nodes_by_name(graph)
    for node in graph.node:
        if node.op in _ASSIGNMENTS:
            key = restored_key(nodes, node.input[1])
            if key:
                yield graph_def.node_name(node.input[0]), key


def _strings(nodes: Dict[str, NodeDef], reference: str) -> List[bytes]:
    node = nodes[graph_def.node_name(reference)]
    return list(graph_def.constant_value(node).ravel()) if node.op == "Const" else []
