"""Whether a version of TensorFlow can do what is asked, before anything is converted."""

from typing import List, Tuple

from modelmill_worker import StepError

from modelmill_tflite_quantizer.generations import GENERATIONS, Generation
from modelmill_tflite_quantizer.request import QAT_UINT8, TOCO


def choose_converter(generation: Generation, asked: str, quantization: str) -> str:
    """The converter for the options `converter` and `quantization`; only TOCO makes uint8 of trained ranges.

    Raises StepError CONVERTER_NOT_AVAILABLE where this version does not have it, INVALID_OPTION where
    it cannot quantise like that.
    """
    if asked == "auto":
        return TOCO if quantization == QAT_UINT8 else generation.converters[0]
    if asked not in generation.converters:
        having = _versions([row for row in GENERATIONS if asked in row.converters])
        raise StepError(
            "CONVERTER_NOT_AVAILABLE",
            "{} has no converter {}; {} has it. Convert with such a version, or set the option converter to "
            "auto.".format(generation, asked.upper(), having),
            {"converter": asked, "converters": list(generation.converters), "option": "converter"},
        )
    if quantization == QAT_UINT8 and asked != TOCO:
        raise StepError(
            "INVALID_OPTION",
            "Only TOCO makes a uint8 model of the ranges that were trained. Leave the option converter at auto.",
            {"option": "converter", "value": asked, "quantization": quantization},
        )
    return asked


def check_source(generation: Generation, source: str) -> None:
    """Raises StepError SOURCE_NOT_AVAILABLE where this version does not convert such a model."""
    if source not in generation.sources:
        having = _versions([row for row in GENERATIONS if source in row.sources])
        raise StepError(
            "SOURCE_NOT_AVAILABLE",
            "{} does not convert {}. Convert with {}.".format(generation, source, having),
            {"source": source},
        )


def check_quantization(generation: Generation, quantization: str) -> None:
    """Raises StepError QUANTIZATION_NOT_AVAILABLE where this version does not quantise like that."""
    if quantization not in generation.quantizations:
        having = _versions([row for row in GENERATIONS if quantization in row.quantizations])
        raise StepError(
            "QUANTIZATION_NOT_AVAILABLE",
            "{} cannot quantise as {}. Convert with {}, or with one of these quantizations: {}.".format(
                generation, quantization, having, ", ".join(generation.quantizations)
            ),
            {"quantization": quantization, "quantizations": list(generation.quantizations), "option": "quantization"},
        )


def check_select_ops(generation: Generation) -> None:
    """Raises StepError OPTION_NOT_AVAILABLE where this version cannot keep TensorFlow's operators in a .tflite."""
    if generation.select_ops_switch:
        return
    option = "allow_select_tf_ops"
    having = [row for row in GENERATIONS if row.select_ops_switch]
    raise StepError(
        "OPTION_NOT_AVAILABLE",
        "{} does not have the option {}. Convert with {}, or without it.".format(generation, option, _versions(having)),
        {"option": option},
    )


def _versions(rows: List[Generation]) -> str:
    """The versions of some rows in words, such as "TensorFlow 1.15 to below 2.18"; rows come in order."""
    spans: List[Tuple[Tuple[int, int], Tuple[int, int]]] = []
    for row in rows:
        if spans and spans[-1][1] == row.since:
            spans[-1] = (spans[-1][0], row.until)
        else:
            spans.append((row.since, row.until))
    return "TensorFlow " + " or ".join("{}.{} to below {}.{}".format(*(since + until)) for since, until in spans)
