"""What three rules share that make one of TensorFlow's own fused operations of a convolution and what is before it.

FusedPadConv2D and FusedResizeAndPadConv2D never write the resized or padded image to memory. They exist in TensorFlow
on CPUs alone: neither TFLite nor TensorFlow.js has them. They know neither dilations, nor channels first, nor borders
of zeros (tensorflow/core/ops/nn_ops.cc).
"""

from typing import Dict

from modelmill_worker.graph_def import NodeDef, attribute

from modelmill_rewriter.rules_api import YES, Attribute, Dtype, Match, Tensor, Verdict, no

_INT32 = 3
_TYPES = ("float16", "float32", "float64")


def check_convolution(match: Match) -> Verdict:
    """Whether a fused operation can do what the match's `conv` does."""
    node = match.node("conv")
    if attribute(node, "data_format").s not in (b"", b"NHWC"):
        return no("it has its channels first")
    if any(size != 1 for size in attribute(node, "dilations").list.i):
        return no("it has dilations")
    if attribute(node, "padding").s not in (b"SAME", b"VALID"):
        return no("it has explicit paddings")
    if match.dtype is None or match.dtype.name not in _TYPES:
        return no("it computes {}".format(match.dtype.name if match.dtype else "no type"))
    return YES


def check_paddings(match: Match) -> Verdict:
    """Whether the fused operation can read the paddings."""
    return YES if match.graph.dtype(match["paddings"]) == _INT32 else no("its paddings are not of type int32")


def check_resize(match: Match) -> Verdict:
    """Whether a fused operation can do what the match's `resize` does."""
    node = match.node("resize")
    if attribute(node, "half_pixel_centers").b:
        return no("{} resizes by half pixels".format(node.name))
    if match.graph.dtype(match["x"]) != match.graph.dtype(Tensor(match.root)):
        return no("{} reads another type than the convolution".format(node.name))
    return YES


def attributes_of(match: Match) -> Dict[str, Attribute]:
    """Those that every fused operation takes from the convolution."""
    node: NodeDef = match.node("conv")
    return {
        "T": Dtype(match.graph.dtype(Tensor(match.root))),
        "padding": bytes(attribute(node, "padding").s),
        "strides": tuple(int(size) for size in attribute(node, "strides").list.i),
    }
