"""Convolutions in groups, to a depthwise convolution or to a convolution for each group.

A filter [h, w, K, M] over an image of G * K channels convolves G groups of K channels, each with its M / G filters:

    conv(x, w)  ->  depthwise_conv(x, reshape(w, [h, w, G, M / G]))                                   where K = 1
    conv(x, w)  ->  concat(conv(x_0, w_0) ... conv(x_G-1, w_G-1)), x_g = x[..., g K : (g + 1) K],
                                                                   w_g = w[..., g M / G : (g + 1) M / G]

Both compute the same products and sum the same ones. A depthwise convolution's output channel is c * (M / G) + m, where
c is the channel and m counts its filters, which is how the groups' filters lie in w already.

Who needs it, as measured: TensorFlow's shape function refuses grouped convolutions to 1.12, its CPU kernels to 2.4
(and to 2.21 at least where they fuse a bias, without oneDNN), and its TFLite converters to 2.8 refuse them or make a
CONV_2D that does not load; TensorFlow.js has none at all. The Edge TPU's compiler takes none. A depthwise convolution
stays away where CPU kernels have none: with other strides over rows than over columns, with dilations (which they leave
out without a word to 2.4) and with explicit paddings (none before 2.4).
"""

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Tuple

import numpy as np
from modelmill_worker import tensors
from modelmill_worker.errors import StepError
from modelmill_worker.graph_def import NodeDef

from modelmill_rewriter.rules_api import (
    DONE,
    YES,
    Attribute,
    Builder,
    Dtype,
    GraphIndex,
    Match,
    Pattern,
    Report,
    Rule,
    Target,
    Tensor,
    Verdict,
    argument,
    no,
    op,
    value,
)

_AUTO, _DEPTHWISE, _SPLIT = "auto", "depthwise", "split"
_FORMS = (_AUTO, _DEPTHWISE, _SPLIT)
#: The first TensorFlow whose TFLite converter makes a CONV_2D of groups that loads.
_CONVERTED_SINCE = (2, 9)
_INT32 = Dtype(tensors.data_type_of(np.int32).number)


