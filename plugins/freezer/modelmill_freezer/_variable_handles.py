"""Uses of variables' handles become uses of their values: in the graph, and in the functions that it hands them to.

A resource variable is a handle that operations read through. In a frozen graph its node is a constant; so whatever
takes the handle must take the value. A function that is handed a handle gets a copy that takes the value instead; calls
with variables of the same types and shapes share one copy.
"""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef

from modelmill_freezer._functions import CALLS, Body, Library, drop_unused, pruned, reached

#: What passes a resource handle on and can pass a value on as well, and which of its outputs are what its input is.
_CARRIERS = {
    "Identity": (0,),
    "Switch": (0, 1),
    "Merge": (0,),
    "Enter": (0,),
    "Exit": (0,),
    "NextIteration": (0,),
    "StopGradient": (0,),
}
_UPDATES = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


@dataclass(frozen=True)
class Variable:
    """What a handle stands for: the number of the value's data type, and its shape with None for an unknown rank."""

    dtype: int
    shape: Optional[Tuple[int, ...]]


@dataclass(frozen=True)
class _Caller:
    """Control flow or a call: attributes with functions, where their arguments start, and the attributes of types."""

    functions: Tuple[str, ...]
    first: int
    inputs: str
    outputs: str


_CONDITION = _Caller(("then_branch", "else_branch"), 1, "Tin", "Tout")
_LOOP = _Caller(("cond", "body"), 0, "T", "T")
_CASE = _Caller(("branches",), 1, "Tin", "Tout")
_CALLERS = {
    "If": _CONDITION,
    "StatelessIf": _CONDITION,
    "While": _LOOP,
    "StatelessWhile": _LOOP,
    "Case": _CASE,
    "StatelessCase": _CASE,
}
_CALLERS.update(dict.fromkeys(CALLS, _Caller(("f",), 0, "Tin", "Tout")))

#: Handles by their tensors, "node:index".
Handles = Dict[str, Variable]
#: Makes the library of a graph; only asked where there are functions.
Libraries = Callable[[GraphDef], Library]


def use_values(graph: GraphDef, variables: Mapping[str, Variable], libraries: Libraries) -> None:
    """Turn every use of these variables' handles into a use of their values, in place; functions that are left go.

    variables: by the names of their nodes.
    Raises StepError UNSUPPORTED_VARIABLE_USE.
    """
    library = libraries(graph) if graph.library.function else None
    if variables:
        handles = {name + ":0": variable for name, variable in variables.items()}
        _Substitution(library, "").substitute(graph, handles)
    if library is None:
        return
    drop_unused(graph)
    for name, _ in reached(graph.node, library):
        _refuse_own_variables(library.functions[name])


def refuse_reads_after_updates(graph: GraphDef, names: Sequence[str]) -> None:
    """Raise StepError UNSUPPORTED_VARIABLE_USE where one of these nodes reads a variable that was just updated.

    The graph must still have its control inputs.
    """
    nodes = graph_def.nodes_by_name(graph)
    for name in names:
        node = nodes[name]
        if node.op != "ReadVariableOp":
            continue
        before = [nodes[reference[1:]] for reference in node.input if graph_def.is_control(reference)]
        for update in before:
            if update.op in _UPDATES and update.input[0] == node.input[0]:
                raise StepError(
                    "UNSUPPORTED_VARIABLE_USE",
                    "{} reads the variable {} after {} has changed it, so each call gives something else, which a "
                    "frozen graph cannot do. Export the model without the update.".format(
                        name, graph_def.node_name(node.input[0]), update.name
                    ),
                    {"node": name, "operation": node.op, "update": update.name},
                )


