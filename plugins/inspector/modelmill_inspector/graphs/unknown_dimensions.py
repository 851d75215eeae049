"""Tensors whose shape is open before the model runs, and what leaves it open."""

import re
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from modelmill_worker import graph_def
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.graph_outputs import FED
from modelmill_worker.shapes import Known, Shapes

from modelmill_inspector.graphs.reach import called_by, function_behind, plain_reference

_LISTED = 50
#: Calls nested deeper than the names that make a path of so many letters are not followed.
_LONGEST_PATH = 4096
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

    Each has the `tensor` (in a function: "call > tensor"), its `shape` with -1 for what is open (None: the rank is),
    the `input` that leaves it open, or "" where it is no input, and the `cause` as a sentence. Of a node's further
    outputs those count that something takes. shapes: those inferred without further shapes given.
    """
    library = {function.signature.name: function for function in graph.library.function}
    found: List[Dict[str, Any]] = []
    _add_unknown([node for node in graph.node if node.name in needed], shapes, library, "", {}, found)
    return {"unknown_dimensions": found[:_LISTED], "unknown_dimensions_count": len(found)}


#: A node that may be to blame, and what is known of its first output.
_Causes = Dict[str, Tuple[NodeDef, Known]]


def _add_unknown(
    nodes: Sequence[NodeDef],
    shapes: Shapes,
    library: Mapping[str, Any],
    path: str,
    outside: _Causes,
    found: List[Dict[str, Any]],
) -> None:
    """Add the open tensors of a graph or of a function's body, and of what is called from there."""
    causes = dict(outside)
    causes.update((node.name, (node, shapes.of(node.name))) for node in nodes)
    taken = {plain_reference(reference) for node in nodes for reference in graph_def.data_inputs(node)}
    for node in nodes:
        for index, known in enumerate(shapes.outputs.get(node.name, ())):
            tensor = "{}:{}".format(node.name, index)
            if known.is_whole or node.op in ("NoOp", "Assert") or (index and tensor not in taken):
                continue
            found.append(_fact(path + tensor, known, causes))
        for called in called_by(node, shapes):
            function = library.get(function_behind(node, called))
            if function is not None and len(path) < _LONGEST_PATH:
                body = list(function.node_def)
                _add_unknown(body, shapes.called[called], library, path + node.name + " > ", causes, found)


def _fact(tensor: str, known: Known, causes: _Causes) -> Dict[str, Any]:
    to_blame = [causes[name] for name in sorted(known.causes) if name in causes]
    inputs = [node.name for node, _ in to_blame if node.op in FED]
    return {
        "tensor": tensor,
        "shape": None if known.shape is None else list(known.shape),
        "input": inputs[0] if inputs else "",
        "cause": "; ".join(_sentence(node, its) for node, its in to_blame[:3]),
    }


def _sentence(node: NodeDef, known: Known) -> str:
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
