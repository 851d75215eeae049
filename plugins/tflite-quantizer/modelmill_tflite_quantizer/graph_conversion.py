"""Drives the APIs that take a graph: all of TensorFlow 1's, and ``tf.compat.v1``'s under TensorFlow 2."""

import contextlib
import importlib
from functools import reduce
from typing import Any, Iterator, List, Tuple

from modelmill_worker import StepError, graph_def, installed_tensorflow
from modelmill_worker.errors import TOOL
from modelmill_worker.signature import Tensor

from modelmill_tflite_quantizer import input_stats
from modelmill_tflite_quantizer.generations import Generation
from modelmill_tflite_quantizer.request import (
    DYNAMIC_RANGE,
    MLIR,
    QAT_UINT8,
    Converted,
    Request,
    array_of,
)
from modelmill_tflite_quantizer.sources import FrozenGraph, KerasModel, SavedModel


def convert_graph(request: Request, generation: Generation) -> Converted:
    """Convert what is a graph, or what becomes one in a session."""
    if not generation.all_outputs:
        _refuse_other_outputs(request)
    if generation.api.endswith("toco_convert"):
        content = _with_function(request, generation)
    else:
        content = _with_class(request, generation)
    signature = request.signature
    return Converted(
        content=content,
        inputs=tuple(tensor.name for tensor in signature.inputs),
        outputs=tuple(tensor.name for tensor in signature.outputs),
        by_array=True,
        input_order=tuple(range(len(signature.inputs))),
        output_order=tuple(range(len(signature.outputs))),
    )


def _refuse_other_outputs(request: Request) -> None:
    """The old APIs drop the number of a node's output, and would give the first one instead."""
    others = [tensor for tensor in request.signature.outputs if not tensor.tensor.endswith(":0")]
    if others:
        raise StepError(
            "OUTPUT_NOT_ADDRESSABLE",
            "This version of TensorFlow converts the first output of a node only, and {} is {}. Put an identity after "
            "it, or convert with TensorFlow 1.14 or newer.".format(others[0].name, others[0].tensor),
            {"outputs": [tensor.name for tensor in others], "tensors": [tensor.tensor for tensor in others]},
            TOOL,
        )


def _with_function(request: Request, generation: Generation) -> bytes:
    """``toco_convert``: a GraphDef and tensors, of which it reads names, types and static shapes."""
    import tensorflow as tf

    with _session(request) as session:
        inputs = _tensors(session.graph, request.signature.inputs)
        outputs = _tensors(session.graph, request.signature.outputs)
        graph = _frozen(session, request)
    for tensor, wanted in zip(inputs, request.signature.inputs):
        tensor.set_shape(wanted.shape)
    options = {}
    if request.quantization == QAT_UINT8:
        stats = input_stats.of_inputs(graph, request.signature, request.input_stats)
        options = {
            "inference_type": tf.contrib.lite.QUANTIZED_UINT8,
            "quantized_input_stats": [stats[array_of(tensor.tensor)] for tensor in request.signature.inputs],
        }
    return bytes(_attribute(tf, generation.api)(graph, inputs, outputs, **options))


def _with_class(request: Request, generation: Generation) -> bytes:
    import tensorflow as tf

    api = _attribute(tf, generation.api)
    source = request.source
    if not isinstance(source, KerasModel):
        # Old ones import into the graph that is the default, whatever is in it.
        with tf.Graph().as_default():
            from_source = _from_frozen_graph if isinstance(source, FrozenGraph) else _from_saved_model
            return _convert(from_source(api, request, source), request, generation)
    with _session(request) as session:
        inputs = _tensors(session.graph, request.signature.inputs)
        outputs = _tensors(session.graph, request.signature.outputs)
        for tensor, wanted in zip(inputs, request.signature.inputs):
            tensor.set_shape([None if size == -1 else size for size in wanted.shape or ()])
        return _convert(api.from_session(session, inputs, outputs), request, generation)


def _from_frozen_graph(api: Any, request: Request, source: FrozenGraph) -> Any:
    signature = request.signature
    return api.from_frozen_graph(
        str(source.path),
        [array_of(tensor.tensor) for tensor in signature.inputs],
        [array_of(tensor.tensor) for tensor in signature.outputs],
        request.input_shapes(),
    )


def _from_saved_model(api: Any, request: Request, source: SavedModel) -> Any:
    return api.from_saved_model(
        str(source.folder),
        input_shapes=request.input_shapes(),
        tag_set=set(source.tags),
        signature_key=source.key,
    )


def _convert(converter: Any, request: Request, generation: Generation) -> bytes:
    configure(converter, request, generation)
    if request.quantization == QAT_UINT8:
        constants: Any = importlib.import_module(generation.module.rpartition(".")[0] + ".lite_constants")
        graph = converter._graph_def
        converter.inference_type = constants.QUANTIZED_UINT8
        converter.quantized_input_stats = input_stats.of_inputs(graph, request.signature, request.input_stats)
    return bytes(converter.convert())


def configure(converter: Any, request: Request, generation: Generation) -> None:
    """Set a converter object's options that do not depend on what it converts."""
    import tensorflow as tf

    converter.allow_custom_ops = request.allow_custom_ops
    if generation.mlir_switch:
        setattr(converter, generation.mlir_switch, request.converter == MLIR)
    if request.allow_select_tf_ops:
        _allow_select_ops(converter, generation.select_ops_switch, tf)
    if request.quantization == DYNAMIC_RANGE:
        switch = generation.dynamic_range_switch
        setattr(converter, switch, [tf.lite.Optimize.DEFAULT] if switch == "optimizations" else True)


def _allow_select_ops(converter: Any, switch: str, tf: Any) -> None:
    if switch == "converter_mode":
        converter.converter_mode = tf.contrib.lite.ConverterMode.TOCO_FLEX
        return
    operators = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    if switch == "target_ops":
        converter.target_ops = set(operators)
    else:
        converter.target_spec.supported_ops = operators


@contextlib.contextmanager
def _session(request: Request) -> Iterator[Any]:
    """A session with the model in it; its variables have their values."""
    import tensorflow as tf

    v1 = installed_tensorflow.v1()
    source = request.source
    if isinstance(source, KerasModel):
        yield v1.keras.backend.get_session()
        return
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        if isinstance(source, SavedModel):
            v1.saved_model.loader.load(session, list(source.tags), str(source.folder))
        else:
            v1.import_graph_def(graph_def.read(source.path), name="")
        yield session


def _frozen(session: Any, request: Request) -> Any:
    import tensorflow as tf

    if isinstance(request.source, FrozenGraph):
        return session.graph.as_graph_def()
    nodes = [array_of(tensor.tensor) for tensor in request.signature.outputs]
    return tf.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), nodes)


def _tensors(graph: Any, tensors: Tuple[Tensor, ...]) -> List[Any]:
    return [graph.get_tensor_by_name(tensor.tensor) for tensor in tensors]


def _attribute(module: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), module)
