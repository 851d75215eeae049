"""When each part of a graph runs: at loading, when the model is called, when a saver works, or never that is known."""

import enum
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Set, Tuple

from modelmill_worker import graph_def
from modelmill_worker.graph_def import GraphDef, NodeDef


class Occasion(enum.Enum):
    """When nodes run; the value is the sentence that a finding ends with."""

    LOADING = "It runs when the model is loaded."
    CALLING = "It runs when the model is called: an output or a function that it offers depends on it."
    RESTORING = "It runs when the model's values are restored, which loading it does."
    SAVING = "It runs only when somebody saves the model."
    HIDDEN = "It runs when something runs the graph that the string holds."
    NEVER_KNOWN = "Nothing that the model offers depends on it: it runs only where somebody asks for it by name."


@dataclass
class Entries:
    """The names of nodes and of functions from which something is run on an occasion."""

    nodes: List[str] = field(default_factory=list)
    functions: List[str] = field(default_factory=list)


#: Where execution starts, by occasion.
Starts = Dict[Occasion, Entries]


class Reach:
    """For every node of a graph and every function of its library: the occasions on which it runs.

    Control inputs count as data do. A function counts as a whole. Where nothing is known to start anything, everything
    runs on the occasion `otherwise`.
    """

    def __init__(self, graph: GraphDef, starts: Starts, otherwise: Occasion = Occasion.CALLING) -> None:
        self._functions = {function.signature.name: function for function in graph.library.function}
        self._gradients: Dict[str, List[str]] = {}
        for gradient in graph.library.gradient:
            self._gradients.setdefault(gradient.function_name, []).append(gradient.gradient_func)
        self._interfaces = _interfaces(graph)
        self._nodes: Dict[str, List[NodeDef]] = {}
        for node in graph.node:
            self._nodes.setdefault(node.name, []).append(node)
        self._reached: Dict[Occasion, Tuple[Set[str], Set[str]]] = {}
        for occasion, entries in starts.items():
            nodes = self._ancestors(entries.nodes)
            named = [found for name in nodes for node in self._nodes[name] for found in self.called_by(node)]
            functions = self._closure(list(entries.functions) + named)
            if nodes or functions:
                self._reached[occasion] = (nodes, functions)
        if not self._reached:
            self._reached[otherwise] = (set(self._nodes), set(self._functions))

    def of_node(self, name: str) -> Sequence[Occasion]:
        """The occasions on which a node of the graph itself runs."""
        found = [occasion for occasion, (nodes, _) in self._reached.items() if name in nodes]
        return found or [Occasion.NEVER_KNOWN]

    def of_function(self, name: str) -> Sequence[Occasion]:
        """The occasions on which the nodes of a function run."""
        found = [occasion for occasion, (_, functions) in self._reached.items() if name in functions]
        return found or [Occasion.NEVER_KNOWN]

    def called_by(self, node: NodeDef) -> Iterator[str]:
        """The functions of the library that a node calls, by its operation or by an attribute."""
        if node.op in self._functions:
            yield node.op
        for value in node.attr.values():
            yield from (name for name in _named(value) if name in self._functions)

    def _ancestors(self, names: Iterable[str]) -> Set[str]:
        reached: Set[str] = set()
        waiting = [name for name in names if name in self._nodes]
        while waiting:
            name = waiting.pop()
            if name in reached:
                continue
            reached.add(name)
            for node in self._nodes[name]:
                waiting.extend(
                    feeder
                    for feeder in (graph_def.node_name(reference) for reference in node.input)
                    if feeder in self._nodes and feeder not in reached
                )
        return reached

    def _closure(self, names: Iterable[str]) -> Set[str]:
        reached: Set[str] = set()
        interfaces: Set[bytes] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in reached or name not in self._functions:
                continue
            reached.add(name)
            waiting.extend(self._gradients.get(name, ()))
            interface = _interface(self._functions[name])
            if interface and interface not in interfaces:
                interfaces.add(interface)
                waiting.extend(self._interfaces[interface])
            for node in self._functions[name].node_def:
                waiting.extend(found for found in self.called_by(node) if found not in reached)
        return reached


def _named(value: Any) -> Iterator[str]:
    """The functions that an attribute's value names: as a function, in a list of them, or as text."""
    kind = value.WhichOneof("value")
    if kind == "func":
        yield value.func.name
        for inner in value.func.attr.values():
            yield from _plainly_named(inner)
    elif kind == "list":
        yield from (function.name for function in value.list.func)
    elif kind == "s":
        yield value.s.decode("latin-1")


