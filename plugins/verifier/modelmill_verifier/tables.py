"""Fills the lookup tables of a graph before it runs: the nodes that a signature names as its initialisers."""

from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import numpy as np
from modelmill_worker import graph_def

from modelmill_verifier.variables import SaverOfGraph

_FROM_FILE = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")


def fillers(graph: Any, names: Sequence[str], folder: Path, checkpoint: Optional[str]) -> Dict[str, Dict[str, str]]:
    """Those of the nodes that this graph has, in order, each with what to feed when it is run.

    A source as its user has it may name a vocabulary where it was written; it is read from the model's own files,
    to which the graph is changed in place. A table in the checkpoint is restored from there.
    """
    nodes = graph_def.nodes_by_name(graph)
    found: Dict[str, Dict[str, str]] = {}
    for name in names:
        if name not in nodes:
            continue
        node = nodes[name]
        if node.op in _FROM_FILE:
            _point_to_file(nodes[graph_def.node_name(node.input[1])], folder)
        prefixes = SaverOfGraph(graph).prefixes_of(node) if checkpoint is not None else ()
        found[name] = dict.fromkeys(prefixes, checkpoint or "")
    return found


def _point_to_file(path: Any, folder: Path) -> None:
    """Let a constant name the file of its name in the model's folder, where there is one."""
    if path.op != "Const":
        return
    name = bytes(graph_def.constant_value(path).item()).decode("utf-8", "replace").replace("\\", "/").rsplit("/", 1)[-1]
    here = sorted(folder.rglob(name))
    if here:
        constant = graph_def.new_constant(path.name, np.array(str(here[0]).encode("utf-8"), dtype=object))
        path.ParseFromString(constant.SerializeToString())
