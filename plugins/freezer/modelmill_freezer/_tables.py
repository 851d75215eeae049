"""Lookup tables of a graph that becomes frozen: they stay, with the nodes that fill them once before the first call.

A vocabulary that lies in a text file becomes two constants, and so does a table that was saved in the checkpoint: the
frozen graph needs no other file.
"""

from typing import Callable, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.dataflow import Dataflow
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.source_files import SourceFile

from modelmill_freezer._saved_keys import restored_key
from modelmill_freezer._vocabulary import read_vocabulary

#: Tables that give an error until they are filled, and those that start empty.
_FIXED = ("HashTable", "HashTableV2")
_MUTABLE = ("MutableHashTable", "MutableHashTableV2", "MutableDenseHashTable", "MutableDenseHashTableV2")
_FROM_FILE = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
#: What fills a table, its first input.
INITIALISERS = frozenset(
    _FROM_FILE + ("InitializeTable", "InitializeTableV2", "LookupTableImport", "LookupTableImportV2")
)

#: A vocabulary's lines, for the node whose value is its path; None where there is no such file.
Vocabularies = Callable[[NodeDef], Optional[bytes]]


class VocabulariesAmong:
    """Vocabularies among the files of a model, found by the name in the path that the graph holds."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        self._files = {file.name.rsplit("/", 1)[-1]: file.path for file in files}

    def content(self, node: NodeDef) -> Optional[bytes]:
        """The file whose path a constant holds; None where it is not there."""
        name = _file_name(node).replace("\\", "/").rsplit("/", 1)[-1]
        return self._files[name].read_bytes() if name in self._files else None


def keep_tables(
    graph: GraphDef, outputs: Iterable[str], vocabularies: Vocabularies, values: Mapping[str, np.ndarray]
) -> Tuple[str, ...]:
    """Make what fills the tables that the output nodes need self-contained, in place; the names of those nodes.

    graph: without calls, with everything that initialises or restores it.
    values: the checkpoint's, by their keys.
    Raises StepError TABLE_NOT_INITIALISED, VOCABULARY_MISSING or VOCABULARY_UNREADABLE.
    """
    flow = Dataflow(graph)
    needed = flow.ancestors(outputs)
    tables = [name for name in flow.nodes if name in needed and flow.nodes[name].op in _FIXED + _MUTABLE]
    if not tables:
        return ()
    by_table: Dict[str, List[NodeDef]] = {name: [] for name in tables}
    for node in graph.node:
        if node.op in INITIALISERS and _table_of(flow, node) in by_table:
            by_table[_table_of(flow, node)].append(node)
    chosen: List[str] = []
    for name in tables:
        fillers = _self_contained(graph, flow, by_table[name], vocabularies, values)
        if not fillers and flow.nodes[name].op in _FIXED:
            raise StepError(
                "TABLE_NOT_INITIALISED",
                "The table {} is needed, and the graph does not say what is in it. "
                "Export the model with the table's initialiser.".format(name),
                {"table": name},
            )
        chosen.extend(fillers)
    return tuple(chosen)


def _table_of(flow: Dataflow, node: NodeDef) -> str:
    name = flow.feeders[node.name][0]
    while flow.nodes[name].op == "Identity":
        name = flow.feeders[name][0]
    return name


def _self_contained(
    graph: GraphDef,
    flow: Dataflow,
    fillers: List[NodeDef],
    vocabularies: Vocabularies,
    values: Mapping[str, np.ndarray],
) -> List[str]:
    """The nodes that fill one table. Where the checkpoint has it, that is what counts."""
    restored = [node for node in fillers if restored_key(flow.nodes, node.input[1])]
    for node in restored:
        keys = [restored_key(flow.nodes, reference).decode("utf-8") for reference in node.input[1:3]]
        if all(key in values for key in keys):
            _fill_with(graph, node, values[keys[0]], values[keys[1]])
            return [node.name]
    for node in fillers:
        if node.op in _FROM_FILE:
            _read_file(graph, flow, node, vocabularies)
    return [node.name for node in fillers if node not in restored]


def _read_file(graph: GraphDef, flow: Dataflow, node: NodeDef, vocabularies: Vocabularies) -> None:
    source = flow.nodes[flow.feeders[node.name][1]]
    while source.op in ("Identity", "ReadVariableOp"):
        source = flow.nodes[flow.feeders[source.name][0]]
    content = vocabularies(source)
    if content is None:
        name = _file_name(source)
        raise StepError(
            "VOCABULARY_MISSING",
            "The table that {} fills is read from the file {}, which is not there. Give it beside the model.".format(
                node.name, name
            ),
            {"node": node.name, "file": name},
        )
    table = flow.nodes[_table_of(flow, node)]
    keys, values = read_vocabulary(
        content,
        node,
        tensors.data_type(table.attr["key_dtype"].type).name,
        tensors.data_type(table.attr["value_dtype"].type).name,
    )
    operation = "InitializeTableV2" if node.op.endswith("V2") else "InitializeTable"
    filler = graph_def.new_node(node.name, operation, (node.input[0], node.input[1]))
    filler.attr["Tkey"].type = table.attr["key_dtype"].type
    filler.attr["Tval"].type = table.attr["value_dtype"].type
    node.ParseFromString(filler.SerializeToString())
    _fill_with(graph, node, keys, values)


def _file_name(source: NodeDef) -> str:
    if source.op != "Const":
        return str(source.name)
    return bytes(graph_def.constant_value(source).item()).decode("utf-8", "replace")


def _fill_with(graph: GraphDef, node: NodeDef, keys: np.ndarray, values: np.ndarray) -> None:
    """Let a node fill its table with these keys and values."""
    table = node.input[0]
    del node.input[:]
    node.input.append(table)
    taken = {other.name for other in graph.node}
    for part, array in (("keys", keys), ("values", values)):
        name = "{}/{}".format(node.name, part)
        while name in taken:
            name += "_"
        constant = graph.node.add()
        constant.ParseFromString(graph_def.new_constant(name, np.asarray(array)).SerializeToString())
        node.input.append(name)
