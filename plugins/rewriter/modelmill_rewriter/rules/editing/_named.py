"""The nodes and tensors that a user names in an edit, and the errors where there are none."""

import difflib
import fnmatch
from typing import Any, List, Tuple

from modelmill_worker import graph_def
from modelmill_worker.errors import StepError

from modelmill_rewriter.rules_api import GraphIndex, Tensor


def named_nodes(graph: GraphIndex, rule: str, pattern: str) -> Tuple[str, ...]:
    """The nodes of a name, or of a shell pattern such as ``*/dropout/*``. Raises StepError NODE_NOT_FOUND."""
    if pattern in graph:
        return (pattern,)
    found = tuple(name for name in graph.names() if fnmatch.fnmatchcase(name, pattern))
    if not found:
        raise not_found(graph, rule, pattern)
    return found


def named_node(graph: GraphIndex, rule: str, name: str) -> str:
    """A node by its name. Raises StepError NODE_NOT_FOUND."""
    if name not in graph:
        raise not_found(graph, rule, name)
    return name


def named_tensor(graph: GraphIndex, rule: str, name: str) -> Tensor:
    """A tensor by its name, or its node's. Raises StepError TENSOR_NAME_MALFORMED or NODE_NOT_FOUND."""
    full = graph_def.tensor_name(name)
    return Tensor(named_node(graph, rule, graph_def.node_name(full)), graph_def.output_index(full))


def not_found(graph: GraphIndex, rule: str, name: str) -> StepError:
    """The error for a name that nothing has, with those that come near it."""
    near: List[str] = difflib.get_close_matches(name, graph.names(), 3, 0.5)
    meant = " Did you mean {}?".format(" or ".join(near)) if near else ""
    return StepError(
        "NODE_NOT_FOUND",
        "The edit {} names {!r}, and the graph has no such node at that point.{}".format(rule, name, meant),
        {"rule": rule, "node": name, "near": near},
    )


def impossible(rule: str, why: str, **details: Any) -> StepError:
    """The error for an edit that the graph does not allow; why: a sentence without its full stop, and what to do."""
    return StepError("EDIT_IMPOSSIBLE", "The edit {} cannot be made: {}.".format(rule, why), {"rule": rule, **details})
