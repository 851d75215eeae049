"""Operations of convolutional networks, written with those that TFLite has.

    AdjustContrastv2(x, f)        (x - mean) f + mean, the mean over height and width
    BatchToSpace(x, crops)        BatchToSpaceND(x, [b, b], crops)
    BiasAddV1(x, bias)            BiasAdd(x, bias)
    ExtractImagePatches(x)        Conv2D(x, w), where each filter picks one element
    FusedBatchNormV2              FusedBatchNorm, of float32 and in inference
    MaxPoolV2(x, size, strides)   MaxPool(x)
    MaxPoolWithArgmax(x)          MaxPool(x), where the positions are not used
    SpaceToBatch(x, paddings)     SpaceToBatchND(x, [b, b], paddings)

An infinite element of an image makes the patches around it NaN.
"""

from typing import Dict

import numpy as np

from modelmill_rewriter.rules.versions._about_builtin_forms import FLOAT, INT32, Form, Use, form, is_constant
from modelmill_rewriter.rules_api import Attribute, Builder, Tensor

FORMS: Dict[str, Form] = {}

#: More weights are not made of what has none.
_MOST_PICKED = 2**20
_TOO_LARGE = "its patches have {} elements, and the filters that pick them would be too large"


def _against_layout(use: Use) -> str:
    data_format = use.text_attribute("data_format")
    return "" if data_format in ("", "NHWC") else "its data format is {}".format(data_format)


@form(FORMS, "BiasAddV1", builtin_since=(2, 3), needs=(1, 5))
def _bias(use: Use, make: Builder) -> Tensor:
    return make.node("BiasAdd", *use.inputs)


def _against_sizes(use: Use) -> str:
    return _against_layout(use) or is_constant(1, 2)(use)


@form(FORMS, "MaxPoolV2", needs=(1, 5), why_not=_against_sizes)
def _pooled(use: Use, make: Builder) -> Tensor:
    attributes: Dict[str, Attribute] = {"ksize": tuple(use.numbers(1)), "strides": tuple(use.numbers(2))}
    return make.node("MaxPool", use.inputs[0], attributes={"T": FLOAT, "padding": _padding(use), **attributes})


@form(FORMS, "MaxPoolWithArgmax", needs=(1, 5))
def _pooled_without_positions(use: Use, make: Builder) -> Tensor:
    attributes: Dict[str, Attribute] = {key: tuple(use.list_attribute(key)) for key in ("ksize", "strides")}
    return make.node("MaxPool", use.inputs[0], attributes={"T": FLOAT, "padding": _padding(use), **attributes})


def _padding(use: Use) -> bytes:
    return use.text_attribute("padding").encode("ascii")


def _against_training(use: Use) -> str:
    training = "is_training" not in use.node.attr or use.node.attr["is_training"].b
    return "it normalises over the batch, as in training" if training else ""


@form(FORMS, "FusedBatchNormV2", needs=(1, 9), why_not=_against_training)
def _normalised(use: Use, make: Builder) -> Tensor:
    attributes: Dict[str, Attribute] = {
        "T": FLOAT,
        "epsilon": use.float_attribute("epsilon", 1e-4),
        "data_format": (use.text_attribute("data_format") or "NHWC").encode("ascii"),
        "is_training": False,
    }
    return make.node("FusedBatchNorm", *use.inputs, attributes=attributes)


def _against_rank(use: Use) -> str:
    return "its rank is not known" if use.shape() is None else ""


@form(FORMS, "AdjustContrastv2", needs=(1, 6), why_not=_against_rank)
def _contrasted(use: Use, make: Builder) -> Tensor:
    x, factor = use.inputs
    rank = len(use.shape() or ())
    axes = make.constant("axes", np.array([rank - 3, rank - 2], np.int32), "int32")
    attributes: Dict[str, Attribute] = {"T": FLOAT, "Tidx": INT32, "keep_dims": True}
    mean = make.node("Mean", x, axes, attributes=attributes)
    kind: Dict[str, Attribute] = {"T": FLOAT}
    scaled = make.node("Mul", make.node("Sub", x, mean, attributes=kind), factor, attributes=kind)
    return make.node("Add", scaled, mean, attributes=kind)


@form(FORMS, "SpaceToBatch", needs=(1, 6), why_not=is_constant(1))
@form(FORMS, "BatchToSpace", builtin_since=(2, 5), needs=(1, 9), why_not=is_constant(1))
def _blocks(use: Use, make: Builder) -> Tensor:
    size = int(use.node.attr["block_size"].i)
    x = use.inputs[0]
    others = {"SpaceToBatch": "Tpaddings", "BatchToSpace": "Tcrops"}[use.node.op]
    values = make.constant("edges", np.array(use.numbers(1), np.int32).reshape(2, 2), "int32")
    block = make.constant("block", np.array([size, size], np.int32), "int32")
    attributes: Dict[str, Attribute] = {"T": FLOAT, "Tblock_shape": INT32, others: INT32}
    return make.node(use.node.op + "ND", x, block, values, attributes=attributes)


def _against_patches(use: Use) -> str:
    shape = use.shape()
    if shape is None or shape[-1] == -1:
        return "the number of channels is not known"
    _, height, width, _ = use.list_attribute("ksizes")
    size = height * width * shape[-1]
    return _TOO_LARGE.format(size) if size * size > _MOST_PICKED else ""


@form(FORMS, "ExtractImagePatches", needs=(1, 5), why_not=_against_patches)
def _patches(use: Use, make: Builder) -> Tensor:
    _, height, width, _ = use.list_attribute("ksizes")
    channels = (use.shape() or ())[-1]
    size = height * width * channels
    filters = np.eye(size, dtype=np.float32).reshape(height, width, channels, size)
    attributes: Dict[str, Attribute] = {
        "T": FLOAT,
        "strides": tuple(use.list_attribute("strides")),
        "dilations": tuple(use.list_attribute("rates")),
        "padding": _padding(use),
    }
    return make.node("Conv2D", use.inputs[0], make.constant("filters", filters), attributes=attributes)
