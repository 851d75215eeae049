"""What a converter's exception means: from its text to a StepError."""

import re
from typing import Any, Dict, List, Set

from modelmill_worker import StepError
from modelmill_worker.errors import TOOL

from modelmill_tflite_quantizer.request import Request

#: At most so many nodes are named; `node_count` tells how many there are.
NODES_SHOWN = 20

#: Where the converters' texts list operations, separated by commas: MLIR's two lists, then TOCO's.
_LISTS = (
    re.compile(r"^TF Select ops: (.+)$", re.MULTILINE),
    re.compile(r"^Custom ops: (.+)$", re.MULTILINE),
    re.compile(r"for which you will need custom implementations: (.+?)\.?$", re.MULTILINE),
)
#: Where they name a single one: MLIR, then TensorFlow's own import of the graph.
_MENTIONS = (
    re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op"),
    re.compile(r"Op type not registered '([^']+)'"),
)


def conversion_refused(error: Exception, request: Request, engine: str) -> StepError:
    """What a converter raised: UNSUPPORTED_OPERATION with the nodes, or CONVERTER_REFUSED with the telling line."""
    text = str(error)
    operations = unsupported_operations(text)
    if operations:
        return _unsupported(operations, request)
    line = telling_line(text) or type(error).__name__
    return StepError(
        "CONVERTER_REFUSED",
        "TensorFlow's converter {} refused the graph: {}. The step's log tells more.".format(engine, line.rstrip(".")),
        {"converter": engine, "line": line, "exception": type(error).__name__},
        TOOL,
        text,
    )


def outputs_lost(what: str, wanted: List[str], found: List[str]) -> StepError:
    """The converter made a model with other inputs or outputs than it was asked for."""
    return StepError(
        "CONVERTER_REFUSED",
        "The converter gave a model with the {} {} where {} were asked for. Two of them may be the same tensor; "
        "ask for each tensor once.".format(what, ", ".join(found) or "(none)", ", ".join(wanted)),
        {"wanted": wanted, "found": found},
        TOOL,
    )


def unsupported_operations(text: str) -> List[str]:
    """The TensorFlow operations that a converter's text says it has nothing for, sorted."""
    found: Set[str] = set()
    for pattern in _LISTS:
        for listed in pattern.findall(text):
            found.update(name.strip() for name in listed.split(","))
    for pattern in _MENTIONS:
        found.update(pattern.findall(text))
    return sorted(name for name in found if name)


def telling_line(text: str) -> str:
    """The line of a converter's text that says most: the last failed check or error, else the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        if re.search(r"Check failed|: F tensorflow|\berror: ", line):
            return line
    return lines[-1] if lines else ""


def _unsupported(operations: List[str], request: Request) -> StepError:
    nodes = _nodes_of(operations, request)
    shown = ["{} ({})".format(node["node"], node["operation"]) for node in nodes[:3]]
    where = " at {}{}".format(", ".join(shown), " and others" if len(nodes) > 3 else "") if nodes else ""
    return StepError(
        "UNSUPPORTED_OPERATION",
        "TFLite has no operator for {}{}. {}.".format(", ".join(operations), where, _remedies(request)),
        {"operations": operations, "nodes": nodes[:NODES_SHOWN], "node_count": len(nodes)},
        TOOL,
    )


def _remedies(request: Request) -> str:
    remedies = ["Cut the nodes out of the graph"]
    if not request.allow_select_tf_ops:
        remedies.append("keep them as TensorFlow operators with allow_select_tf_ops")
    if not request.allow_custom_ops:
        remedies.append("bring kernels for them and set allow_custom_ops")
    return ", or ".join(remedies)


def _nodes_of(operations: List[str], request: Request) -> List[Dict[str, Any]]:
    """The nodes of the graph, and of the functions it brings, that are of these operations."""
    from modelmill_worker import graph_def

    graph = graph_def.read(request.graph)
    nodes = list(graph.node)
    for function in graph.library.function:
        nodes.extend(function.node_def)
    return [{"node": node.name, "operation": node.op} for node in nodes if node.op in operations]