class _Substitution:
    """Works on one graph; `function` names the function whose body it is, for errors."""

    def __init__(self, library: Optional[Library], function: str) -> None:
        self._library = library
        self._function = function
        self._waiting: List[str] = []
        self._handed_over: Dict[str, List[Optional[Variable]]] = {}
        self.handles: Handles = {}

    def substitute(self, graph: GraphDef, handles: Handles) -> None:
        """Change the graph in place; afterwards `handles` has all tensors that were handles and are values now."""
        nodes = graph_def.nodes_by_name(graph)
        users = _users_of(graph)
        self.handles = dict(handles)
        self._waiting = list(handles)
        while self._waiting:
            tensor = self._waiting.pop()
            for name in users.get(tensor, ()):
                self._use(nodes[name])

    def _use(self, node: NodeDef) -> None:
        """Adapt a node to those of its inputs that are values by now; it may come again for another one."""
        found = [self.handles.get(graph_def.tensor_name(reference)) for reference in graph_def.data_inputs(node)]
        variable = next((it for it in found if it is not None), None)
        if variable is None:
            return
        if self._library is not None and (node.op in _CALLERS or node.op in self._library.functions):
            if self._handed_over.get(node.name) != found:
                self._handed_over[node.name] = found
                self._hand_over(node, found)
        elif node.op in _CARRIERS and "T" in node.attr:
            node.attr["T"].type = variable.dtype
            self._are_values(node, dict.fromkeys(_CARRIERS[node.op], variable))
        elif node.op == "IdentityN":
            _set_types(node, "T", found, 0)
            self._are_values(node, {index: it for index, it in enumerate(found) if it is not None})
        elif not _use_value(node, variable):
            raise self._unsupported(node)

    def _are_values(self, node: NodeDef, outputs: Mapping[int, Variable]) -> None:
        for index, variable in outputs.items():
            tensor = "{}:{}".format(node.name, index)
            if tensor not in self.handles:
                self.handles[tensor] = variable
                self._waiting.append(tensor)

    def _hand_over(self, node: NodeDef, found: List[Optional[Variable]]) -> None:
        """Let the functions of a node take values."""
        assert self._library is not None
        caller = _CALLERS.get(node.op)
        if caller is None:
            names, results = _specialised(self._library, node, [node.op], found)
            node.op = names[0]
            self._are_values(node, results)
            return
        if found[: caller.first] != [None] * caller.first:
            raise self._unsupported(node)
        called = [called for name in caller.functions for called in _called(node.attr[name])]
        given = found[caller.first :]
        names, results = _specialised(self._library, node, [it.name for it in called], given)
        if caller is _LOOP and results != {index: it for index, it in enumerate(given) if it is not None}:
            raise self._unsupported(node)
        for function, name in zip(called, names):
            function.name = name
        _set_types(node, caller.inputs, found, caller.first)
        _set_results(node, caller.outputs, results)
        self._are_values(node, results)

    def _unsupported(self, node: NodeDef) -> StepError:
        where = " of the function {}".format(self._function) if self._function else ""
        details = {"node": node.name, "operation": node.op}
        if self._function:
            details["function"] = self._function
        return StepError(
            "UNSUPPORTED_VARIABLE_USE",
            "{} ({}){} takes a variable itself and not its value, which a frozen graph cannot do. "
            "Export the model without it, or choose outputs that do not need it.".format(node.name, node.op, where),
            details,
        )


def _specialised(
    library: Library, caller: NodeDef, names: Sequence[str], given: Sequence[Optional[Variable]]
) -> Tuple[List[str], Dict[int, Variable]]:
    """Copies of functions that take values where a variable is given, and which of their results are values then.

    Each is made of the function as it was, so that a caller may come again with further variables.
    """
    copies = []
    results: Dict[int, Variable] = {}
    for name in (library.original(it) for it in names):
        body = pruned(library.body(name, caller))
        handles = {it + ":0": variable for it, variable in zip(body.arguments, given) if variable is not None}
        arguments = graph_def.nodes_by_name(body.graph)
        for argument, variable in handles.items():
            arguments[graph_def.node_name(argument)].attr["T"].type = variable.dtype
        work = _Substitution(library, name)
        work.substitute(body.graph, handles)
        results.update(_values_among(body, work.handles))
        body.results = [
            (result, tensor, work.handles[tensor].dtype if tensor in work.handles else dtype)
            for result, tensor, dtype in body.results
        ]
        content = (body.graph.SerializeToString(deterministic=True), tuple(body.results))
        copies.append(library.add_copy(body, content))
    return copies, results