def _plainly_named(value: Any) -> Iterator[str]:
    """As `_named`, of the attributes of a function that is an attribute: no deeper, for that may never end."""
    if value.WhichOneof("value") == "func":
        yield value.func.name


def _interface(function: Any) -> bytes:
    """What a function says it implements; TensorFlow may put another one in its place that implements the same.

    tensorflow/core/grappler/optimizers/implementation_selector.h: the attribute `api_implements`.
    """
    return bytes(function.attr["api_implements"].s) if "api_implements" in function.attr else b""


def _interfaces(graph: GraphDef) -> Dict[bytes, List[str]]:
    by_interface: Dict[bytes, List[str]] = {}
    for function in graph.library.function:
        by_interface.setdefault(_interface(function), []).append(function.signature.name)
    return by_interface


def starts_of_outputs(outputs: Iterable[str]) -> Starts:
    """Of a graph whose outputs are these tensors."""
    return {Occasion.CALLING: Entries(nodes=[graph_def.node_name(name) for name in outputs])}


_STARTED = (Occasion.LOADING, Occasion.CALLING, Occasion.RESTORING, Occasion.SAVING)
#: Collections and signatures that name what a loader runs (tensorflow/python/saved_model/constants.py).
_LOADED_COLLECTIONS = ("saved_model_main_op", "legacy_init_op", "table_initializer")
_LOADED_SIGNATURE = "__saved_model_init_op"
#: Methods of an object that tf.saved_model.load calls (tensorflow/python/saved_model/load.py, RestoredResource).
_LOADED_METHODS = frozenset(["_create_resource", "_initialize", "_destroy_resource"])


def starts_of_meta_graph(meta_graph: Any, outputs: Iterable[str] = ()) -> Starts:
    """Of a MetaGraphDef, by its signatures, collections, saver and objects; `outputs` are further tensors."""
    starts: Starts = {occasion: Entries() for occasion in _STARTED}
    starts[Occasion.CALLING].nodes.extend(graph_def.node_name(name) for name in outputs)
    for key, signature in meta_graph.signature_def.items():
        occasion = Occasion.LOADING if key == _LOADED_SIGNATURE else Occasion.CALLING
        for tensor in signature.outputs.values():
            starts[occasion].nodes.extend(_tensor_nodes(tensor))
    for key in _LOADED_COLLECTIONS:
        if key in meta_graph.collection_def:
            collection = meta_graph.collection_def[key]
            starts[Occasion.LOADING].nodes.extend(map(graph_def.node_name, collection.node_list.value))
    saver = meta_graph.saver_def
    starts[Occasion.SAVING].nodes.extend(_named_nodes(saver.save_tensor_name))
    starts[Occasion.RESTORING].nodes.extend(_named_nodes(saver.restore_op_name))
    _add_objects(starts, meta_graph.object_graph_def)
    return starts


def _named_nodes(reference: str) -> List[str]:
    return [graph_def.node_name(reference)] if reference else []


def _tensor_nodes(tensor: Any) -> Iterator[str]:
    """The nodes of a signature's tensor, which may be sparse or composite."""
    encoding = tensor.WhichOneof("encoding")
    if encoding == "coo_sparse":
        sparse = tensor.coo_sparse
        names = [sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name]
    elif encoding == "composite_tensor":
        names = [component.name for component in tensor.composite_tensor.components]
    else:
        names = [tensor.name]
    yield from (graph_def.node_name(name) for name in names if name)


def _add_objects(starts: Starts, objects: Any) -> None:
    """The functions of TensorFlow 2's objects: methods that a loader calls, those that save, and all others."""
    occasions: Dict[int, Set[Occasion]] = {}
    for node in objects.nodes:
        for child in node.children:
            occasion = Occasion.LOADING if child.local_name in _LOADED_METHODS else Occasion.CALLING
            occasions.setdefault(child.node_id, set()).add(occasion)
        # TensorFlow 1's messages know no saveable objects.
        saveables = node.saveable_objects.values() if hasattr(node, "saveable_objects") else ()
        for saveable in saveables:
            occasions.setdefault(saveable.save_function, set()).add(Occasion.SAVING)
            occasions.setdefault(saveable.restore_function, set()).add(Occasion.RESTORING)
    for index, node in enumerate(objects.nodes):
        kind = node.WhichOneof("kind")
        for occasion in sorted(occasions.get(index, {Occasion.CALLING}), key=_STARTED.index):
            if kind == "function":
                starts[occasion].functions.extend(node.function.concrete_functions)
            elif kind == "bare_concrete_function":
                starts[occasion].functions.append(node.bare_concrete_function.concrete_function_name)
