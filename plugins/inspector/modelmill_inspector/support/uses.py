"""Which operations of a graph a converter will have to deal with: those that are left once constants are folded.

A node is folded where nothing that reaches it is fed. What freezing replaces by constants (variables) counts as
constant, and so does what only depends on the shape of a tensor: a converter that must know the shapes computes it, and
one that need not has operators for it. Functions are looked into, each once.
"""

import re
from dataclasses import dataclass
from typing import AbstractSet, Any, Dict, FrozenSet, Iterator, List, Optional, Set

from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef

#: Freezing makes constants of them.
_WEIGHTS = graph_def.VARIABLES | {"ReadVariableOp"}
#: Known as soon as shapes are.
_OF_SHAPES = frozenset(["Shape", "ShapeN", "Size", "Rank"])
#: Never computed beforehand, whatever reaches them: control flow, state, chance, files, and what is fed.
_NEVER_FOLDED = re.compile(
    r"Placeholder(V2|WithDefault)?|(Ref)?(Switch|Merge|Enter|Exit|NextIteration)|LoopCond|(Stateless)?(If|While|Case)"
    r"|(Stateful)?PartitionedCall|.*(Random|Multinomial|TruncatedNormal).*|.*(Iterator|Queue|Reader|Dataset).*"
    r"|TensorArray.*|Stack(V2|Push.*|Pop.*)?|.*(HashTable|LookupTable).*|Print(V2)?|Assert|.*PyFunc.*|ReadFile"
)
#: Inlined where they call a function of the graph.
_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])
#: No converter meets them: they are fed, or gone before it begins.
_NOT_CONVERTED = frozenset(["Placeholder", "PlaceholderV2", "Const", "NoOp", "Assert"]) | _WEIGHTS


@dataclass(frozen=True)
class Use:
    """One node that a converter meets.

    name: the node's name, in a function "function/node".
    computed: the inputs that are no constants, by their number.
    folded: whether the node is computed beforehand; only a list of operations that is compared unread counts it.
    """

    name: str
    node: NodeDef
    computed: FrozenSet[int]
    folded: bool


def uses(graph: GraphDef, needed: AbstractSet[str]) -> List[Use]:
    """The needed nodes that a converter meets, and those of the functions that they reach."""
    functions = {function.signature.name: function for function in graph.library.function}
    called: List[str] = []
    found = list(_of_body([node for node in graph.node if node.name in needed], frozenset(), "", functions, called))
    for name in called:  # It grows while functions call others.
        function = functions[name]
        weights = frozenset(argument.name for argument in function.signature.input_arg if _is_resource(argument.type))
        found.extend(_of_body(list(function.node_def), weights, name + "/", functions, called))
    return found


def _of_body(
    nodes: List[NodeDef], weights: FrozenSet[str], prefix: str, functions: Dict[str, Any], called: List[str]
) -> Iterator[Use]:
    """The nodes of a graph or of a function; weights: arguments that stand for constants."""
    feeders = {
        node.name: [graph_def.node_name(reference.split(":")[0]) for reference in graph_def.data_inputs(node)]
        for node in nodes
    }
    constant = _constants(nodes, feeders, weights)
    for node in nodes:
        reached = _functions_of(node, functions)
        called.extend(name for name in reached if name not in called)
        if node.op in _NOT_CONVERTED or node.op in functions or (reached and node.op in _CALLS):
            continue
        computed = frozenset(
            index for index, feeder in enumerate(feeders[node.name]) if feeder not in constant and feeder not in weights
        )
        yield Use(prefix + node.name, node, computed, node.name in constant and not _NEVER_FOLDED.fullmatch(node.op))


def _constants(nodes: List[NodeDef], feeders: Dict[str, List[str]], weights: FrozenSet[str]) -> Set[str]:
    """The nodes whose values are known before the graph runs, found from those that are not onwards."""
    users: Dict[str, List[str]] = {}
    waiting: List[str] = []
    shapes = {node.name for node in nodes if node.op in _OF_SHAPES}
    known = {node.name for node in nodes} | weights
    for node in nodes:
        for feeder in feeders[node.name]:
            users.setdefault(feeder, []).append(node.name)
            if feeder not in known:  # An argument of the function.
                waiting.append(feeder)
        if node.op not in _WEIGHTS and _NEVER_FOLDED.fullmatch(node.op) and not _is_weight_of_loop(node):
            waiting.append(node.name)
    varying: Set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in varying and name not in shapes:
            varying.add(name)
            waiting.extend(users.get(name, ()))
    return {node.name for node in nodes if node.name not in varying}


def _is_weight_of_loop(node: NodeDef) -> bool:
    """Whether a node only takes a constant into a loop; where what it takes varies, so does it."""
    return node.op in ("Enter", "RefEnter") and node.attr["is_constant"].b


def _functions_of(node: NodeDef, functions: Dict[str, Any]) -> List[str]:
    found = [node.op] if node.op in functions else []
    if functions:
        for value in node.attr.values():
            names = [value.func.name, *(function.name for function in value.list.func)]
            found += [name for name in names if name in functions and name not in found]
    return found


def _is_resource(dtype: int) -> bool:
    return _type_name(dtype) == "resource"


def attribute_text(node: NodeDef, name: str) -> Optional[str]:
    """An attribute as the tables write it: "float32", "true", "NCHW", "[1,2,2,1]"; None where the node has none."""
    if name not in node.attr:
        return None
    value = node.attr[name]
    kind = value.WhichOneof("value")
    if kind == "type":
        return _type_name(value.type)
    if kind == "s":
        return str(value.s.decode("utf-8", "replace"))
    if kind == "b":
        return "true" if value.b else "false"
    if kind == "list":
        return "[{}]".format(",".join(str(number) for number in value.list.i))
    return str(value.i) if kind == "i" else None


def _type_name(number: int) -> str:
    try:
        return tensors.data_type(number).name
    except StepError:
        return ""
