"""A border of zeros before a convolution, into the convolution's own.

    conv(Pad(x, p), w, VALID) -> conv(x, w, SAME)

where SAME adds just that border. At a stride of 1 that depends on the filter alone; at a larger one on the size of the
image too, which must be known: SAME adds max((ceil(size / stride) - 1) stride + extent - size, 0) in all, the smaller
half first (tensorflow/core/framework/kernel_shape_util.cc). So do Keras' ZeroPadding2D layers before strided
convolutions, for even sizes. conv is Conv2D or DepthwiseConv2dNative.
"""

from dataclasses import dataclass
from typing import ClassVar, List, Optional, Tuple

import numpy as np
from modelmill_worker.graph_def import attribute

from modelmill_rewriter.rules_api import YES, Builder, Match, Pattern, Rule, Tensor, Verdict, either, no, op, value


@dataclass(frozen=True)
class FoldPaddings(Rule):
    """The convolution adds the border itself."""

    name: ClassVar[str] = "fold_paddings"
    summary: ClassVar[str] = "Lets convolutions add the border of zeros that a Pad before them adds."

    def pattern(self) -> Pattern:
        """A border of zeros, whichever way it is spelt."""
        x, paddings = value("x"), value("paddings")
        padded = either(op("Pad", x, paddings, name="pad"), op("PadV2", x, paddings, 0, name="pad"))
        return op(("Conv2D", "DepthwiseConv2dNative"), padded, value("w"), name="conv")

    def check(self, match: Match) -> Verdict:
        """The convolution must add no border yet, and SAME must add the one that is there."""
        node = match.node("conv")
        if attribute(node, "padding").s != b"VALID":
            return no("it adds a border of its own to that of {}".format(match.node("pad").name))
        paddings, weights = match.constant("paddings"), match.shape("w")
        if paddings is None or weights is None or len(weights) != 4 or min(weights[:2]) < 1:
            return no("the border of {}, or the size of its filter, is not constant".format(match.node("pad").name))
        first = 2 if attribute(node, "data_format").s == b"NCHW" else 1
        border = paddings.tolist()
        if any(any(pair) for axis, pair in enumerate(border) if axis not in (first, first + 1)):
            return no("{} adds to the batch or the channels".format(match.node("pad").name))
        same = _same(match, first, weights)
        if same is None:
            return no("how large the image is, is not known, on which the border of SAME depends")
        if border[first : first + 2] != same:
            return no("its border is {}, and SAME would add {}".format(border[first : first + 2], same))
        return YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The convolution over x itself."""
        return make.like(match.node("conv"), match["x"], match["w"], attributes={"padding": b"SAME"})


def _same(match: Match, first: int, weights: Tuple[int, ...]) -> Optional[List[List[int]]]:
    """What SAME adds before and behind, down and across; None where the image's size decides and is not known."""
    node, shape = match.node("conv"), match.shape("x")
    strides = [int(size) for size in attribute(node, "strides").list.i]
    dilations = [int(size) for size in attribute(node, "dilations").list.i] or [1, 1, 1, 1]
    found = []
    for axis, size in zip((first, first + 1), weights):
        extent = (size - 1) * dilations[axis] + 1
        image = shape[axis] if shape is not None and len(shape) == 4 else -1
        if strides[axis] == 1:
            total = extent - 1
        elif image < 0:
            return None
        else:
            total = max((int(np.ceil(image / strides[axis])) - 1) * strides[axis] + extent - image, 0)
        found.append([total // 2, total - total // 2])
    return found
