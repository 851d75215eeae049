"""What a frozen graph leaves behind of the place where it was written."""

from typing import Iterable, List

from modelmill_worker.graph_def import GraphDef, node_name

#: Colocation names nodes that may be gone; shapes may have been fixed otherwise since they were inferred.
_LEFTOVERS = ("_class", "_output_shapes")


def tidy(graph: GraphDef, inputs: Iterable[str]) -> List[str]:
    """Clear devices, colocations and old shapes, and settle placeholders with defaults that are no inputs; in place.

    Returns notes for the report.
    """
    fed = set(inputs)
    settled = []
    for node in graph.node:
        node.device = ""
        for attribute in _LEFTOVERS:
            if attribute in node.attr:
                del node.attr[attribute]
        if node.op == "PlaceholderWithDefault" and node.name not in fed:
            settled.append(node.name)
            node.op = "Identity"
            node.attr["T"].type = node.attr["dtype"].type
            del node.attr["dtype"]
            if "shape" in node.attr:
                del node.attr["shape"]
    notes = ["{} takes its default value.".format(name) for name in settled]
    notes += _note_training(graph)
    return notes


def _note_training(graph: GraphDef) -> List[str]:
    """Batch normalisation in training mode, which is the attribute's default; not where a condition chooses it."""
    operations = {node.name: node.op for node in graph.node}
    training = [
        node.name
        for node in graph.node
        if node.op.startswith("FusedBatchNorm")
        and ("is_training" not in node.attr or node.attr["is_training"].b)
        and operations.get(node_name(node.input[0])) != "Switch"
    ]
    if not training:
        return []
    names = ", ".join(training[:3])
    return ["{} computes its statistics from each batch: the graph was built for training.".format(names)]
