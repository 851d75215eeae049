"""The edges: each from one kind of model to ``model.tflite`` and its signature."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Dict, Optional, Tuple

from modelmill_worker import Step, StepError, keras_models, lookup_tables, option, unfrozen_variables, weights_beside
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

from modelmill_tflite_quantizer import availability, ends, engine, generations, saved_models, tflite_file
from modelmill_tflite_quantizer.generations import Generation, generation_of, takes_dynamic_shapes
from modelmill_tflite_quantizer.refusals import conversion_refused, refuse_custom_operators
from modelmill_tflite_quantizer.request import DYNAMIC_RANGE, FLOAT, QAT_UINT8, Converted, Request
from modelmill_tflite_quantizer.sources import FrozenGraph, KerasModel, Source

MODEL = "model.tflite"

#: What a conversion may cost by nature: the largest error of an output, relative to that output's range.
#:
#: float: nothing is quantised; sums of float32 (24 bits of mantissa, 6e-8) are taken in another order and biases and
#:     batch normalisations are folded. The worst seen on MTCNN and PoseNet (31 layers) is 5e-6; 1e-4 leaves room for
#:     deeper nets and is far below any error that a wrong operator makes.
#: dynamic_range: a weight moves by up to half a step of 1/127 of its channel's largest, and so does an activation where
#:     a kernel computes in int8. The worst element seen is off by 0.10 on MTCNN and by 0.19 on PoseNet, whose cosine
#:     similarity is still 0.96. TOCO quantises depthwise layers in one piece: PoseNet is off by 0.7 then, with
#:     a cosine of 0.44, and must fail.
#: qat_uint8: the source rounds as the result does, where it was trained to, but in float32: a value near the middle of
#:     two steps falls on the other one, and the next layer sees it. A step is 1/255 of a trained range, of which the
#:     outputs may use a part only. One layer was off by two steps at most; ten steps of the range seen are allowed.
EXPECTED_ERROR = {FLOAT: 1e-4, DYNAMIC_RANGE: 0.25, QAT_UINT8: 0.04}


@dataclass(frozen=True)
class Conversion:
    """Options of the target ``tflite``, whichever edge makes it."""

    quantization: str = option(
        FLOAT,
        "float keeps float32; dynamic_range stores weights as int8 and is about a quarter of the size; qat_uint8 makes "
        "a full uint8 model of a graph that TensorFlow 1's quantisation-aware training gave its ranges.",
        choices=(FLOAT, DYNAMIC_RANGE, QAT_UINT8),
    )
    converter: str = option(
        "auto",
        "TensorFlow's converter: TOCO up to 2.17, MLIR from 1.15 on; auto takes the one that the version prefers.",
        choices=("auto", "toco", "mlir"),
    )
    allow_select_tf_ops: bool = option(
        False, "Keep what TFLite has no operator for as TensorFlow operators; the device then needs the Flex delegate."
    )
    allow_custom_ops: bool = option(
        False, "Keep what TFLite has no operator for as custom operators, which the application must bring."
    )
    input_shapes: Dict[str, Tuple[int, ...]] = option(  # noqa: RUF009 - it makes a field
        {}, "Shapes to fix, by input name; -1 leaves a dimension unknown."
    )
    input_stats: Dict[str, Tuple[float, ...]] = option(  # noqa: RUF009 - it makes a field
        {},
        "For qat_uint8, by input name: mean and standard deviation of the uint8 values, real = (value - mean) / "
        "deviation. Without it they follow from the fake quantisation that the input goes into.",
    )
    signature_key: str = option("", "A SavedModel's signature; serving_default, or the only one, where empty.")
    tags: Tuple[str, ...] = option((), "Tags of a SavedModel's graph; serve, or those of the first, where empty.")


def convert(step: Step) -> Dict[str, Any]:
    """The edge ``convert``: a frozen graph."""
    generation = _generation(step, generations.FROZEN_GRAPH)
    _refuse_saved_model_options(step)
    folder = step.inputs["model"].path
    signature = signatures.read(folder)
    weights_beside.refuse(folder, "a TFLite file", "Convert a part of it: choose outputs that need less of it.")
    lookup_tables.refuse(signature, "TFLite", "Convert the SavedModel itself, or put the lookup before the model.")
    unfrozen_variables.refuse(signature, "TFLite")
    return _convert(step, FrozenGraph(folder / "graph.pb", signature), generation)


def convert_saved_model(step: Step) -> Dict[str, Any]:
    """The edge ``convert-saved-model``."""
    _tell_version(step)
    source = saved_models.read(step.inputs["model"], step.options.signature_key, step.options.tags)
    kind = generations.SAVED_MODEL_OF_FUNCTIONS if source.functions else generations.SAVED_MODEL_OF_GRAPH
    return _convert(step, source, _generation(step, kind))


def convert_keras_h5(step: Step) -> Dict[str, Any]:
    """The edge ``convert-keras-h5``."""
    return _convert_keras(step, generations.KERAS_H5)


def convert_keras(step: Step) -> Dict[str, Any]:
    """The edge ``convert-keras``."""
    return _convert_keras(step, generations.KERAS_V3)


def _convert_keras(step: Step, kind: str) -> Dict[str, Any]:
    generation = _generation(step, kind)
    _refuse_saved_model_options(step)
    step.progress(0.05, "loading the Keras model")
    model = keras_models.load(step.inputs["model"], step.scratch)
    return _convert(step, KerasModel(model, keras_models.describe(model)), generation)


def _tell_version(step: Step) -> str:
    import tensorflow as tf

    version: str = tf.__version__
    step.progress(0.0, "TensorFlow {}".format(version))
    return version


def _generation(step: Step, source: str) -> Generation:
    """This TensorFlow's row of the table. Raises StepError where it cannot do what the options ask."""
    generation = generation_of(_tell_version(step))
    availability.check_source(generation, source)
    availability.check_quantization(generation, step.options.quantization)
    if step.options.allow_select_tf_ops:
        availability.check_select_ops(generation)
    return generation


