"""The steps ``freeze-keras-h5`` and ``freeze-keras``: a Keras model becomes a frozen graph.

Keras alone can read its files, so the model is loaded. TensorFlow 1 then has it as a graph in Keras's session; with
TensorFlow 2 its call is traced, which makes a graph whose placeholders stand for what it captures.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
from modelmill_worker import graph_def, installed_tensorflow, keras_models, tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import GraphDef, NodeDef
from modelmill_worker.plugin_api import Step
from modelmill_worker.signature import Signature, Tensor

from modelmill_freezer._signature_freezing import Source, freeze_source, wanted_ends


def freeze_keras(step: Step) -> Dict[str, Any]:
    """A Keras model of either format and any Keras becomes a frozen graph, for inference."""
    import tensorflow as tf

    step.progress(0.0, "loading the model")
    model = keras_models.load(step.inputs["model"], step.scratch)
    ends = keras_models.describe(model)
    source = _traced(model, ends) if tf.executing_eagerly() else _of_session(ends)
    source = replace(source, ends=wanted_ends(source.ends, step.options.outputs, step.options.inputs))
    facts = freeze_source(step, source)
    facts.update(tensorflow=tf.__version__)
    return facts


def _no_vocabulary(node: NodeDef) -> None:
    """Keras keeps vocabularies in its own file."""
    del node


def _of_session(ends: Signature) -> Source:
    """What TensorFlow 1's Keras has loaded into its session."""
    session = installed_tensorflow.v1().keras.backend.get_session()
    graph = graph_def.copy(session.graph.as_graph_def())
    return Source(graph, ends, (), _SessionValues(session, graph), _no_vocabulary)


class _SessionValues(Mapping):  # type: ignore[type-arg]
    """Variables' values in a session, by the names of their nodes; each is read when it is asked for."""

    def __init__(self, session: Any, graph: GraphDef) -> None:
        self._session = session
        self._reads: Dict[str, str] = {}
        for node in graph.node:
            if node.op in ("Variable", "VariableV2"):
                self._reads[node.name] = node.name + ":0"
            elif node.op == "ReadVariableOp" and len(node.input) == 1:  # Others read after something else has run.
                self._reads[graph_def.node_name(node.input[0])] = node.name + ":0"
        for node in graph.node:  # A variable that has a shared name is asked for by it.
            if node.op == "VarHandleOp" and node.name in self._reads and node.attr["shared_name"].s:
                self._reads[node.attr["shared_name"].s.decode("utf-8")] = self._reads[node.name]

    def __getitem__(self, key: str) -> np.ndarray:
        return np.asarray(self._session.run(self._reads[key]))

    def __contains__(self, key: object) -> bool:  # Mapping's own would read the value.
        return key in self._reads

    def __iter__(self) -> Iterator[str]:
        return iter(self._reads)

    def __len__(self) -> int:
        return len(self._reads)


def _traced(model: Any, ends: Signature) -> Source:
    """The graph of one call of the model. Raises StepError UNSUPPORTED_CAPTURE."""
    import tensorflow as tf

    def call(*given: Any) -> Any:
        return tf.nest.flatten(model(given[0] if len(given) == 1 else list(given), training=False))

    specs = [
        tf.TensorSpec(None if it.shape is None else [None if size == -1 else size for size in it.shape], it.dtype)
        for it in ends.inputs
    ]
    function = tf.function(call, input_signature=specs, autograph=False).get_concrete_function()
    graph = graph_def.copy(function.graph.as_graph_def())
    values = _become_variables(graph, function)
    inputs = _placed(ends.inputs, [tensor.name for tensor in function.inputs])
    outputs = _placed(ends.outputs, [tensor.name for tensor in function.outputs])
    return Source(graph, replace(ends, inputs=inputs, outputs=outputs), (), values, _no_vocabulary)


def _placed(ends: Tuple[Tensor, ...], names: List[str]) -> Tuple[Tensor, ...]:
    return tuple(replace(tensor, tensor=name) for tensor, name in zip(ends, names))


def _become_variables(graph: GraphDef, function: Any) -> Mapping:  # type: ignore[type-arg]
    """Turn the placeholders of captured variables into variables, and those of captured values into constants."""
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    nodes = graph_def.nodes_by_name(graph)
    captured = list(function.captured_inputs)
    found: Dict[str, Any] = {}
    for tensor, outside in zip(function.inputs[len(function.inputs) - len(captured) :], captured):
        node = nodes[graph_def.node_name(tensor.name)]
        variable = variables.get(id(outside))
        if variable is not None:
            fresh = graph_def.new_node(node.name, "VarHandleOp")
            fresh.attr["dtype"].type = variable.dtype.as_datatype_enum
            fresh.attr["shape"].shape.ParseFromString(variable.shape.as_proto().SerializeToString())
            found[node.name] = variable
        elif tensors.data_type(node.attr["dtype"].type) in (tensors.RESOURCE, tensors.VARIANT):
            raise StepError(
                "UNSUPPORTED_CAPTURE",
                "The Keras model uses {}, which is neither a variable nor a value: a lookup table, as text layers have "
                "it. Export the model as a SavedModel and give that.".format(tensor.name),
                {"tensor": str(tensor.name)},
            )
        else:
            dtype = tensors.data_type(node.attr["dtype"].type)
            fresh = graph_def.new_constant(node.name, np.asarray(outside.numpy()), dtype)
        node.ParseFromString(fresh.SerializeToString())
    return _VariableValues(found)


class _VariableValues(Mapping):  # type: ignore[type-arg]
    """The values of variables that live outside of any graph; each is read when it is asked for."""

    def __init__(self, variables: Dict[str, Any]) -> None:
        self._variables = variables

    def __getitem__(self, key: str) -> np.ndarray:
        return np.asarray(self._variables[key].numpy())

    def __contains__(self, key: object) -> bool:  # Mapping's own would read the value.
        return key in self._variables

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)
