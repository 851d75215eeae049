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
from modelmill_worker.graph_def import NodeDef, attribute

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
            return no(_why_not_same(match))
        since = _EXPLICIT_SINCE.get(node.op)
        if since is None:
            return no("{} knows no explicit paddings".format(node.op))
        if match.target.is_converted_before(*since):
            return no("TensorFlow before {}.{} knows no explicit paddings of {}".format(*since, node.op))
        if attribute(node, "padding").s == b"SAME":
            return no("it pads by SAME itself, as much as it takes for the padded image")
        return YES


def _across(node: NodeDef) -> Tuple[int, ...]:
    """The axes of an image over which a convolution moves."""
    count = 3 if node.op == "Conv3D" else 2
    first = 2 if about.is_channels_first(node) else 1
    return tuple(range(first, first + count))


def _explicit(node: NodeDef) -> List[int]:
    """What a convolution that is not SAME pads, before and after each axis."""
    return list(attribute(node, "explicit_paddings").list.i) if attribute(node, "padding").s == b"EXPLICIT" else [0] * 8


class _Axis(NamedTuple):
    """What a convolution does along an axis. size: of the image; -1 where that is not known."""

    size: int
    reach: int
    stride: int

    def same(self) -> Optional[Tuple[int, int]]:
        """What SAME pads before and after; None where that depends on a size that is not known."""
        if self.stride != 1 and self.size < 0:
            return None
        needed = self.reach - 1
        if self.stride != 1:
            needed = max((-(-self.size // self.stride) - 1) * self.stride + self.reach - self.size, 0)
        return needed // 2, needed - needed // 2

    def is_same(self, before: int, after: int) -> bool:
        """Whether this pads as SAME does, but for what no window reads."""
        same = self.same()
        if same is None or same[0] != before:
            return False
        if self.stride == 1:
            return same[1] == after
        return (self.size + before + after - self.reach) // self.stride + 1 == -(-self.size // self.stride)


def _axes(match: Match) -> Optional[List[_Axis]]:
    """Those over which the convolution moves; None where the size of its filter is not known."""
    node, filter_, image = match.node("conv"), match.shape("w"), match.shape("x")
    across = _across(node)
    if filter_ is None or min(filter_[: len(across)]) < 1:
        return None
    strides, rates = (list(attribute(node, name).list.i) or [1] * 5 for name in ("strides", "dilations"))
    return [
        _Axis(-1 if image is None else image[axis], (length - 1) * rates[axis] + 1, strides[axis])
        for axis, length in zip(across, filter_)
    ]


def _is_same(match: Match, paddings: np.ndarray) -> bool:
    node, axes = match.node("conv"), _axes(match)
    if axes is None or attribute(node, "padding").s != b"VALID":
        return False
    return all(along.is_same(*map(int, paddings[axis])) for axis, along in zip(_across(node), axes))


def _why_not_same(match: Match) -> str:
    node, axes, paddings = match.node("conv"), _axes(match), match.constant("paddings")
    assert paddings is not None
    if attribute(node, "padding").s != b"VALID":
        return "it adds a border of its own to that of {}".format(match.node("pad").name)
    if axes is None:
        return "the size of its filter is not known"
    same = [along.same() for along in axes]
    if None in same:
        return "how large the image is, is not known, on which the border of SAME depends"
    return "its border is {}, and SAME would add {}".format(
        [tuple(paddings[axis].tolist()) for axis in _across(node)], same
    )
