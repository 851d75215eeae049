"""Which of TensorFlow's converter APIs serves which version: one table, a row for each generation.

A row says what the generation can do as data, and with which function of `converters` it is driven.
"""

from dataclasses import dataclass
from typing import Callable, Tuple

from modelmill_worker import StepError

from modelmill_tflite_quantizer import converters
from modelmill_tflite_quantizer.request import Request

Version = Tuple[int, int]


@dataclass(frozen=True)
class Generation:
    """The versions of TensorFlow from `since` on and below `until`, and how they convert.

    engine: the converter that this API runs unless told otherwise.
    dynamic_shapes: whether dimensions other than the batch may be unknown.
    """

    since: Version
    until: Version
    api: str
    engine: str
    dynamic_shapes: bool
    convert: Callable[[Request], bytes]


GENERATIONS = (
    Generation((1, 15), (2, 2), "tf.compat.v1.lite.TFLiteConverter", "TOCO", False, converters.convert_with_toco),
    Generation((2, 2), (2, 22), "tf.compat.v1.lite.TFLiteConverter", "MLIR", True, converters.convert_with_compat_v1),
)


def generation_of(version: str) -> Generation:
    """The row for a version of TensorFlow such as "2.15.1"; StepError TENSORFLOW_UNSUPPORTED where there is none."""
    major, minor = version.split(".")[:2]
    for generation in GENERATIONS:
        if generation.since <= (int(major), int(minor)) < generation.until:
            return generation
    raise StepError(
        "TENSORFLOW_UNSUPPORTED",
        "TensorFlow {} has no converter that this plug-in drives. Use an environment with {}.".format(
            version, " or ".join("{}.{} to below {}.{}".format(*(row.since + row.until)) for row in GENERATIONS)
        ),
        {"tensorflow": version},
    )