def _refuse_saved_model_options(step: Step) -> None:
    for name in ("signature_key", "tags"):
        if getattr(step.options, name):
            raise StepError(
                "INVALID_OPTION",
                "The option {} is for SavedModels, and this is none. Leave it out.".format(name),
                {"option": name, "value": getattr(step.options, name)},
            )


def _convert(step: Step, source: Source, generation: Generation) -> Dict[str, Any]:
    """Write ``model.tflite`` and ``signature.json``; tell the operators, the size and what converted."""
    import tensorflow as tf

    chosen = availability.choose_converter(generation, step.options.converter, step.options.quantization)
    signature = shape_inputs(source.signature, step.options.input_shapes, generation, chosen)
    request = Request(
        source=source,
        signature=signature,
        quantization=step.options.quantization,
        converter=chosen,
        allow_select_tf_ops=step.options.allow_select_tf_ops,
        allow_custom_ops=step.options.allow_custom_ops,
        input_stats=step.options.input_stats,
    )
    step.progress(0.1, "converting with {}".format(chosen.upper()))
    converted = _run(request, generation)

    step.progress(0.9, "writing")
    flatbuffer = tflite_file.read(converted.content)
    refuse_custom_operators(flatbuffer.custom_operators, request)
    made = ends.signature_of(flatbuffer, signature, converted).costing(EXPECTED_ERROR[request.quantization])
    (step.output / MODEL).write_bytes(converted.content)
    signatures.write(step.output, made)
    return {
        "converter": chosen.upper(),
        "api": engine.api_of(request, generation),
        "tensorflow": tf.__version__,
        "quantization": request.quantization,
        "size": len(converted.content),
        "operators": dict(Counter(flatbuffer.operators)),
    }


def shape_inputs(
    signature: Signature, shapes: Dict[str, Tuple[int, ...]], generation: Generation, converter: str
) -> Signature:
    """The signature with the wanted shapes filled in.

    A converter that needs static shapes gets a batch of 1 where the batch is unknown, as it would choose itself.

    Raises StepError INVALID_OPTION where a wanted shape does not fit, DYNAMIC_SHAPE where a dimension stays
    unknown that this converter must know.
    """
    known = [tensor.name for tensor in signature.inputs]
    for name, shape in shapes.items():
        if name not in known:
            raise _invalid_shape(name, shape, "the model has no such input; its inputs are " + ", ".join(known))
    dynamic = takes_dynamic_shapes(generation, converter)
    inputs = tuple(_shape_input(tensor, shapes.get(tensor.name), dynamic, converter) for tensor in signature.inputs)
    return replace(signature, inputs=inputs)


def _shape_input(tensor: Tensor, wanted: Optional[Tuple[int, ...]], dynamic: bool, converter: str) -> Tensor:
    shape = tensor.shape
    if wanted is not None:
        if shape is not None and not _fits(wanted, shape):
            raise _invalid_shape(tensor.name, wanted, "the model's input has shape {}".format(list(shape)))
        shape = wanted
    if shape is not None and not dynamic and shape[:1] == (-1,):
        shape = (1,) + shape[1:]
    if shape is None or (-1 in shape and not dynamic):
        raise _dynamic_shape(tensor.name, shape, converter)
    return replace(tensor, shape=shape)


def _fits(wanted: Tuple[int, ...], shape: Tuple[int, ...]) -> bool:
    return len(wanted) == len(shape) and all(known in (-1, size) for known, size in zip(shape, wanted))


def _invalid_shape(name: str, shape: Tuple[int, ...], why: str) -> StepError:
    return StepError(
        "INVALID_OPTION",
        "The option input_shapes cannot give {} the shape {}: {}.".format(name, list(shape), why),
        {"option": "input_shapes", "input": name, "value": list(shape)},
    )


def _dynamic_shape(name: str, shape: Optional[Tuple[int, ...]], converter: str) -> StepError:
    """What to do about an input with unknown dimensions; a newer converter needs its rank only."""
    shown = "unknown rank" if shape is None else "the shape {}".format(list(shape))
    example = [1, 64, 64, 3] if shape is None else [64 if size == -1 else size for size in shape]
    other_way = "" if shape is None else ", or convert with TensorFlow 2.2 or newer and its MLIR converter"
    return StepError(
        "DYNAMIC_SHAPE",
        "The input {} has {}, which the converter {} cannot take. Fix it with the option input_shapes, "
        "such as {}{}.".format(name, shown, converter.upper(), json.dumps({name: example}), other_way),
        {"input": name, "shape": None if shape is None else list(shape), "option": "input_shapes"},
    )


def _run(request: Request, generation: Generation) -> Converted:
    try:
        return engine.run(request, generation)
    except StepError:
        raise
    except Exception as error:
        raise conversion_refused(error, request) from error
