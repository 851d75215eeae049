"""The functions of a GraphDef as graphs of their own: a function's body is read, changed and written as nodes.

Inside a FunctionDef an input is written "node:output:index", by the name that the operation's definition gives to the
output; in a graph it is "node:index". Only TensorFlow's registry of operations knows those names, so this runs where
TensorFlow is. Format: tensorflow/core/framework/function.proto.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from modelmill_worker import graph_def
from modelmill_worker.dataflow import prune
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef

#: The operation that stands for a function's argument in the graph of its body.
ARGUMENT = "_Arg"
#: Operations that call one function, which their attribute `f` names.
CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])
#: Attributes of functions about gradients, other implementations and shapes that were known once.
_STALE_ATTRIBUTES = ("_input_shapes", "forward_", "backward_", "api_", "_xla")

#: An operation's OpDef by its name; None where this TensorFlow does not know it.
Definitions = Callable[[str], Optional[Any]]


@dataclass
class Body:
    """One function as a graph.

    graph: its nodes, and one of the operation `ARGUMENT` for each argument, under the argument's name.
    arguments: the names of those nodes, in order.
    results: for each result its name, the tensor ("node:index") and the number of its data type.
    controls: nodes that run for their side effects, whatever results are used.
    """

    name: str
    graph: GraphDef
    arguments: List[str]
    results: List[Tuple[str, str, int]]
    controls: List[str]

    def result_nodes(self) -> List[str]:
        """The nodes that give the results."""
        return [graph_def.node_name(tensor) for _, tensor, _ in self.results]


class Library:
    """The functions of a graph.

    definitions: where the operations' definitions are looked up.
    """

    def __init__(self, graph: GraphDef, definitions: Definitions) -> None:
        self._message = graph.library
        self._definitions = definitions
        self.functions: Dict[str, Any] = {function.signature.name: function for function in graph.library.function}
        #: For a function the copies that were made of it, each with what tells it from the others.
        self.copies: Dict[str, List[Tuple[str, Any]]] = {}
        self._originals: Dict[str, str] = {}

    def called_by(self, node: NodeDef) -> str:
        """The function that a node calls and does nothing else; empty for any other node."""
        if node.op in self.functions:
            return str(node.op)
        if node.op in CALLS:
            return str(node.attr["f"].func.name)
        return ""

    def function(self, name: str, user: str) -> Any:
        """A FunctionDef. Raises StepError FUNCTION_MISSING."""
        if name in self.functions:
            return self.functions[name]
        raise StepError(
            "FUNCTION_MISSING",
            "{} calls the function {}, which the graph does not bring along. Export the model again.".format(
                user, name
            ),
            {"node": user, "function": name},
        )

    def body(self, name: str, caller: NodeDef) -> Body:
        """A function as the graph that this caller runs. Raises StepError FUNCTION_MISSING or UNSUPPORTED_FUNCTION."""
        return _Reader(self.function(name, caller.name), self, _attributes_of_call(caller, name)).body()

    def add(self, body: Body, like: str) -> None:
        """Add a function under its body's name, or replace that of this name; `like` is the one it was made of."""
        function = _write(body, self.functions[like], self)
        if body.name in self.functions:
            self.functions[body.name].ParseFromString(function.SerializeToString())
            return
        kept = self._message.function.add()
        kept.ParseFromString(function.SerializeToString())
        self.functions[body.name] = kept

    def add_copy(self, body: Body, content: Any) -> str:
        """Add a changed copy of the function that the body is named after, once for equal content; the copy's name."""
        original = body.name
        for name, known in self.copies.setdefault(original, []):
            if known == content:
                return name
        number = 1
        while "{}_{}".format(original, number) in self.functions:
            number += 1
        body.name = "{}_{}".format(original, number)
        self.add(body, like=original)
        self.copies[original].append((body.name, content))
        self._originals[body.name] = original
        return body.name

    def original(self, name: str) -> str:
        """The function that this one was copied of; itself where it is no copy."""
        return self._originals.get(name, name)

    def output_counts(self, node: NodeDef) -> Optional[List[Tuple[str, int]]]:
        """A node's outputs as its operation defines them: each one's name and how many tensors it is; None: unknown."""
        if node.op in self.functions:
            return [(output.name, 1) for output in self.functions[node.op].signature.output_arg]
        definition = self._definitions(node.op)
        if definition is None:
            return None
        return [(output.name, _count(output, node, definition)) for output in definition.output_arg]