@dataclass(frozen=True)
class SplitGroupedConvolutions(Rule):
    """Grouped convolutions in operations that everything knows."""

    name: ClassVar[str] = "split_grouped_convolutions"
    summary: ClassVar[str] = "Makes a depthwise convolution, or one for each group, of a grouped convolution."

    form: str = argument(_AUTO, "What to make: depthwise, split, or auto for depthwise where it can be.", name="as")
    always: bool = argument(False, "Also split what the target's converter takes as it is.")

    def apply(self, graph: GraphIndex, target: Target) -> Report:
        """Raises StepError INVALID_OPTION for an unknown form."""
        if self.form not in _FORMS:
            raise StepError(
                "INVALID_OPTION",
                "The option as of the rule {} cannot be {!r}: give one of {}.".format(
                    self.name, self.form, ", ".join(_FORMS)
                ),
                {"rule": self.name, "option": "as", "value": self.form},
            )
        return super().apply(graph, target)

    def pattern(self) -> Pattern:
        """Any convolution: whether it has groups is a matter of shapes."""
        return op("Conv2D", value("x"), value("w"), name="conv")

    def check(self, match: Match) -> Verdict:
        """The image's channels and the filter's shape must be known."""
        channels, filters = _channels(match), match.shape("w")
        if filters is None or len(filters) != 4 or filters[2] < 1 or channels == filters[2]:
            return DONE  # without its filter's depth, nothing speaks for groups
        if channels < 0:
            return no("whether it has groups cannot be told: how many channels it reads is not known")
        if channels % filters[2] or filters[3] < 1 or filters[3] % (channels // filters[2]):
            return no("its filter {} does not fit the {} channels that it reads".format(list(filters), channels))
        obstacle = _obstacle_to_depthwise(match)
        if self.form == _DEPTHWISE and obstacle is not None:
            return no(obstacle)
        if self.form == _SPLIT or obstacle is not None:
            return self._needed(match)
        return YES

    def rewrite(self, match: Match, make: Builder) -> Tensor:
        """One operation instead, or one for each group."""
        if self.form != _SPLIT and _obstacle_to_depthwise(match) is None:
            return _depthwise(match, make)
        return _split(match, make)

    def _needed(self, match: Match) -> Verdict:
        """Many small convolutions are slow, and larger than one: only where the one is of no use."""
        target = match.target
        if self.always or target.name != "tflite" or target.is_converted_before(*_CONVERTED_SINCE):
            return YES
        return no(
            "TensorFlow {}.{} and later convert it as it is; split it with always=true where the model goes to an "
            "older runtime or to the Edge TPU".format(*_CONVERTED_SINCE)
        )


def _is_channels_first(node: NodeDef) -> bool:
    return "data_format" in node.attr and node.attr["data_format"].s == b"NCHW"


def _channel_axis(match: Match) -> int:
    return 1 if _is_channels_first(match.node("conv")) else 3


def _channels(match: Match) -> int:
    """How many channels the image has; -1 where that is not known."""
    shape = match.shape("x")
    return shape[_channel_axis(match)] if shape is not None and len(shape) == 4 else -1


def _filters(match: Match) -> Tuple[int, int, int, int]:
    height, width, depth, count = match.shape("w") or (-1, -1, -1, -1)
    return height, width, depth, count


def _numbers(node: NodeDef, name: str) -> Tuple[int, ...]:
    return tuple(node.attr[name].list.i) if name in node.attr else (1, 1, 1, 1)


def _obstacle_to_depthwise(match: Match) -> Optional[str]:
    """Why a depthwise convolution cannot stand in for it."""
    node = match.node("conv")
    depth = _filters(match)[2]
    across = (2, 3) if _is_channels_first(node) else (1, 2)
    strides, dilations = _numbers(node, "strides"), _numbers(node, "dilations")
    if depth != 1:
        return "its groups have {} channels each, and a depthwise convolution has groups of one".format(depth)
    if min(_filters(match)[:2]) < 1:
        return "the size of its filter is not known"
    if strides[across[0]] != strides[across[1]]:
        return "its strides over rows and columns differ, which TensorFlow has no depthwise kernel for"
    if any(size != 1 for size in dilations):
        return "it is dilated, which TensorFlow has no depthwise kernel for"
    if "padding" in node.attr and node.attr["padding"].s == b"EXPLICIT":
        return "its padding is explicit, which older depthwise kernels do not know"
    return None


def _depthwise(match: Match, make: Builder) -> Tensor:
    height, width, _, count = _filters(match)
    channels = _channels(match)
    wanted = (height, width, channels, count // channels)
    weights = match.constant("w")
    if weights is not None:
        filters = make.constant("depthwise_weights", weights.reshape(wanted))
    else:
        shape = make.constant("depthwise_shape", np.array(wanted, np.int32), "int32")
        filters = make.node("Reshape", match["w"], shape, attributes={**_dtype(match), "Tshape": _INT32})
    node = match.node("conv")
    kept = ("T", "strides", "padding", "data_format", "dilations")
    made = make.node("DepthwiseConv2dNative", match["x"], filters, attributes={})
    for key in kept:
        if key in node.attr:
            make.nodes[-1].attr[key].CopyFrom(node.attr[key])
    return made


def _split(match: Match, make: Builder) -> Tensor:
    groups = _channels(match) // _filters(match)[2]
    axis = make.constant("channel_axis", np.array(_channel_axis(match), np.int32), "int32")
    images = _parts(match["x"], axis, groups, match, make)
    results = [
        make.like(match.node("conv"), image, weights, label="group_{}".format(number))
        for number, (image, weights) in enumerate(zip(images, _weights(groups, match, make)))
    ]
    return make.node("ConcatV2", *results, axis, attributes={**_dtype(match), "N": groups, "Tidx": _INT32})


def _weights(groups: int, match: Match, make: Builder) -> List[Tensor]:
    weights = match.constant("w")
    if weights is None:
        return _parts(match["w"], make.constant("filter_axis", np.array(3, np.int32), "int32"), groups, match, make)
    pieces = np.split(weights, groups, axis=3)
    return [make.constant("group_{}/weights".format(number), piece) for number, piece in enumerate(pieces)]


def _parts(tensor: Tensor, axis: Tensor, groups: int, match: Match, make: Builder) -> List[Tensor]:
    first = make.node("Split", axis, tensor, attributes={**_dtype(match), "num_split": groups})
    return [Tensor(first.node, index) for index in range(groups)]


def _dtype(match: Match) -> Dict[str, Attribute]:
    assert match.dtype is not None  # a Conv2D says its T
    return {"T": Dtype(match.dtype.number)}
