"""The loops of TensorFlow 2: While nodes, whose condition and body are functions of the library.

Inside a function a node names what it reads as "node:argument:number", by the outputs of the operation's definition;
here they become "node:number", as outside.
"""

from typing import Any, Dict, List, Sequence, Tuple

from modelmill_worker import graph_def
from modelmill_worker.graph_def import NodeDef, is_control
from modelmill_worker.op_versions_table import table
from modelmill_worker.shapes.inference import OUTPUT_ARGUMENTS

from modelmill_rewriter.rules.loops._about_frames import ordered
from modelmill_rewriter.rules.loops._about_loops import Loop, StaysALoop
from modelmill_rewriter.rules_api import GraphIndex, Tensor

WHILES = ("While", "StatelessWhile")


def functions_of(graph: GraphIndex) -> Dict[str, Sequence[NodeDef]]:
    """The nodes of each function in the library, by the function's name."""
    return {function.signature.name: function.node_def for function in graph.functions}


def while_loop(graph: GraphIndex, name: str) -> Loop:
    """A While node as a loop. Raises StaysALoop where its functions are not there or not readable."""
    node = graph.node(name)
    initial = graph.data_inputs(name)
    condition = _Function(graph, node, "cond", len(initial))
    body = _Function(graph, node, "body", len(initial))
    nodes = {**condition.nodes, **body.nodes}
    return Loop(
        name=name,
        nodes=nodes,
        order=ordered(nodes),
        initial=initial,
        variables={**condition.arguments, **body.arguments},
        constants={},
        condition=condition.results[0],
        results=tuple(body.results),
        outputs={
            Tensor(name, number): number for number in range(len(initial)) if _is_read(graph, Tensor(name, number))
        },
    )


def _is_read(graph: GraphIndex, tensor: Tensor) -> bool:
    return any(tensor in graph.data_inputs(consumer) for consumer in graph.consumers(tensor.node))


class _Function:
    """A function of a While node, with its nodes renamed so that those of both can lie side by side."""

    def __init__(self, graph: GraphIndex, caller: NodeDef, attribute: str, count: int) -> None:
        called = caller.attr[attribute].func
        found = [function for function in graph.functions if function.signature.name == called.name]
        if not found:
            raise StaysALoop("its function {!r} is not in the graph".format(called.name))
        definition = found[0]
        self._prefix = "{}/{}/".format(caller.name, attribute)
        self._operations = {node.name: node.op for node in definition.node_def}
        arguments = [argument.name for argument in definition.signature.input_arg]
        self._arguments = {argument: Tensor(self._prefix + argument) for argument in arguments}
        #: The tensors by which the function reads its arguments, with their numbers.
        self.arguments = {self._arguments[argument]: number for number, argument in enumerate(arguments)}
        self.nodes: Dict[str, NodeDef] = {}
        for node in definition.node_def:
            copy = self._copied(node)
            self.nodes[copy.name] = copy
        returned = [definition.ret[argument.name] for argument in definition.signature.output_arg]
        self.results: List[Tensor] = [self._tensor(reference) for reference in returned]
        if len(arguments) != count or len(self.results) != (1 if attribute == "cond" else count):
            raise StaysALoop("its function {!r} takes or gives another number of values".format(called.name))

    def _copied(self, node: NodeDef) -> NodeDef:
        copy = graph_def.new_node(self._prefix + node.name, node.op)
        copy.device = node.device
        for key in node.attr:
            if node.attr[key].WhichOneof("value") == "placeholder":
                raise StaysALoop("its function's {!r} takes an attribute from the call".format(node.name))
            copy.attr[key].CopyFrom(node.attr[key])
        for entry in node.input:
            copy.input.append(self._spelled(entry))
        return copy

    def _spelled(self, entry: str) -> str:
        if is_control(entry):
            return "^" + self._prefix + entry[1:]
        return str(self._tensor(entry))

    def _tensor(self, reference: str) -> Tensor:
        name, _, rest = reference.partition(":")
        if name in self._arguments:
            return self._arguments[name]
        argument, _, number = rest.rpartition(":")
        return Tensor(self._prefix + name, self._place(self._operations[name], argument) + int(number or 0))

    def _place(self, operation: str, argument: str) -> int:
        """The number of an output argument's first tensor among a node's outputs."""
        definitions: List[Any] = [definition for definition in table().history(operation) if definition is not None]
        if definitions and _is_one_argument(definitions[-1].outputs):
            return 0
        names: Tuple[str, ...] = OUTPUT_ARGUMENTS.get(operation, ())
        if argument not in names:
            raise StaysALoop("its function names the output {!r} of {}, which is not known".format(argument, operation))
        return names.index(argument)


def _is_one_argument(outputs: Sequence[Any]) -> bool:
    """Whether an operation has one output or one list of outputs, so that numbers tell them."""
    return len(outputs) + int(outputs[0]) <= 2
