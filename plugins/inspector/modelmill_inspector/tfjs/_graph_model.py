"""The graph of a TensorFlow.js graph model: a GraphDef written as JSON, with the weights taken out of it.

Names are those of protobuf's JSON mapping (nodeDef for node_def), numbers of 64 bits are texts, as that mapping has it.
"""

from collections import Counter
from typing import Any, Dict, Iterable, List, Optional

_LOOPS_V1 = frozenset(("LoopCond",))
_CONTROL_V1 = frozenset(("Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond"))
_LOOPS_V2 = frozenset(("While", "StatelessWhile"))
_CONDITIONS_V2 = frozenset(("If", "StatelessIf", "Case", "StatelessCase"))
#: How many functions and ends are listed.
_LISTED = 100

#: numpy's names of the types in a graph that TensorFlow.js knows.
_DTYPES = {
    "DT_FLOAT": "float32",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
    "DT_BOOL": "bool",
    "DT_STRING": "string",
    "DT_COMPLEX64": "complex64",
    "DT_HALF": "float16",
    "DT_DOUBLE": "float64",
    "DT_UINT8": "uint8",
    "DT_INT8": "int8",
    "DT_RESOURCE": "resource",
}


def describe_graph_model(content: Dict[str, Any]) -> Dict[str, Any]:
    """The facts of the graph.

    nodes, operations: of the graph and its functions.
    inputs, outputs: of the signature, in its order; else the placeholders, and the nodes that no other takes.
    signatures: [{"key", "inputs", "outputs"}]: "default", and "initializer" where tables are filled first.
    producer: the GraphDef version that wrote it, 0 where it does not say.
    control_flow: {"v1", "v2", "loops", "conditions"}.
    functions: [{"name", "nodes"}], at most 100 (`functions_count`).

    Raises one of Python's own errors where the file makes no sense.
    """
    topology = content["modelTopology"]
    nodes = list(topology["node"])
    functions = list((topology.get("library") or {}).get("function") or [])
    operations = Counter(str(node["op"]) for node in nodes)
    for function in functions:
        operations.update(str(node["op"]) for node in function.get("nodeDef") or [])
    described = content.get("signature") or (content.get("userDefinedMetadata") or {}).get("signature") or {}
    ends = {side: _ends(described.get(side) or {}) for side in ("inputs", "outputs")}
    signatures = [dict(ends, key="default")] if described else []
    initializer = content.get("initializerSignature")
    if initializer:
        sides = {side: _ends(initializer.get(side) or {}) for side in ("inputs", "outputs")}
        signatures.append(dict(sides, key="initializer"))
    return {
        "nodes": sum(operations.values()),
        "operations": dict(sorted(operations.items())),
        "inputs": ends["inputs"] or _placeholders(nodes),
        "outputs": ends["outputs"] or _sinks(nodes),
        "signatures": signatures,
        "producer": int((topology.get("versions") or {}).get("producer") or 0),
        "control_flow": _control_flow(operations),
        "functions": [
            {"name": str(function["signature"]["name"]), "nodes": len(function.get("nodeDef") or [])}
            for function in functions[:_LISTED]
        ],
        "functions_count": len(functions),
    }


def _ends(described: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [
        {
            "name": str(name),
            "tensor": str(end.get("name") or name),
            "dtype": _dtype(end.get("dtype")),
            "shape": _shape(end.get("tensorShape")),
        }
        for name, end in list(described.items())[:_LISTED]
    ]


def _placeholders(nodes: Iterable[Dict[str, Any]]) -> List[Dict[str, Any]]:
    found = []
    for node in nodes:
        if node["op"] in ("Placeholder", "PlaceholderWithDefault"):
            attributes = node.get("attr") or {}
            found.append(
                {
                    "name": str(node["name"]),
                    "tensor": "{}:0".format(node["name"]),
                    "dtype": _dtype((attributes.get("dtype") or {}).get("type")),
                    "shape": _shape((attributes.get("shape") or {}).get("shape")),
                }
            )
    return found[:_LISTED]


def _sinks(nodes: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """What no node takes, without what nobody would fetch; the graph tells no shapes of them."""
    taken = {str(name).lstrip("^").split(":")[0] for node in nodes for name in node.get("input") or ()}
    return [
        {"name": str(node["name"]), "tensor": "{}:0".format(node["name"]), "dtype": "", "shape": None}
        for node in nodes
        if node["name"] not in taken and node["op"] not in ("Const", "Placeholder", "NoOp", "Assert")
    ][:_LISTED]


def _dtype(told: Any) -> str:
    return _DTYPES.get(told, str(told or ""))


def _shape(told: Optional[Dict[str, Any]]) -> Optional[List[int]]:
    """-1 for an unknown dimension; None for an unknown rank, or where nothing is told."""
    if not told or told.get("unknownRank"):
        return [] if told == {} else None
    return [int(dimension.get("size", 0)) for dimension in told.get("dim") or []]


def _control_flow(operations: Dict[str, int]) -> Dict[str, int]:
    def count(names: Iterable[str]) -> int:
        return sum(operations.get(name, 0) for name in names)

    return {
        "v1": count(_CONTROL_V1),
        "v2": count(_LOOPS_V2 | _CONDITIONS_V2),
        "loops": count(_LOOPS_V1 | _LOOPS_V2),
        "conditions": count(_CONDITIONS_V2),
    }
