"""Nodes that compute the same from the same, to one.

    f(x), f(x)  ->  f(x)

where operation, attributes, inputs, what is waited for and the device are the same, and f has no state and draws no
random numbers: then both give the same values. Constants are the same where type, shape and bytes are, however the
message spells them.

Producers come first, so that what reads merged nodes is then the same too: one walk finds all. `_output_shapes` and
`_class` say nothing of values, and do not count. Inputs and outputs of the model stay; what else is the same as an
output goes, and its readers read the output.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Tuple
from typing import Counter as CounterOf

from modelmill_worker import graph_def, op_versions_table, tensors, weights_beside
from modelmill_worker.graph_def import NodeDef, is_control, node_name

from modelmill_rewriter._order import LOOP_OPERATIONS
from modelmill_rewriter.rules_api import Firing, GraphIndex, Pass, Report, Target

#: What a node is told apart by, compared by value.
_Key = Tuple[object, ...]
#: Their values come from outside.
_INPUTS = frozenset(["Placeholder", "PlaceholderV2", "_Arg"])
#: Nothing of a value.
_SILENT = frozenset(["_class", "_output_shapes"])


@dataclass(frozen=True)
class MergeDuplicateNodes(Pass):
    """One node for several that compute the same."""

    name: ClassVar[str] = "merge_duplicate_nodes"
    summary: ClassVar[str] = "Merges nodes that compute the same from the same."

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Walk downwards, and keep the first of each kind, or the one that the model is used by."""
        del target
        groups = _groups(graph)
        firings = []
        for members in groups:
            chosen, merged = members[0], [name for name in members[1:] if name not in graph.kept]
            if not merged:
                continue
            for name in merged:
                _hand_over(graph, name, chosen)
            graph.remove_unused(merged)
            firings.append(Firing((chosen, *merged), (chosen,)))
        return Report(self.name, tuple(firings))


def _groups(graph: GraphIndex) -> List[List[str]]:
    """The nodes that compute the same, those first that must stay; producers' groups first."""
    nodes = {name: graph.node(name) for name in graph.names()}
    kinds: Dict[str, bool] = {}
    forms = Counter(_form(node) for node in nodes.values() if node.op == "Const")
    groups: Dict[_Key, List[str]] = {}
    #: The first met of those that are the same, by each one's name.
    same: Dict[str, str] = {}
    for name in graph.in_data_order(nodes):
        node = nodes[name]
        if node.op not in kinds:
            kinds[node.op] = _is_stateless(node.op)
        key = _key(node, same, forms) if kinds[node.op] and not graph.is_fed(name) else None
        if key is not None:
            group = groups.setdefault(key, [])
            group.append(name)
            same[name] = group[0]
    for group in groups.values():
        group.sort(key=lambda name: name not in graph.kept)  # stable: else in the order of the walk
    return [group for group in groups.values() if len(group) > 1]


def _is_stateless(operation: str) -> bool:
    """Whether every TensorFlow that knows the operation says that it is a function of its inputs."""
    if operation in _INPUTS or operation in LOOP_OPERATIONS:
        return False
    definitions = [definition for definition in op_versions_table.table().history(operation) if definition is not None]
    return bool(definitions) and not any(definition.stateful for definition in definitions)


def _key(node: NodeDef, same: Dict[str, str], forms: CounterOf[_Key]) -> Optional[_Key]:
    content: object = ()
    attributes = [key for key in node.attr if key not in _SILENT]
    if node.op == "Const" and not weights_beside.is_emptied(node):
        form = _form(node)
        if forms[form] == 1:
            return None  # It is the only one of its type and shape: its bytes need not be read.
        attributes.remove("value")
        content = (form, _digest(node))
    told = tuple((key, node.attr[key].SerializeToString(deterministic=True)) for key in sorted(attributes))
    data = tuple(_canonical(entry, same) for entry in node.input if not is_control(entry))
    control = frozenset(_canonical(entry, same) for entry in node.input if is_control(entry))
    return node.op, node.device, told, content, data, control


def _form(node: NodeDef) -> _Key:
    """A constant's type and shape."""
    tensor = node.attr["value"].tensor
    return tensor.dtype, tensors.decode_shape(tensor.tensor_shape)


def _digest(node: NodeDef) -> bytes:
    """Of a constant's bytes, however they are spelled."""
    tensor = node.attr["value"].tensor
    kind = tensors.data_type(tensor.dtype)
    if kind.storage is None:
        return hashlib.sha256(tensor.SerializeToString(deterministic=True)).digest()
    content = tensor.tensor_content or tensors.stored(graph_def.constant_value(node), kind).tobytes()
    return hashlib.sha256(content).digest()


def _canonical(entry: str, same: Dict[str, str]) -> Tuple[str, str]:
    """An input as its node's first equal and the rest of its spelling, with "x" and "x:0" as one."""
    name = node_name(entry)
    rest = "^" if is_control(entry) else entry[len(name) :]
    return same.get(name, name), "" if rest == ":0" else rest


def _hand_over(graph: GraphIndex, name: str, chosen: str) -> None:
    """Let whoever reads or awaits a node, whichever output, read or await the chosen one."""
    for consumer in graph.consumers(name):
        graph.set_inputs(consumer, [_renamed(entry, name, chosen) for entry in graph.node(consumer).input])


def _renamed(entry: str, name: str, chosen: str) -> str:
    if node_name(entry) != name:
        return entry
    return "^" + chosen if is_control(entry) else chosen + entry[len(name) :]