def _values_among(body: Body, values: Handles) -> Dict[int, Variable]:
    """Those of a body's results that are values in place of handles."""
    return {index: values[tensor] for index, (_, tensor, _) in enumerate(body.results) if tensor in values}


def _called(value: Any) -> Sequence[Any]:
    return [value.func] if value.WhichOneof("value") == "func" else list(value.list.func)


def _set_types(node: NodeDef, attribute: str, found: Sequence[Optional[Variable]], first: int) -> None:
    """Write the values' types into a node's list of input types, of which the first is that of input `first`."""
    types = node.attr[attribute].list.type
    for index, variable in enumerate(found[first:]):
        if variable is not None:
            types[index] = variable.dtype


def _set_results(node: NodeDef, attribute: str, results: Mapping[int, Variable]) -> None:
    types = node.attr[attribute].list.type
    shapes = node.attr["output_shapes"].list.shape if "output_shapes" in node.attr else ()
    for index, variable in results.items():
        types[index] = variable.dtype
        if index < len(shapes):
            tensors.encode_shape(variable.shape, shapes[index])
    for stale in ("_read_only_resource_inputs", "_output_shapes"):
        if stale in node.attr:
            del node.attr[stale]


def _users_of(graph: GraphDef) -> Dict[str, List[str]]:
    users: Dict[str, List[str]] = {}
    for node in graph.node:
        for reference in graph_def.data_inputs(node):
            users.setdefault(graph_def.tensor_name(reference), []).append(node.name)
    return users


def _use_value(node: NodeDef, variable: Variable) -> bool:
    """Let a node that uses a variable use its value; False where it cannot, True as well where it does already."""
    kind = variable.dtype
    if node.op == "ReadVariableOp":
        _become_operation(node, "Identity", {"T": kind}, 1)
    elif node.op == "ResourceGather" and not node.attr["batch_dims"].i:
        # Gather rather than GatherV2: its axis would be a constant outside of the loop that the node may be in.
        _become_operation(node, "Gather", {"Tparams": kind, "Tindices": node.attr["Tindices"].type}, 2)
    elif node.op == "ResourceGatherNd":
        _become_operation(node, "GatherNd", {"Tparams": kind, "Tindices": node.attr["Tindices"].type}, 2)
    elif node.op == "VariableShape":
        _become_operation(node, "Shape", {"T": kind, "out_type": node.attr["out_type"].type or 3}, 1)
    elif node.op == "VarIsInitializedOp":
        constant = graph_def.new_constant(node.name, np.array(True))
        node.ParseFromString(constant.SerializeToString())
    else:
        return False
    return True


def _become_operation(node: NodeDef, operation: str, types: Dict[str, int], data_inputs: int) -> None:
    """Another operation in a node's place, with its first data inputs and its control inputs."""
    inputs = graph_def.data_inputs(node)[:data_inputs]
    inputs += [reference for reference in node.input if graph_def.is_control(reference)]
    fresh: Any = graph_def.new_node(node.name, operation, tuple(inputs))
    for attribute, number in types.items():
        fresh.attr[attribute].type = number
    node.ParseFromString(fresh.SerializeToString())


def _refuse_own_variables(function: Any) -> None:
    for node in function.node_def:
        if node.op in graph_def.VARIABLES:
            raise StepError(
                "UNSUPPORTED_VARIABLE_USE",
                "The function {} has a variable of its own, {}, whose value is not known outside of it. "
                "Export the model with the variable outside.".format(function.signature.name, node.name),
                {"node": node.name, "operation": node.op, "function": function.signature.name},
            )
