"""The edge ``convert``: from a frozen graph to ``model.tflite`` and its signature."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from modelmill_worker import Step, StepError, option
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor

from modelmill_tflite_quantizer import tflite_file
from modelmill_tflite_quantizer.generations import Generation, generation_of
from modelmill_tflite_quantizer.refusals import conversion_refused, outputs_lost
from modelmill_tflite_quantizer.request import Request

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
EXPECTED_ERROR = {"float": 1e-4, "dynamic_range": 0.25}


@dataclass(frozen=True)
class Conversion:
    """Options of the edge ``convert``."""

    quantization: str = option(
        "float",
        "float keeps float32; dynamic_range stores weights as int8 and is about a quarter of the size.",
        choices=("float", "dynamic_range"),
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


def convert(step: Step) -> Dict[str, Any]:
    """Write ``model.tflite`` and ``signature.json``; tell the operators, the size and what converted."""
    import tensorflow as tf

    model = step.inputs["model"].path
    generation = generation_of(tf.__version__)
    signature = shape_inputs(signatures.read(model), step.options.input_shapes, generation)
    request = _request(model, signature, step.options)

    step.progress(0.1, "converting with {}".format(generation.engine))
    content = _run(generation, request)

    step.progress(0.9, "writing")
    flatbuffer = tflite_file.read(content)
    converted = _signature_of(flatbuffer, signature).costing(EXPECTED_ERROR[step.options.quantization])
    (step.output / MODEL).write_bytes(content)
    signatures.write(step.output, converted)
    return {
        "converter": generation.engine,
        "tensorflow": tf.__version__,
        "quantization": step.options.quantization,
        "size": len(content),
        "operators": dict(Counter(flatbuffer.operators)),
    }


def shape_inputs(signature: Signature, shapes: Dict[str, Tuple[int, ...]], generation: Generation) -> Signature:
    """The signature with the wanted shapes filled in.

    A generation that needs static shapes gets a batch of 1 where the batch is unknown, as its converter would choose.

    Raises StepError INVALID_OPTION where a wanted shape does not fit, DYNAMIC_SHAPE where a dimension stays
    unknown that this generation must know.
    """
    known = [tensor.name for tensor in signature.inputs]
    for name, shape in shapes.items():
        if name not in known:
            raise _invalid_shape(name, shape, "the model has no such input; its inputs are " + ", ".join(known))
    inputs = tuple(_shape_input(tensor, shapes.get(tensor.name), generation) for tensor in signature.inputs)
    return replace(signature, inputs=inputs)


def _shape_input(tensor: Tensor, wanted: Optional[Tuple[int, ...]], generation: Generation) -> Tensor:
    shape = tensor.shape
    if wanted is not None:
        if shape is not None and not _fits(wanted, shape):
            raise _invalid_shape(tensor.name, wanted, "the model's input has shape {}".format(list(shape)))
        shape = wanted
    if shape is not None and not generation.dynamic_shapes and shape[:1] == (-1,):
        shape = (1,) + shape[1:]
    if shape is None or (-1 in shape and not generation.dynamic_shapes):
        raise _dynamic_shape(tensor.name, shape, generation)
    return replace(tensor, shape=shape)


def _fits(wanted: Tuple[int, ...], shape: Tuple[int, ...]) -> bool:
    return len(wanted) == len(shape) and all(known in (-1, size) for known, size in zip(shape, wanted))


def _invalid_shape(name: str, shape: Tuple[int, ...], why: str) -> StepError:
    return StepError(
        "INVALID_OPTION",
        "The option input_shapes cannot give {} the shape {}: {}.".format(name, list(shape), why),
        {"option": "input_shapes", "input": name, "value": list(shape)},
    )


def _dynamic_shape(name: str, shape: Optional[Tuple[int, ...]], generation: Generation) -> StepError:
    """What to do about an input with unknown dimensions; a newer converter needs its rank only."""
    shown = "unknown rank" if shape is None else "the shape {}".format(list(shape))
    example = [1, 64, 64, 3] if shape is None else [64 if size == -1 else size for size in shape]
    other_way = "" if shape is None else ", or convert with TensorFlow 2.2 or newer"
    return StepError(
        "DYNAMIC_SHAPE",
        "The input {} has {}, which the converter {} cannot take. Fix it with the option input_shapes, "
        "such as {}{}.".format(name, shown, generation.engine, json.dumps({name: example}), other_way),
        {"input": name, "shape": None if shape is None else list(shape), "option": "input_shapes"},
    )


def _request(model: Path, signature: Signature, options: Conversion) -> Request:
    return Request(
        graph=model / "graph.pb",
        input_arrays=tuple(_array(tensor.tensor) for tensor in signature.inputs),
        output_arrays=tuple(_array(tensor.tensor) for tensor in signature.outputs),
        input_shapes={
            _array(tensor.tensor): [None if size == -1 else size for size in tensor.shape]
            for tensor in signature.inputs
            if tensor.shape is not None
        },
        dynamic_range=options.quantization == "dynamic_range",
        allow_select_tf_ops=options.allow_select_tf_ops,
        allow_custom_ops=options.allow_custom_ops,
    )


def _array(tensor: str) -> str:
    """A tensor as the converters name it: without the number of the node's first output."""
    return tensor[:-2] if tensor.endswith(":0") else tensor


def _run(generation: Generation, request: Request) -> bytes:
    # What the converters raise has no common base: ConverterError derives from Exception,
    # an unknown operator is a NotFoundError, a shape that does not fit a ValueError.
    try:
        return generation.convert(request)
    except Exception as error:
        raise conversion_refused(error, request, generation.engine) from error


def _signature_of(flatbuffer: tflite_file.Flatbuffer, source: Signature) -> Signature:
    """The source's names with the .tflite's own tensors."""
    return replace(
        source,
        inputs=_rename(source.inputs, flatbuffer.inputs, "inputs"),
        outputs=_rename(source.outputs, flatbuffer.outputs, "outputs"),
    )


def _rename(wanted: Tuple[Tensor, ...], found: Tuple[tflite_file.Tensor, ...], what: str) -> Tuple[Tensor, ...]:
    """The tensors found, under the names wanted.

    Converters keep the names of the arrays that they were given; where one does not (two outputs that are
    the same tensor, say), it keeps their order.
    """
    by_name = {tensor.name: tensor for tensor in found}
    arrays = [_array(tensor.tensor) for tensor in wanted]
    if all(array in by_name for array in arrays):
        matched = tuple(by_name[array] for array in arrays)
    elif len(found) == len(wanted):
        matched = found
    else:
        raise outputs_lost(what, arrays, [tensor.name for tensor in found])
    return tuple(
        Tensor(name=one.name, tensor=other.name, dtype=other.dtype, shape=other.shape)
        for one, other in zip(wanted, matched)
    )
