"""Reads a TensorFlow.js graph model as data.

Format of ``model.json``: https://www.tensorflow.org/js/guide/conversion. ``modelTopology`` is a GraphDef
as protobuf writes JSON, bytes as base64; ``weightsManifest`` lists groups of files.
"""

import base64
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterator, List, Tuple

MODEL = "model.json"


@dataclass(frozen=True)
class GraphModel:
    """What a model.json says.

    operators: how many nodes of each operation, in functions too; weights (Const) are left out.
    fused: which of them do several operations at once, such as "_FusedConv2D(BiasAdd, Prelu)", and how many.
    nodes: the names of the nodes of the main graph.
    """

    converter: str
    tensorflow: str
    shards: Tuple[str, ...]
    operators: Dict[str, int]
    fused: Dict[str, int]
    nodes: FrozenSet[str]


def read(folder: Path) -> GraphModel:
    """Read the ``model.json`` in a folder; the weights are not touched."""
    model = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    topology = model["modelTopology"]
    operators = [node for node in _nodes(topology) if node["op"] != "Const"]
    return GraphModel(
        converter=str(model.get("convertedBy", "")),
        tensorflow=str(model.get("generatedBy", "")),
        shards=tuple(path for group in model["weightsManifest"] for path in group["paths"]),
        operators=dict(Counter(node["op"] for node in operators)),
        fused=dict(Counter(_fused_name(node) for node in operators if _fused_operations(node))),
        nodes=frozenset(node["name"] for node in topology["node"]),
    )


def _nodes(topology: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    yield from topology["node"]
    for function in topology.get("library", {}).get("function", []):
        yield from function.get("nodeDef", [])


def _fused_name(node: Dict[str, Any]) -> str:
    return "{}({})".format(node["op"], ", ".join(_fused_operations(node)))


def _fused_operations(node: Dict[str, Any]) -> List[str]:
    encoded = node.get("attr", {}).get("fused_ops", {}).get("list", {}).get("s", [])
    return [base64.b64decode(name).decode("utf-8") for name in encoded]
