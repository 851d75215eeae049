"""What tensorflowjs and TensorFlow say when they refuse a graph, as typed errors that name the nodes."""

import re
from pathlib import Path
from typing import Dict, List

from modelmill_worker import StepError
from modelmill_worker.errors import TOOL

from modelmill_tfjs_exporter.generations import GENERATIONS, generation_of

#: At most so many nodes are named in an error; `node_count` tells how many there are.
NODES_SHOWN = 20

_UNSUPPORTED = re.compile(r"Unsupported Ops in the model (?:before|after) optimization\n(.+)")
_UNREGISTERED = re.compile(r"Op type not registered '([^']+)'")


def export_refused(error: Exception, graph: Path, version: str) -> StepError:
    """What an export raised: UNSUPPORTED_OPERATION with the nodes, or CONVERTER_REFUSED with the last line.

    version: that of tensorflowjs.
    """
    text = str(error)
    operations = unsupported_operations(text)
    if operations:
        return _unsupported(operations, graph, "TensorFlow.js has no operator for", version)
    operations = unregistered_operations(text)
    if operations:
        return _unsupported(operations, graph, "The TensorFlow that tensorflowjs exports with does not know", version)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[-1] if lines else type(error).__name__
    return StepError(
        "CONVERTER_REFUSED",
        "tensorflowjs {} refused the graph: {}. The step's log tells more.".format(version, line.rstrip(".")),
        {"converter": "tensorflowjs", "version": version, "line": line, "exception": type(error).__name__},
        TOOL,
        text,
    )


def outputs_lost(outputs: List[str], version: str) -> StepError:
    """Optimising left no node of that name."""
    return StepError(
        "CONVERTER_REFUSED",
        "tensorflowjs lost the outputs {} while optimising. Give them an Identity of their own.".format(
            ", ".join(outputs)
        ),
        {"converter": "tensorflowjs", "version": version, "outputs": outputs},
        TOOL,
    )


def unsupported_operations(text: str) -> List[str]:
    """The operations that tensorflowjs's text says TensorFlow.js does not know, sorted."""
    found = _UNSUPPORTED.search(text)
    return sorted(name.strip() for name in found.group(1).split(",")) if found else []


def unregistered_operations(text: str) -> List[str]:
    """The operations that TensorFlow's text says it does not know itself, sorted."""
    return sorted(set(_UNREGISTERED.findall(text)))


def _unsupported(operations: List[str], graph: Path, lack: str, version: str) -> StepError:
    nodes = _nodes_of(operations, graph)
    shown = ["{} ({})".format(node["node"], node["operation"]) for node in nodes[:3]]
    where = " at {}{}".format(", ".join(shown), " and others" if len(nodes) > 3 else "") if nodes else ""
    return StepError(
        "UNSUPPORTED_OPERATION",
        "{} {}{}. {}.".format(lack, ", ".join(operations), where, _remedies(version)),
        {"operations": operations, "nodes": nodes[:NODES_SHOWN], "node_count": len(nodes), "version": version},
        TOOL,
    )


def _remedies(version: str) -> str:
    remedies = ["Cut the nodes out of the graph", "set skip_op_check and register them in the page"]
    if generation_of(version) is not GENERATIONS[-1]:
        remedies.insert(0, "Export with a newer tensorflowjs than {}, which knows more".format(version))
        remedies[1] = "cut the nodes out of the graph"
    return ", ".join(remedies[:-1]) + ", or " + remedies[-1]


def _nodes_of(operations: List[str], path: Path) -> List[Dict[str, str]]:
    """The nodes of the graph, and of the functions it brings, that are of these operations."""
    from modelmill_worker import graph_def

    graph = graph_def.read(path)
    nodes = list(graph.node)
    for function in graph.library.function:
        nodes.extend(function.node_def)
    return [{"node": node.name, "operation": node.op} for node in nodes if node.op in operations]