def _count(output: Any, node: NodeDef, definition: Any) -> int:
    if output.number_attr:
        return int(_attribute(node, output.number_attr, definition).i)
    if output.type_list_attr:
        return len(_attribute(node, output.type_list_attr, definition).list.type)
    return 1


def _attribute(node: NodeDef, name: str, definition: Any) -> Any:
    if name in node.attr:
        return node.attr[name]
    return next(attribute.default_value for attribute in definition.attr if attribute.name == name)


def _attributes_of_call(caller: NodeDef, name: str) -> Dict[str, Any]:
    """What a caller says of a function's own attributes, such as the type that it is called with."""
    for value in caller.attr.values():
        for called in _function_values(value):
            if called.name == name:
                return dict(called.attr)
    return dict(caller.attr) if caller.op == name else {}


def _function_values(value: Any) -> Iterator[Any]:
    if value.WhichOneof("value") == "func":
        yield value.func
    elif value.WhichOneof("value") == "list":
        yield from value.list.func


def functions_named_by(node: NodeDef) -> List[str]:
    """The functions in a node's attributes."""
    return [called.name for value in node.attr.values() for called in _function_values(value)]


def drop_unused(graph: GraphDef) -> None:
    """Drop the functions that no node needs, and all gradients, in place."""
    by_name = {function.signature.name: function for function in graph.library.function}
    waiting = _used_by(graph.node, by_name)
    used: Set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in used:
            used.add(name)
            waiting.extend(_used_by(by_name[name].node_def, by_name))
    kept = [function for name, function in by_name.items() if name in used]
    library = graph_def.new_graph().library
    for function in kept:
        library.function.add().ParseFromString(function.SerializeToString())
    graph.library.ParseFromString(library.SerializeToString())


def _used_by(nodes: Iterable[NodeDef], functions: Dict[str, Any]) -> List[str]:
    used = []
    for node in nodes:
        used.extend(functions_named_by(node))
        if node.op in functions:
            used.append(node.op)
    return used


def reached(nodes: Iterable[NodeDef], library: Library) -> List[Tuple[str, NodeDef]]:
    """The functions that these nodes need, each with a node that names it; those of inner functions later."""
    waiting = deque(nodes)
    found: Dict[str, NodeDef] = {}
    while waiting:
        node = waiting.popleft()
        for name in _used_by([node], library.functions):
            if name not in found and name in library.functions:
                found[name] = node
                waiting.extend(library.functions[name].node_def)
    return list(found.items())


