"""A border of zeros, into the padding of the convolution that reads it.

    conv(Pad(x, paddings), w; VALID)                   ->  conv(x, w; SAME)            where SAME pads as much
    conv(Pad(x, paddings), w; VALID or EXPLICIT more)  ->  conv(x, w; EXPLICIT paddings + more)     by `explicit=true`

for Conv2D, Conv3D and DepthwiseConv2dNative; PadV2 as well where it pads with zeros. SAME pads, of `needed` =
max((ceil(size / stride) - 1) stride + (filter - 1) dilation + 1 - size, 0) rows, needed // 2 before and the rest after
(https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2). It is the same where so many rows are padded
before, and as many results come out; zeros behind the last window are read by nobody. With strides of 1 that holds for
images of any size, else the size must be known. The same products are summed.

EXPLICIT is for Conv2D since TensorFlow 1.14 and for DepthwiseConv2dNative since 2.4, and has to be asked for: some
converters make a Pad of it again, and others do not know it.
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules.folding import _about_linear as about
from modelmill_rewriter.rules_api import (
    YES,
    Attribute,
    Builder,
    Match,
    Pattern,
    Rule,
    Tensor,
    Verdict,
    argument,
    either,
    no,
    op,
    value,
)

#: The first TensorFlow that pads an operation explicitly; others never do.
_EXPLICIT_SINCE = {"Conv2D": (1, 14), "DepthwiseConv2dNative": (2, 4)}


@dataclass(frozen=True)
class FoldPaddings(Rule):
    """A convolution pads what it reads itself.

    A Pad that something else reads as well stays for that.
    """

    name: ClassVar[str] = "fold_paddings"
    summary: ClassVar[str] = "Makes Pads of zeros part of the convolutions behind them."
    may_share: ClassVar[bool] = True

    explicit: bool = argument(False, "Also write explicit paddings, where SAME does not pad as much.")

    def pattern(self) -> Pattern:
        """A convolution of a padded image."""
        x, paddings = value("x"), value("paddings")
        padded = either(
            op("Pad", x, paddings, name="pad"),
            op("PadV2", x, paddings, value("fill"), name="pad"),
        )
        return op(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), padded, value("w"), name="conv")

    def check(self, match: Match) -> Verdict:
        """The border must be of zeros and constant, and the convolution able to pad as much."""
        pad = match.node("pad")
        fill = match.constant("fill") if "fill" in match else np.zeros(())
        if fill is None or np.any(fill != 0):
            return no("{} pads with something else than zeros".format(pad.name))
        paddings = match.constant("paddings")
        if paddings is None:
            return no("how much {} pads is not constant".format(pad.name))
        across = _across(match.node("conv"))
        if any(np.any(pair) for axis, pair in enumerate(paddings) if axis not in across):
            return no("{} pads the batch or the channels".format(pad.name))
        if np.any(paddings < 0):
            return no("{} pads less than nothing".format(pad.name))
        if _is_same(match, paddings):
            return YES
        return self._check_explicit(match)

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """The convolution over what was padded."""
        paddings = match.constant("paddings")
        assert paddings is not None
        attributes: Dict[str, Attribute] = {"padding": b"SAME"}
        if not _is_same(match, paddings):
            more = _explicit(match.node("conv"))
            total = [int(size) + extra for size, extra in zip(paddings.ravel(), more)]
            attributes = {"padding": b"EXPLICIT", "explicit_paddings": tuple(total)}
        return make.like(match.node("conv"), match["x"], match["w"], attributes=attributes)

    def _check_explicit(self, match: Match) -> Verdict:
        node = match.node("conv")
        if not self.explicit:
            return no("SAME does not pad as {} does, or the image's size is not known".format(match.node("pad").name))
        since = _EXPLICIT_SINCE.get(node.op)
        if since is None:
            return no("{} knows no explicit paddings".format(node.op))
        if match.target.is_converted_before(*since):
            return no("TensorFlow before {}.{} knows no explicit paddings of {}".format(*since, node.op))
        if node.attr["padding"].s == b"SAME":
            return no("it pads by SAME itself, as much as it takes for the padded image")
        return YES


def _across(node: NodeDef) -> Tuple[int, ...]:
    """The axes of an image over which a convolution moves."""
    count = 3 if node.op == "Conv3D" else 2
    first = 2 if about.is_channels_first(node) else 1
    return tuple(range(first, first + count))


def _explicit(node: NodeDef) -> List[int]:
    """What a convolution that is not SAME pads, before and after each axis."""
    return list(node.attr["explicit_paddings"].list.i) if node.attr["padding"].s == b"EXPLICIT" else [0] * 8


class _Axis(NamedTuple):
    """What a convolution does along an axis. size: of the image; -1 where that is not known."""

    size: int
    reach: int
    stride: int

    def same(self) -> Optional[int]:
        """What SAME pads before the image; None where that depends on a size that is not known."""
        if self.stride == 1:
            return (self.reach - 1) // 2
        if self.size < 0:
            return None
        return max((-(-self.size // self.stride) - 1) * self.stride + self.reach - self.size, 0) // 2

    def gives_as_many(self, padded: int) -> bool:
        """Whether as many results come out of an image with so many rows of padding as SAME gives."""
        if self.stride == 1:
            return padded == self.reach - 1
        return (self.size + padded - self.reach) // self.stride + 1 == -(-self.size // self.stride)


def _is_same(match: Match, paddings: np.ndarray) -> bool:
    node, filter_, image = match.node("conv"), match.shape("w"), match.shape("x")
    if node.attr["padding"].s != b"VALID" or filter_ is None:
        return False
    for position, axis in enumerate(_across(node)):
        size = -1 if image is None else image[axis]
        rate = node.attr["dilations"].list.i[axis] if "dilations" in node.attr else 1
        if filter_[position] < 1:
            return False
        along = _Axis(size, (filter_[position] - 1) * rate + 1, node.attr["strides"].list.i[axis])
        before, after = (int(number) for number in paddings[axis])
        if along.same() != before or not along.gives_as_many(before + after):
            return False
    return True
