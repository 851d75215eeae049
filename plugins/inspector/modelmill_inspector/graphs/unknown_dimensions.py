"""Tensors whose shape is open before the model runs, and what leaves it open."""

import re
from typing import Any, Dict, List, Sequence, Set

from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.graph_outputs import FED
from modelmill_worker.shapes import Known, Shapes

_LISTED = 50
#: What these give depends on the data that come in.
_BY_DATA = frozenset(
    re.findall(
        r"\w+",
        """
    Where Unique UniqueV2 NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4
    NonMaxSuppressionV5 DecodeJpeg DecodePng DecodeImage DecodeBmp DecodeWav StringSplit StringSplitV2
    DynamicPartition BooleanMask
    """,
    )
)


def describe_unknown_dimensions(graph: GraphDef, needed: Set[str], shapes: Shapes) -> Dict[str, Any]:
    """`unknown_dimensions` (at most 50) and `unknown_dimensions_count`, by tensor, as the graph itself declares it.

    Each has the `tensor`, its `shape` with -1 for what is open (None: the rank is), the `input` that leaves it open,
    or "" where it is no input, and the `cause` as a sentence. shapes: those inferred without further shapes given.
    """
    by_name = {node.name: node for node in graph.node}
    found: List[Dict[str, Any]] = []
    for node in graph.node:
        if node.name not in needed or node.op in ("NoOp", "Assert"):
            continue
        for index, known in enumerate(shapes.outputs.get(node.name, ())):
            if not known.is_whole and index == 0:
                found.append(_fact(node, known, by_name, shapes))
    return {"unknown_dimensions": found[:_LISTED], "unknown_dimensions_count": len(found)}


def _fact(node: NodeDef, known: Known, by_name: Dict[str, NodeDef], shapes: Shapes) -> Dict[str, Any]:
    causes = sorted(known.causes)
    inputs = [name for name in causes if name in by_name and by_name[name].op in FED]
    return {
        "tensor": node.name + ":0",
        "shape": None if known.shape is None else list(known.shape),
        "input": inputs[0] if inputs else "",
        "cause": "; ".join(_sentence(by_name[name], shapes) for name in causes[:3] if name in by_name),
    }


def _sentence(node: NodeDef, shapes: Shapes) -> str:
    known = shapes.of(node.name)
    if node.op in FED:
        return "the input {} leaves {} open".format(node.name, _open(known))
    if node.op in _BY_DATA:
        return "the size of what {} ({}) gives depends on the data".format(node.name, node.op)
    return "nothing tells the shape of what {} ({}) gives".format(node.name, node.op)


def _open(known: Known) -> str:
    if known.shape is None:
        return "its whole shape"
    axes: Sequence[int] = [axis for axis, size in enumerate(known.shape) if size < 0]
    return "dimension{} {}".format("s" if len(axes) > 1 else "", ", ".join(str(axis) for axis in axes))
