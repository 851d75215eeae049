"""What the converters of each version would make of a graph, told from tables before anything runs.

`tables` reads the tables, `uses` says which operations a converter meets, `letters` finds what a table says of one of
them, and `tflite`, `tfjs` and `edgetpu` come to a verdict for each version. It is a prediction: a table knows
operations one by one, and converters fold, fuse and split them. docs/support.md says how often it is right.
"""

from dataclasses import replace
from typing import AbstractSet, Any, Dict, List, Mapping, Tuple

from modelmill_worker.graph_def import GraphDef
from modelmill_worker.signature import Signature

from modelmill_inspector.support import edgetpu, tfjs, tflite
from modelmill_inspector.support.uses import uses
from modelmill_inspector.support.verdicts import Source, Verdict, nodes_of, targets_of

__all__ = ["describe"]


def describe(
    graph: GraphDef,
    needed: AbstractSet[str],
    endpoints: Signature,
    tensorflow: Dict[str, Any],
    input_shapes: Mapping[str, Tuple[int, ...]],
) -> Dict[str, Any]:
    """The fact `support`, as a conversion with these input shapes and no other options would go.

    needed: the names of the nodes that the outputs depend on.
    tensorflow: the fact of that name, for the versions that cannot read the graph at all.

    {"targets": [{
        "target": "tflite", "tfjs" or "edgetpu",
        "version": for people, such as "2.15" or "1.13 to 1.15",
        "versions": ["1.13", "1.14", "1.15"]; versions that stand beside each other and say the same are one entry; of
            TensorFlow for tflite, of tensorflowjs ("4.22") for tfjs, of the compiler ("16") for edgetpu,
        "converter": "TOCO" or "MLIR", for tflite only,
        "convertible": whether it converts, with the option that `needs` asks for,
        "needs": "builtin": none; "select": allow_select_tf_ops; "custom": allow_custom_ops and kernels of one's own;
            "": does not convert,
        "missing", "select", "custom": {operation: how many nodes}, those that are no builtin operators,
        "why": a sentence about what stands against converting it as it is; "" where nothing does}],
     "nodes": [{"name", "op", "status": {"tflite 1.13 to 1.15": "select", ...}}], the nodes that are not builtin
        everywhere, at most 100, with the status ("builtin", "select", "custom" or "missing") for every target that
        reads the graph,
     "nodes_count": how many there are}

    A node of a function is named "function/node".
    """
    met = uses(graph, needed)
    inputs = tuple(replace(tensor, shape=input_shapes.get(tensor.name, tensor.shape)) for tensor in endpoints.inputs)
    source = Source(
        met, replace(endpoints, inputs=inputs), dict(tensorflow.get("unreadable", {})), _has_functions(graph, needed)
    )
    verdicts: List[Verdict] = [*tflite.judge(source), *tfjs.judge(source), *edgetpu.judge(source)]
    return {"targets": targets_of(source, verdicts), **nodes_of(met, verdicts)}


def _has_functions(graph: GraphDef, needed: AbstractSet[str]) -> bool:
    """Whether the graph is that of a SavedModel of TensorFlow 2, whose signature is the call of a function."""
    return any(node.op == "StatefulPartitionedCall" for node in graph.node if node.name in needed)
