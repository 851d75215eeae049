"""What a GraphDef asks of the TensorFlow that reads it: operations, attributes and values, counted in one walk."""

from typing import AbstractSet, Any, Dict, FrozenSet, Iterable, Iterator, List, Optional, Tuple

from modelmill_worker import graph_def
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.op_versions_table import FIELDS, Definition, plain_value, table

#: A value that no version judges, because it is of a kind that all take.
UNJUDGED = ("",)


class Occurrences:
    """Where something is in a graph: the first node, and how many there are."""

    __slots__ = ("count", "first")

    def __init__(self, first: str) -> None:
        self.first = first
        self.count = 0

    def __str__(self) -> str:
        return self.first if self.count == 1 else "{} and {:,} more".format(self.first, self.count - 1)


class OperationDemands:
    """How a graph uses one operation.

    attributes: the sets of attributes that nodes have, names that begin with "_" left out, as any version takes those.
    values: attribute -> {(field of the AttrValue, plain value or UNJUDGED)}.
    inputs: {(number of data inputs, {attribute: how many more tensors it means})} where versions differ in that.
    """

    __slots__ = ("_watched", "attributes", "everywhere", "history", "inputs", "values")

    def __init__(self, operation: str, first: str) -> None:
        self.history = table().history(operation)
        self.everywhere = Occurrences(first)
        self.attributes: Dict[FrozenSet[str], Occurrences] = {}
        self.values: Dict[str, Dict[Tuple[str, Any], Occurrences]] = {}
        self.inputs: Dict[Tuple[int, Tuple[Tuple[str, int], ...]], Occurrences] = {}
        self._watched = _Watched([definition for definition in self.history if definition is not None])

    def add(self, node: NodeDef, place: str) -> Iterator[str]:
        """Count a node in; yields the functions that it names."""
        self.everywhere.count += 1
        names = []
        for name, value in node.attr.items():
            if name.startswith("_"):
                continue
            names.append(name)
            field = value.WhichOneof("value") or ""
            if field == "func":
                yield value.func.name
            elif field == "list" and value.list.func:
                for function in value.list.func:
                    yield function.name
            kind = self._watched.kinds.get(name)
            plain = plain_value(value, kind) if kind is not None and field == _field(kind) else UNJUDGED
            _count(self.values.setdefault(name, {}), (field, plain), place)
        _count(self.attributes, frozenset(names), place)
        if self._watched.counts:
            more = [(name, _multiplicity(node.attr[name])) for name in self._watched.counts if name in node.attr]
            _count(self.inputs, (len(graph_def.data_inputs(node)), tuple(more)), place)


class _Watched:
    """The attributes whose values decide whether some version reads a node, with their types.

    counts: the attributes that say how many inputs there are, "" for none, where versions differ in that.
    """

    __slots__ = ("counts", "kinds")

    def __init__(self, definitions: List[Definition]) -> None:
        self.kinds: Dict[str, str] = {}
        for definition in definitions:
            for name, attribute in definition.attributes.items():
                judged = attribute.allowed is not None or attribute.minimum is not None or "type" in attribute.kind
                if judged or any(name not in other.attributes for other in definitions):
                    self.kinds[name] = attribute.kind
        inputs = {definition.inputs for definition in definitions}
        self.counts = sorted({name for found in inputs for name in found[1:]} | {""}) if len(inputs) > 1 else []


def demands_of(
    graph: GraphDef, nodes: Optional[AbstractSet[str]] = None, every_function: bool = False
) -> Dict[str, OperationDemands]:
    """How these nodes (None: all), and the functions that they reach or all that there are, use each operation."""
    functions = {function.signature.name: function for function in graph.library.function}
    found: Dict[str, OperationDemands] = {}
    waiting: List[str] = list(functions) if every_function else []
    for node in graph.node:
        if nodes is None or node.name in nodes:
            waiting.extend(_add(found, node, node.name, functions))
    reached = set(waiting)
    while waiting:
        function = waiting.pop()
        if function not in functions:
            continue
        for node in functions[function].node_def:
            place = "{} of the function {}".format(node.name, function)
            named = [other for other in _add(found, node, place, functions) if other not in reached]
            reached.update(named)
            waiting.extend(dict.fromkeys(named))
    return found


def _add(found: Dict[str, OperationDemands], node: NodeDef, place: str, functions: Dict[str, Any]) -> Iterable[str]:
    """Count a node in; the functions that it calls by name or by attribute."""
    if node.op in functions:
        return [node.op]
    if node.op not in found:
        found[node.op] = OperationDemands(node.op, place)
    return found[node.op].add(node, place)


def _count(counted: Dict[Any, Occurrences], key: Any, place: str) -> None:
    if key not in counted:
        counted[key] = Occurrences(place)
    counted[key].count += 1


def _field(kind: str) -> str:
    return "list" if kind.startswith("list(") else FIELDS[kind]


def _multiplicity(value: Any) -> int:
    """How many tensors an attribute means: a number itself, or the length of a list of types."""
    return len(value.list.type) if value.WhichOneof("value") == "list" else int(value.i)
