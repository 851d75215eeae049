"""Runs one conversion with the version of TensorFlow that is there."""

import contextlib

from modelmill_tflite_quantizer import toco_process
from modelmill_tflite_quantizer.function_conversion import convert_functions
from modelmill_tflite_quantizer.generations import Generation
from modelmill_tflite_quantizer.graph_conversion import convert_graph
from modelmill_tflite_quantizer.request import TOCO, Converted, Request
from modelmill_tflite_quantizer.sources import KerasModel, SavedModel


def run(request: Request, generation: Generation) -> Converted:
    """Convert, by the API and with the converter that the request and the generation say.

    What converters raise has no common base: ConverterError derives from Exception, an unknown operation is
    a NotFoundError, a shape that does not fit a ValueError.
    """
    with contextlib.ExitStack() as stack:
        if generation.command:
            stack.enter_context(toco_process.in_this_process(generation.module, generation.command))
        if request.converter == TOCO and request.apart:
            stack.enter_context(toco_process.apart(generation.module, generation.native))
        convert = convert_functions if _made_of_functions(request, generation) else convert_graph
        return convert(request, generation)


def api_of(request: Request, generation: Generation) -> str:
    """The API that `run` takes, as people write it: "tf.lite.TFLiteConverter"."""
    return "tf.lite.TFLiteConverter" if _made_of_functions(request, generation) else "tf." + generation.api


def _made_of_functions(request: Request, generation: Generation) -> bool:
    source = request.source
    if isinstance(source, KerasModel):
        return generation.since >= (2, 0)
    return isinstance(source, SavedModel) and source.functions
