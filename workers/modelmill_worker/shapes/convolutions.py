"""Convolutions and pooling.

Sizes: tensorflow/core/framework/common_shape_fns.cc, GetWindowedOutputSize.
"""

from typing import Sequence, Tuple

from modelmill_worker.shapes.known import Shape, dimensions
from modelmill_worker.shapes.operation import Operation, rule


def windowed_size(size: int, window: int, stride: int, dilation: int, padding: str, explicit: Tuple[int, int]) -> int:
    """How many windows fit into a dimension; -1 where it is unknown."""
    if stride <= 0 or size < 0 or (window < 0 and padding != "SAME"):
        return -1
    reach = (window - 1) * dilation + 1
    if padding == "SAME":
        return -(-size // stride)
    if padding == "EXPLICIT":
        size += sum(explicit)
    return max(0, (size - reach + stride) // stride)


class Window:
    """How a window moves over the spatial dimensions of a tensor."""

    def __init__(self, operation: Operation, rank: int, strides: str = "strides", dilations: str = "dilations") -> None:
        layout = operation.text("data_format", "NHWC" if rank < 5 else "NDHWC")
        channel_first = layout.startswith("NC")
        #: The channels' axis, and the axes that the window moves over.
        self.channel = 1 if channel_first else rank - 1
        self.spatial = tuple(range(2, rank)) if channel_first else tuple(range(1, rank - 1))
        self.padding = operation.text("padding", "VALID")
        self._strides = operation.integers(strides) or (1,) * rank
        self._dilations = operation.integers(dilations) or (1,) * rank
        self._explicit = operation.integers("explicit_paddings")
        self._rank = rank

    def over(self, shape: Tuple[int, ...], window: Sequence[int], channels: int) -> Shape:
        """The output's shape; window: its size along each spatial axis."""
        if len(self._strides) != self._rank or len(self._dilations) != self._rank:
            return None
        result = list(shape)
        result[self.channel] = channels
        for axis, size in zip(self.spatial, window):
            pads = tuple(self._explicit[2 * axis : 2 * axis + 2]) or (0, 0)
            result[axis] = windowed_size(
                shape[axis], size, self._strides[axis], self._dilations[axis], self.padding, (pads[0], pads[-1])
            )
        return tuple(result)


@rule("Conv2D", "Conv3D", "_FusedConv2D", "QuantizedConv2D")
def _convolution(operation: Operation) -> Sequence[Shape]:
    rank = 5 if operation.node.op == "Conv3D" else 4
    filters = operation.shape(1) or (-1,) * rank
    return [_moved(operation, rank, filters[: rank - 2], filters[-1])]


@rule("FusedPadConv2D", "FusedResizeAndPadConv2D")
def _fused_convolution(operation: Operation) -> Sequence[Shape]:
    """Over the image as it is resized, if it is, to the first input's size, and then padded by the next one."""
    resized = operation.node.op == "FusedResizeAndPadConv2D"
    shape, pads = operation.shape(0) or (-1,) * 4, operation.value(2 if resized else 1)
    filters = operation.shape(3 if resized else 2) or (-1,) * 4
    if len(shape) != 4 or len(filters) != 4:
        return [None]
    sizes = (dimensions(operation.value(1)) or (-1, -1)) if resized else shape[1:3]
    if pads is None or pads.shape != (4, 2) or len(sizes) != 2:
        sizes = (-1, -1)
    else:
        around = zip(sizes, pads[1:3])
        sizes = tuple(-1 if size < 0 or None in ends else size + sum(map(int, ends)) for size, ends in around)
    padded = (shape[0], *sizes, shape[3])
    return [Window(operation, 4).over(padded, filters[:2], filters[3])]


@rule("DepthwiseConv2dNative", "DepthwiseConv2D")
def _depthwise(operation: Operation) -> Sequence[Shape]:
    filters = operation.shape(1) or (-1,) * 4
    channels = filters[2] * filters[3] if len(filters) == 4 and min(filters[2:]) >= 0 else -1
    return [_moved(operation, 4, filters[:2], channels)]


def _moved(operation: Operation, rank: int, window: Sequence[int], channels: int) -> Shape:
    shape = operation.shape(0) or (-1,) * rank
    if len(shape) != rank or len(window) != rank - 2:
        return None
    return Window(operation, rank).over(shape, window, channels)


@rule("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D", "MaxPoolWithArgmax")
def _pooling(operation: Operation) -> Sequence[Shape]:
    rank = 5 if operation.node.op.endswith("3D") else 4
    shape, window = operation.shape(0) or (-1,) * rank, operation.integers("ksize")
    if len(shape) != rank or len(window) != rank:
        return [None, None]
    moved = Window(operation, rank)
    result = moved.over(shape, [window[axis] for axis in moved.spatial], shape[moved.channel])
    return [result, result]


@rule("MaxPoolV2")
def _pooling_by_inputs(operation: Operation) -> Sequence[Shape]:
    shape = operation.shape(0)
    return [None if shape is None else (shape[0],) + (-1,) * (len(shape) - 1)]


@rule("Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput", "Conv3DBackpropInputV2")
def _transposed(operation: Operation) -> Sequence[Shape]:
    """The output's shape is the first input; where it is not known, the batch and the channels are."""
    rank = 5 if operation.node.op.startswith("Conv3D") else 4
    told = dimensions(operation.value(0))
    if told is not None and len(told) == rank and min(told) >= 0:
        return [told]
    given = told if told is not None and len(told) == rank else (-1,) * rank
    filters, gradient = operation.shape(1), operation.shape(2)
    result = list(given)
    window = Window(operation, rank)
    if gradient is not None and len(gradient) == rank and result[0] < 0:
        result[0] = gradient[0]
    if filters is not None and len(filters) == rank and result[window.channel] < 0:
        result[window.channel] = filters[rank - 2]
    return [tuple(result)]


@rule("Dilation2D")
def _dilation(operation: Operation) -> Sequence[Shape]:
    shape, filters = operation.shape(0), operation.shape(1)
    if shape is None or filters is None or len(shape) != 4 or len(filters) != 3:
        return [None]
    return [Window(operation, 4, dilations="rates").over(shape, filters[:2], shape[3])]