class _Reader:
    """Reads one FunctionDef."""

    def __init__(self, function: Any, library: Library, attributes: Dict[str, Any]) -> None:
        self._function = function
        self._library = library
        self._attributes = attributes
        self._outputs: Dict[str, Optional[List[Tuple[str, int]]]] = {}

    def body(self) -> Body:
        signature = self._function.signature
        graph = graph_def.new_graph()
        arguments = [argument.name for argument in signature.input_arg]
        for argument in signature.input_arg:
            node = graph.node.add(name=argument.name, op=ARGUMENT)
            node.attr["T"].type = self._type(argument)
        nodes = [self._with_attributes(node) for node in self._function.node_def]
        self._outputs = {node.name: self._library.output_counts(node) for node in nodes}
        for node in nodes:
            inputs = [self._in_graph(reference, arguments) for reference in node.input]
            del node.input[:]
            node.input.extend(inputs)
            graph.node.add().ParseFromString(node.SerializeToString())
        results = [
            (output.name, self._in_graph(self._function.ret[output.name], arguments), self._type(output))
            for output in signature.output_arg
        ]
        controls = list(getattr(self._function, "control_ret", {}).values())
        return Body(signature.name, graph, arguments, results, controls)

    def _type(self, argument: Any) -> int:
        if argument.number_attr or argument.type_list_attr:
            raise self._unsupported("it takes or gives lists of tensors")
        return int(self._value(argument.type_attr).type) if argument.type_attr else int(argument.type)

    def _value(self, name: str) -> Any:
        if name not in self._attributes:
            raise self._unsupported("nobody says what its attribute {} is".format(name))
        return self._attributes[name]

    def _with_attributes(self, node: NodeDef) -> NodeDef:
        """A copy of a node with the function's own attributes filled in."""
        copy = graph_def.new_node(node.name, node.op)
        copy.ParseFromString(node.SerializeToString())
        for value in copy.attr.values():
            if value.WhichOneof("value") == "placeholder":
                value.ParseFromString(self._value(value.placeholder).SerializeToString())
        return copy

    def _in_graph(self, reference: str, arguments: Sequence[str]) -> str:
        if graph_def.is_control(reference):
            return reference
        name, _, rest = reference.partition(":")
        if name in self._outputs:
            output, _, index = rest.partition(":")
            return "{}:{}".format(name, self._first(name, output) + int(index or 0))
        if name in arguments:
            return name + ":0"
        raise self._unsupported("its node {} is missing".format(name))

    def _first(self, node: str, output: str) -> int:
        """The number of the first tensor of a node's output."""
        known = self._outputs[node]
        if known is None:  # Nobody knows the operation. Where it has one output only, this is right.
            self._outputs[node] = known = [(output, 1)]
        first = 0
        for name, count in known:
            if name == output:
                return first
            first += count
        raise self._unsupported("its node {} has no output {} that this TensorFlow knows".format(node, output))

    def _unsupported(self, why: str) -> StepError:
        name = self._function.signature.name
        return StepError(
            "UNSUPPORTED_FUNCTION",
            "The function {} cannot be read: {}. Freeze with the TensorFlow that wrote the model.".format(name, why),
            {"function": name, "why": why},
        )


def _write(body: Body, like: Any, library: Library) -> Any:
    """The FunctionDef of a body; what a body does not hold is taken from the one that it was made of."""
    function = type(like)()
    function.signature.name = body.name
    function.signature.is_stateful = like.signature.is_stateful
    for name, value in like.attr.items():
        if not name.startswith(_STALE_ATTRIBUTES):
            function.attr[name].ParseFromString(value.SerializeToString())
    nodes = graph_def.nodes_by_name(body.graph)
    for name in body.arguments:
        function.signature.input_arg.add(name=name, type=nodes[name].attr["T"].type)
    for node in body.graph.node:
        if node.op != ARGUMENT:
            written = function.node_def.add()
            written.ParseFromString(node.SerializeToString())
            del written.input[:]
            written.input.extend(_in_function(reference, nodes, library) for reference in node.input)
    for name, tensor, dtype in body.results:
        function.signature.output_arg.add(name=name, type=dtype)
        function.ret[name] = _in_function(tensor, nodes, library)
    return function


def _in_function(reference: str, nodes: Dict[str, NodeDef], library: Library) -> str:
    if graph_def.is_control(reference):
        return reference
    node, index = nodes[graph_def.node_name(reference)], graph_def.output_index(reference)
    if node.op == ARGUMENT:
        return str(node.name)
    for name, count in library.output_counts(node) or ():
        if index < count:
            return "{}:{}:{}".format(node.name, name, index)
        index -= count
    raise StepError(
        "UNKNOWN_OPERATION",
        "This TensorFlow does not know the operation {} of the node {}, which is in a function. "
        "Freeze with a TensorFlow that knows it.".format(node.op, node.name),
        {"node": node.name, "operation": node.op},
    )


def pruned(body: Body) -> Body:
    """The body with what its results need, and all arguments; what is there for side effects only is gone."""
    graph = prune(body.graph, body.result_nodes() + body.arguments)
    return Body(body.name, graph, body.arguments, body.results, [])
