"""TensorFlow's operations that resize or mirror an image and convolve it in one step, block by block.

FusedPadConv2D and FusedResizeAndPadConv2D give what MirrorPad (and ResizeBilinear before it) and Conv2D give one after
the other, without the memory for what lies between (tensorflow/core/ops/nn_ops.cc). Only TensorFlow itself has them,
and it has no gradients for them. They compute the first image of a batch rightly, and others wrongly: as measured in
TensorFlow 1.15 and 2.15, where the Graph Transform Tool fuses them all the same.
"""

from typing import Dict

from modelmill_worker import tensors
from modelmill_worker.graph_def import NodeDef, attribute

from modelmill_rewriter.rules.folding import _about_linear as about
from modelmill_rewriter.rules_api import YES, Attribute, Dtype, Match, Pattern, Verdict, no, op, value

#: The targets that are run by something else than TensorFlow.
_WITHOUT = ("tflite", "tfjs", "edgetpu")
_INT32 = tensors.data_type_named("int32")
_DTYPES = ("float16", "float32", "float64")


def convolved(source: Pattern) -> Pattern:
    """A convolution, as `match.node("conv")`, with the filter `w`."""
    return op("Conv2D", source, value("w"), name="conv")


def mirrored(source: Pattern) -> Pattern:
    """A MirrorPad, as `match.node("pad")`, by `paddings`."""
    return op("MirrorPad", source, value("paddings"), name="pad")


def resized(source: Pattern) -> Pattern:
    """A ResizeBilinear, as `match.node("resize")`, to `size`."""
    return op("ResizeBilinear", source, value("size"), name="resize")


def check(match: Match) -> Verdict:
    """Whether the fused operation is there, and gives out what the single ones do."""
    if match.target.name in _WITHOUT:
        return no("nothing but TensorFlow has an operation for both, and the target is {}".format(match.target.name))
    dtype = match.dtype
    if dtype is None or dtype.name not in _DTYPES:
        return no("it computes {}, which no fused convolution does".format(dtype.name if dtype else "no known type"))
    unsaid = _unsaid(match)
    if unsaid:
        return no("{}, which no fused convolution can say".format(unsaid))
    if "resize" in match and match.dtype_of("x") != match.dtype:
        return no("{} reads another type of image than it gives out".format(match.node("resize").name))
    image = match.shape("x")
    if not image or image[0] != 1:
        return no(
            "TensorFlow's fused convolutions compute the first image of a batch only; "
            "say with fix_input_shapes(batch=1) that there is one"
        )
    return YES


def attributes(match: Match) -> Dict[str, Attribute]:
    """Those of the convolution that the fused one has as well."""
    conv, dtype = match.node("conv"), match.dtype
    assert dtype is not None
    return {
        "T": Dtype(dtype.number),
        "strides": tuple(attribute(conv, "strides").list.i),
        "padding": bytes(attribute(conv, "padding").s),
    }


def aligns_corners(node: NodeDef) -> bool:
    """Whether a ResizeBilinear lays the corners of the images on each other."""
    return bool(attribute(node, "align_corners").b)


def _unsaid(match: Match) -> str:
    """What the single operations say and the fused one has no attribute for; empty where it can say all."""
    conv = match.node("conv")
    if about.is_channels_first(conv):
        return "its channels come first"
    if any(rate != 1 for rate in attribute(conv, "dilations").list.i):
        return "it is dilated"
    if attribute(conv, "padding").s == b"EXPLICIT":
        return "its padding is explicit"
    if "paddings" in match and match.dtype_of("paddings") != _INT32:
        return "its paddings are not of type int32"
    if "resize" in match and attribute(match.node("resize"), "half_pixel_centers").b:
        return "{} has half_pixel_centers".format(match.node("resize").name)
    return ""
