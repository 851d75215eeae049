"""Resizing, decoding, detection and sound."""

from typing import Sequence

from modelmill_worker.shapes.known import Shape, dimensions, numbers
from modelmill_worker.shapes.operation import Operation, rule


@rule("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea")
def _resize(operation: Operation) -> Sequence[Shape]:
    shape, size = operation.shape(0) or (-1,) * 4, dimensions(operation.value(1)) or (-1, -1)
    if len(shape) != 4 or len(size) != 2:
        return [None]
    return [(shape[0],) + size + (shape[3],)]


@rule("CropAndResize")
def _crop(operation: Operation) -> Sequence[Shape]:
    shape, boxes = operation.shape(0) or (-1,) * 4, operation.shape(1) or (-1, 4)
    size = dimensions(operation.value(3)) or (-1, -1)
    if len(shape) != 4 or len(size) != 2:
        return [None]
    return [boxes[:1] + size + shape[3:]]


@rule("DecodeJpeg", "DecodePng", "DecodeImage", "DecodeBmp", "DecodeAndCropJpeg")
def _decoded_image(operation: Operation) -> Sequence[Shape]:
    channels = operation.integer("channels") or -1
    return [None if operation.node.op == "DecodeImage" else (-1, -1, channels)]


@rule("DecodeWav")
def _decoded_sound(operation: Operation) -> Sequence[Shape]:
    channels, samples = operation.integer("desired_channels", -1), operation.integer("desired_samples", -1)
    return [(samples, channels), ()]


@rule("AudioSpectrogram")
def _spectrogram(operation: Operation) -> Sequence[Shape]:
    """tensorflow/core/kernels/spectrogram.cc: windows of the next power of two, half of it and one are kept."""
    shape = operation.shape(0)
    window, stride = operation.integer("window_size"), operation.integer("stride")
    if shape is None or len(shape) != 2 or window < 2 or stride < 1:
        return [None]
    frequencies = 1 + (1 << (window - 1).bit_length()) // 2
    count = -1 if shape[0] < 0 else (0 if shape[0] < window else 1 + (shape[0] - window) // stride)
    return [(shape[1], count, frequencies)]


@rule("Mfcc")
def _mfcc(operation: Operation) -> Sequence[Shape]:
    shape = operation.shape(0)
    if shape is None or len(shape) != 3:
        return [None]
    return [shape[:2] + (operation.integer("dct_coefficient_count", 13),)]


@rule("RFFT", "RFFT2D", "IRFFT", "IRFFT2D")
def _real_transform(operation: Operation) -> Sequence[Shape]:
    shape, lengths = operation.shape(0), numbers(operation.value(1))
    count = 2 if operation.node.op.endswith("2D") else 1
    if shape is None or len(shape) < count:
        return [None]
    if lengths is None or len(lengths) != count:
        return [shape[: len(shape) - count] + (-1,) * count]
    inverse = operation.node.op.startswith("IRFFT")
    return [shape[: len(shape) - count] + lengths[:-1] + (lengths[-1] if inverse else lengths[-1] // 2 + 1,)]


@rule("NonMaxSuppression", "NonMaxSuppressionV2", "NonMaxSuppressionV3")
def _kept_boxes(operation: Operation) -> Sequence[Shape]:
    del operation
    return [(-1,)]


@rule("NonMaxSuppressionV4")
def _kept_boxes_padded(operation: Operation) -> Sequence[Shape]:
    count = operation.number(2) if operation.flag("pad_to_max_output_size") else None
    return [(-1 if count is None else count,), ()]


@rule("NonMaxSuppressionV5")
def _kept_boxes_with_scores(operation: Operation) -> Sequence[Shape]:
    count = operation.number(2) if operation.flag("pad_to_max_output_size") else None
    size = (-1 if count is None else count,)
    return [size, size, ()]


@rule("CombinedNonMaxSuppression")
def _combined(operation: Operation) -> Sequence[Shape]:
    boxes, total = operation.shape(0), operation.number(3)
    if operation.flag("pad_per_class"):
        total = None  # then the number of classes counts as well
    batch = -1 if not boxes else boxes[0]
    count = -1 if total is None else total
    return [(batch, count, 4), (batch, count), (batch, count), (batch,)]
