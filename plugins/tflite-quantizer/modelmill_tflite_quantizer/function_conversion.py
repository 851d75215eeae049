"""Drives TensorFlow 2's own API: SavedModels and Keras models as functions.

A signature or a model is wrapped in a function of our own, whose arguments have the wanted shapes and whose results are
named; so each end of the .tflite is known by its place. ``from_saved_model`` keeps more of a model (its tables, say)
and names the ends in the file itself; it serves where no shape is to be fixed.
"""

import re
from typing import Any, Callable, Dict, List, Tuple

from modelmill_worker import keras_names
from modelmill_worker.signature import Tensor

from modelmill_tflite_quantizer.generations import Generation
from modelmill_tflite_quantizer.graph_conversion import configure
from modelmill_tflite_quantizer.request import MLIR, Converted, Request
from modelmill_tflite_quantizer.sources import KerasModel, SavedModel


def convert_functions(request: Request, generation: Generation) -> Converted:
    """Convert a SavedModel of functions or a Keras model."""
    import tensorflow as tf

    source = request.source
    signature = request.signature
    names = tuple(tensor.name for tensor in signature.inputs), tuple(tensor.name for tensor in signature.outputs)
    if isinstance(source, SavedModel):
        unchanged = signature.inputs == source.signature.inputs
        if unchanged and generation.own_signature and request.converter == MLIR:
            converter = tf.lite.TFLiteConverter.from_saved_model(
                str(source.folder), signature_keys=[source.key], tags=set(source.tags)
            )
            configure(converter, request, generation)
            return Converted(bytes(converter.convert()), *names, by_array=False, input_order=(), output_order=())
        loaded = tf.saved_model.load(str(source.folder), tags=list(source.tags))
        call = _call_of_signature(loaded.signatures[source.key], signature.inputs)
    else:
        assert isinstance(source, KerasModel)
        call = _call_of_model(source.model)
    arguments = _identifiers(names[0])
    results = _identifiers(names[1])
    function = _function(call, signature.inputs, arguments, names[1], results)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    configure(converter, request, generation)
    return Converted(
        content=bytes(converter.convert()),
        inputs=arguments,
        outputs=results,
        by_array=False,
        input_order=tuple(range(len(arguments))),
        # A function gives a dictionary in the order of its keys.
        output_order=tuple(sorted(range(len(results)), key=results.__getitem__)),
    )


#: Outputs by the signature's names, of inputs in its order.
_Call = Callable[[Tuple[Any, ...]], Dict[str, Any]]


def _call_of_signature(function: Any, inputs: Tuple[Tensor, ...]) -> _Call:
    def call(values: Tuple[Any, ...]) -> Dict[str, Any]:
        outputs: Dict[str, Any] = function(**{tensor.name: value for tensor, value in zip(inputs, values)})
        return outputs

    return call


def _call_of_model(model: Any) -> _Call:
    import tensorflow as tf

    names = keras_names.output_names(model)

    def call(values: Tuple[Any, ...]) -> Dict[str, Any]:
        outputs = model(list(values) if len(values) > 1 else values[0], training=False)
        return dict(zip(names, tf.nest.flatten(outputs)))

    return call


def _function(
    call: _Call,
    inputs: Tuple[Tensor, ...],
    arguments: Tuple[str, ...],
    outputs: Tuple[str, ...],
    results: Tuple[str, ...],
) -> Any:
    import tensorflow as tf

    specs = [
        tf.TensorSpec([None if size == -1 else size for size in tensor.shape or ()], tensor.dtype, name=argument)
        for tensor, argument in zip(inputs, arguments)
    ]

    def compute(*values: Any) -> Dict[str, Any]:
        found = call(values)
        return {result: tf.identity(found[output]) for output, result in zip(outputs, results)}

    return tf.function(compute, input_signature=specs, autograph=False).get_concrete_function()


def _identifiers(names: Tuple[str, ...]) -> Tuple[str, ...]:
    """A different identifier for each name: itself where it is one."""
    found: List[str] = []
    for name in names:
        identifier = re.sub(r"\W", "_", name)
        if not re.match(r"[A-Za-z]", identifier):
            identifier = "x" + identifier
        while identifier in found:
            identifier += "_"
        found.append(identifier)
    return tuple(found)
