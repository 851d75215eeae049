"""Layer normalisation in the spelling of the fewest operators, which every converter since 2018 has.

With m = mean(x), d = x - m, v = mean(squared_difference(x, m)) or mean(d * d) over the last axis:

    x * (rsqrt(v + e) * gamma) + (beta - m * (rsqrt(v + e) * gamma))         -> (d * r) * gamma + beta
    reshape(fused_batch_norm(reshape(x, [1, n, c, 1]), ones, zeros), ...)    -> d * r
    d * rsqrt(v + e), d / sqrt(v + e), where a TFLite lacks v                -> d * r

with r = rsqrt(mean(d * d) + e). The first is what tf.nn.batch_normalization and Keras write; gamma may be missing. The
second is Keras' way from 2.3 to 3: a batch normalisation while training (is_training) in NCHW, where what it takes for
channels are the n rows that are to be normalised. TFLite's converter refuses it up to 2.5 and makes fifteen operators
of it from then on; TensorFlow.js 4 exports it, divides by a variance that is empty, and gives out infinities.

No converter makes one operator of a layer normalisation. The result has nine operators, gamma and beta counted. TFLite
has SquaredDifference from 1.13 on, Square from 1.12 on, the others from 1.10 on. Over other axes than the last one the
first spelling is the better one, as its factors are small there.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

import numpy as np
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import (
    DONE,
    YES,
    Builder,
    Dtype,
    Match,
    Pattern,
    Rule,
    Tensor,
    Verdict,
    constant,
    either,
    no,
    op,
    value,
)


@dataclass(frozen=True)
class LayerNormalization(Rule):
    """Layer normalisation in nine operators that every converter has."""

    name: ClassVar[str] = "layer_normalization"
    summary: ClassVar[str] = "Spells layer normalisation in the fewest operators, without a batch normalisation."

    def pattern(self) -> Pattern:
        """By its two moments, or by a batch normalisation of its rows."""
        x = value("x")
        mean = op("Mean", x, value("axes"), where=_keeps_dimensions, name="mean")
        deviation = x - mean
        squares = either(
            op("SquaredDifference", x, mean, commutes=True, name="difference"),
            op("Square", deviation, name="square"),
            deviation * deviation,
        )
        variance = op("Mean", squares, value("other_axes"), where=_keeps_dimensions) + constant("epsilon", _is_number)
        inverse = op("Rsqrt", variance)
        scaled = either(op("Mul", inverse, value("gamma"), commutes=True, name="scaled"), inverse)
        flat = op("Reshape", x, value("flat_shape"), name="flat")
        normalised = op(
            _BATCH_NORMS, flat, _all(1), _all(0), value("m"), value("v"), where=_by_batch, name="batch_norm"
        )
        return either(
            op(("Add", "AddV2"), x * scaled, value("beta") - mean * scaled, commutes=True, name="shifted"),
            op("Reshape", normalised, value("shape")),
            op("Mul", deviation, inverse, commutes=True, name="core"),
            op(("RealDiv", "Div"), deviation, op("Sqrt", variance), name="core"),
        )

    def check(self, match: Match) -> Verdict:
        """Where the converter has what is written, and had more to do before."""
        if match.target.name not in ("", "tflite", "tfjs") or match.dtype is None or match.dtype.name != "float32":
            return DONE
        if "batch_norm" in match:
            reason = _why_not_rows(match)
            if reason:
                return no(reason)
        elif not _is_last(match, "axes") or not _is_last(match, "other_axes"):
            return DONE
        if "core" in match and not _lacks_the_squares(match):
            return DONE
        if match.target.name == "tflite" and match.target.is_converted_before(1, 10):
            return no("TFLite before 1.10 has no reciprocal square root")
        return YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """((x - mean) * rsqrt(variance + epsilon)) * gamma + beta."""
        x = match["x"]
        deviation = make.node("Sub", x, _mean(x, match, make))
        variance = _mean(make.node("Mul", deviation, deviation), match, make)
        epsilon = make.constant("epsilon", np.float32(_epsilon(match)))
        result = make.node("Mul", deviation, make.node("Rsqrt", make.node("Add", variance, epsilon)))
        if "shifted" not in match:
            return result
        if "scaled" in match:
            result = make.node("Mul", result, match["gamma"])
        return make.node("Add", result, match["beta"])


_BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def _lacks_the_squares(match: Match) -> bool:
    """Whether this TFLite has no operator for the squares of the differences."""
    if match.target.name != "tflite":
        return False
    since = {"difference": (1, 13), "square": (1, 12)}
    return any(name in match and match.target.is_converted_before(*version) for name, version in since.items())


def _keeps_dimensions(node: NodeDef) -> bool:
    return node.attr["keep_dims"].b


def _by_batch(node: NodeDef) -> bool:
    """Whether a batch normalisation takes mean and variance from what it normalises, for each row of NCHW."""
    trains = node.attr["is_training"].b if "is_training" in node.attr else True
    return trains and node.attr["data_format"].s == b"NCHW"


def _all(number: int) -> Pattern:
    """A constant, or as many of it as there are rows."""
    return either(
        constant("", lambda array: array.size > 0 and bool(np.all(array == number))),
        op("Fill", value("rows_{}".format(number)), number),
    )


def _is_number(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and array.size == 1


def _epsilon(match: Match) -> float:
    if "epsilon" in match:
        return float(match.constant("epsilon").reshape(()))
    attributes = match.node("batch_norm").attr
    return attributes["epsilon"].f if "epsilon" in attributes else 1e-4


def _is_last(match: Match, name: str) -> bool:
    """Whether a mean goes over the last axis alone."""
    axes, shape = match.constant(name), match.shape("x")
    return (
        axes is not None and axes.size == 1 and int(axes.reshape(())) in (-1, -1 if shape is None else len(shape) - 1)
    )


def _why_not_rows(match: Match) -> str:
    """Why what is normalised are not the rows of x along its last axis."""
    shape = match.shape("x")
    if not shape or shape[-1] < 1:
        return "the size of the last axis is not known"
    flat = match.graph.shape(Tensor(match.node("flat").name))
    if flat is None or len(flat) != 4 or (flat[0], flat[2], flat[3]) != (1, shape[-1], 1):
        return "what it normalises is not one row along the last axis"
    if not _goes_back(match, shape):
        return "the result has another shape than what it normalises"
    return ""


def _goes_back(match: Match, shape: Tuple[int, ...]) -> bool:
    """Whether the result is reshaped to the shape of x: by its Shape, or with one size open at most."""
    producer = match.graph.node(match["shape"].node)
    if producer.op == "Shape" and match.graph.seen_through(match.graph.data_inputs(producer.name)[0]) == match["x"]:
        return True
    result: Optional[Tuple[int, ...]] = match.graph.shape(Tensor(match.root))
    return result == shape and shape.count(-1) <= 1


def _mean(x: Tensor, match: Match, make: Builder) -> Tensor:
    """Over the last axis, which stays with the size 1."""
    assert match.dtype is not None
    attributes = {"T": Dtype(match.dtype.number), "Tidx": Dtype(_INT32), "keep_dims": True}
    return make.node("Mean", x, make.constant("last", np.array([-1]), "int32"), attributes=attributes)


_INT32 = 3
