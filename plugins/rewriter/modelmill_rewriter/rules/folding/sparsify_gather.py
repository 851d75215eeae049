"""Weights of which most are zero, gathered from a table of those that are not.

    Gather(Const(w), ids)  ->  ExpandDims(LookupTableFind(table of w, ids, 0), -1)

for w of the shape [N, 1], as linear models have it: a weight for each of many features, nearly all 0 after training
with L1 regularisation. The table has the index and the value of each element of 1e-5 or more; all others are taken for
0. It is filled by a node that is to run once before the model, `group_deps` or whatever the option group_init_node
says, which becomes one of the model's initializers. An index beyond N gives 0, where Gather gives an error.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Set, Tuple

import numpy as np
from modelmill_worker import graph_def, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import (
    Dtype,
    Firing,
    GraphIndex,
    Interface,
    Pass,
    Refusal,
    Report,
    Target,
    Tensor,
    argument,
    places,
    set_attribute,
)

#: Smaller elements are taken for 0.
_SMALLEST = 1e-5

_FLOAT = Dtype(tensors.data_type_named("float32").number)
_INT32 = Dtype(tensors.data_type_named("int32").number)
_INT64 = Dtype(tensors.data_type_named("int64").number)


@dataclass(frozen=True)
class SparsifyGather(Pass):
    """Looks sparse weights up in a table, which has only those that are not zero."""

    name: ClassVar[str] = "sparsify_gather"
    summary: ClassVar[str] = "Gathers weights of which most are zero from a table of the others."
    changes_interface: ClassVar[bool] = True

    group_init_node: str = argument("group_deps", "The node that fills the tables, to run once before the model.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Replace every gathering from such weights.

        Raises StepError INVALID_OPTION for a group_init_node that is another operation.
        """
        del target
        if self.group_init_node in graph and graph.node(self.group_init_node).op != "NoOp":
            raise StepError(
                "INVALID_OPTION",
                "The option group_init_node of the rule sparsify_gather cannot be {!r}: the graph has a {} of that "
                "name. Give a NoOp's or an unused name.".format(
                    self.group_init_node, graph.node(self.group_init_node).op
                ),
                {"rule": self.name, "option": "group_init_node", "value": self.group_init_node},
            )
        inside = places(graph)
        fired: List[Firing] = []
        refused: List[Refusal] = []
        tables = _Tables(graph)
        for name in graph.nodes_with("Gather", "GatherV2"):
            if graph.dtype(graph.data_inputs(name)[0]) != _FLOAT:
                continue
            reason = _reason_against(graph, graph.node(name))
            if name in inside:
                reason = "it lies inside a loop or a condition, where no table can be read"
            if reason:
                refused.append(Refusal(name, reason))
            else:
                fired.append(tables.replace(name))
        if fired:
            self._fill(graph, tables.filling)
        return Report(self.name, tuple(fired), tuple(refused))

    def _fill(self, graph: GraphIndex, filling: List[str]) -> None:
        """Let the initializer wait for what fills the tables."""
        awaited = ["^" + name for name in filling]
        group = self.group_init_node
        if group in graph:
            graph.set_inputs(group, [*graph.node(group).input, *awaited])
        else:
            graph.add([graph_def.new_node(group, "NoOp", tuple(awaited))], beside=filling[-1])
        interface = graph.interface
        if Tensor(group) not in interface.outputs:
            graph.set_interface(Interface(interface.inputs, (*interface.outputs, Tensor(group))))


def _reason_against(graph: GraphIndex, node: NodeDef) -> str:
    """Why a node that gathers floats cannot be replaced; empty where it can."""
    weights, ids, *axis = graph.data_inputs(node.name)
    where = [graph.constant(tensor) for tensor in axis]
    if any(value is None or int(value.reshape(-1)[0]) not in (0, -2) for value in where):
        return "it does not gather along the first axis"
    if "batch_dims" in node.attr and node.attr["batch_dims"].i:
        return "it gathers for each member of a batch"
    if graph.dtype(ids) not in (_INT32, _INT64):
        return "the type of its indices is not known"
    return _reason_against_weights(graph, weights)


def _reason_against_weights(graph: GraphIndex, weights: Tensor) -> str:
    producer = graph.node(graph.seen_through(weights).node)
    if producer.op != "Const" or graph.is_fed(producer.name):
        return "what it gathers from, {}, is not constant".format(weights)
    shape = tensors.decode_shape(producer.attr["value"].tensor.tensor_shape) or ()
    if len(shape) != 2 or shape[1] != 1:
        return "what it gathers from has the shape {}, and a table holds single numbers, [N, 1]".format(list(shape))
    if graph.array(producer.name) is None:
        return "the weights lie beside the graph, which is too large to hold them"
    return ""


class _Tables:
    """The tables that are made for a graph: one for each constant, however many nodes gather from it."""

    def __init__(self, graph: GraphIndex) -> None:
        self.filling: List[str] = []
        self._graph = graph
        self._tables: Dict[str, Tensor] = {}
        self._constants: Dict[str, Tensor] = {}
        self._new: List[NodeDef] = []
        self._taken: Set[str] = set()

    def replace(self, name: str) -> Firing:
        """Put a look-up where a node gathers."""
        graph = self._graph
        gather = graph.node(name)
        weights, ids = graph.data_inputs(name)[:2]
        table = self._table(graph.seen_through(weights).node)
        if graph.dtype(ids) == _INT32:
            ids = self._add(name + "/indices", "Cast", (ids,), {"SrcT": _INT32, "DstT": _INT64})
        zero = self._constant("sparsify_gather/zero", np.float32(0))
        attributes = {"Tin": _INT64, "Tout": _FLOAT}
        found = self._add(name + "/LookupTableFind", "LookupTableFindV2", (table, ids, zero), attributes)
        last = self._constant("sparsify_gather/last", np.int32(-1))
        shaped = graph_def.new_node(name, "ExpandDims", (str(found), str(last)))
        set_attribute(shaped, "T", _FLOAT)
        set_attribute(shaped, "Tdim", _INT32)
        shaped.input.extend("^" + awaited for awaited in graph.control_inputs(name))
        read = [tensor.node for tensor in graph.data_inputs(name)]
        nodes = [*self._new, shaped]
        for node in nodes:
            node.device = gather.device
        self._new = []
        graph.replace(name, nodes)
        return Firing((name, *graph.remove_unused(read)), tuple(node.name for node in nodes))

    def _table(self, weights: str) -> Tensor:
        if weights not in self._tables:
            array = self._graph.array(weights)
            assert array is not None  # `_reason_against` has seen to it.
            indices, values = _sparse(array.reshape(-1))
            keys = self._named_constant(weights + "/indices", indices)
            elements = self._named_constant(weights + "/values", values)
            table = self._add(weights + "/HashTable", "HashTableV2", (), {"key_dtype": _INT64, "value_dtype": _FLOAT})
            types = {"Tkey": _INT64, "Tval": _FLOAT}
            fill = self._add(weights + "/InitializeTable", "InitializeTableV2", (table, keys, elements), types)
            self.filling.append(fill.node)
            self._tables[weights] = table
        return self._tables[weights]

    def _constant(self, name: str, value: np.ndarray) -> Tensor:
        """A constant that all look-ups share."""
        if name not in self._constants:
            self._constants[name] = self._named_constant(name, value)
        return self._constants[name]

    def _named_constant(self, name: str, value: np.ndarray) -> Tensor:
        self._new.append(graph_def.new_constant(self._unused(name), np.asarray(value)))
        return Tensor(self._new[-1].name)

    def _add(self, name: str, operation: str, inputs: Tuple[Tensor, ...], types: Dict[str, Dtype]) -> Tensor:
        node = graph_def.new_node(self._unused(name), operation, tuple(str(tensor) for tensor in inputs))
        for key, kind in types.items():
            set_attribute(node, key, kind)
        self._new.append(node)
        return Tensor(node.name)

    def _unused(self, wanted: str) -> str:
        name = self._graph.unused_name(wanted, self._taken)
        self._taken.add(name)
        return name


def _sparse(values: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Where elements are that count, and what they are; a zero where there are none, as a table must not be empty."""
    indices = np.flatnonzero(np.abs(values) >= _SMALLEST)
    if not indices.size:
        return np.zeros(1, np.int64), np.zeros(1, np.float32)
    return indices.astype(np.int64), values[indices].astype(np.float32)
