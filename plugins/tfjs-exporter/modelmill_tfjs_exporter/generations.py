"""Which of tensorflowjs's functions serves which version: one table, a row for each generation.

A row says what the generation can do as data, and with which function of `converters` it is driven. 1.0 to 1.6 are in
no row: the first of them convert no frozen graph, and no environment holds any. The same holds for 2.0 to 4.21.
"""

from dataclasses import dataclass
from typing import Any, Callable, Tuple

from modelmill_worker import StepError

from modelmill_tfjs_exporter import converters
from modelmill_tfjs_exporter.request import Request

Version = Tuple[int, int]


@dataclass(frozen=True)
class Generation:
    """The versions of tensorflowjs from `since` on and below `until`, and how they export.

    module: the one that converts frozen graphs.
    needs: packages that must be imported before tensorflowjs, in this order.
    unused: what tensorflowjs imports and a graph conversion does not use; a package comes before what is in it.
    weight_quantizations: how it can store weights.
    lacks: what its model.json does not have and that of the newest generation has.
    convert: drives the module; its result is a graph model that TensorFlow.js 4.22 loads.
    """

    since: Version
    until: Version
    module: str
    needs: Tuple[str, ...]
    unused: Tuple[str, ...]
    weight_quantizations: Tuple[str, ...]
    lacks: Tuple[str, ...]
    convert: Callable[[Any, Request], None]


GENERATIONS = (
    Generation(
        since=(0, 8),
        until=(1, 0),
        module="tensorflowjs.converters.tf_saved_model_conversion",
        needs=("tensorflow",),
        unused=("keras", "tensorflow_hub"),
        weight_quantizations=("none", "uint16", "uint8"),
        lacks=("fused operators", "a signature", "the name of its makers"),
        convert=converters.convert_with_first_model_json,
    ),
    Generation(
        since=(1, 7),
        until=(2, 0),
        module="tensorflowjs.converters.tf_saved_model_conversion_v2",
        needs=("tensorflow",),
        unused=("tensorflow_hub",),
        weight_quantizations=("none", "uint16", "uint8"),
        lacks=(),
        convert=converters.convert_with_dtype,
    ),
    Generation(
        since=(4, 22),
        until=(5, 0),
        module="tensorflowjs.converters.tf_saved_model_conversion_v2",
        # Keras looks whether jax is there while it is imported, and must not find a stand-in.
        needs=("tensorflow", "tf_keras"),
        unused=("tensorflow_decision_forests", "tensorflow_hub", "jax", "jax.experimental", "jax.experimental.jax2tf"),
        weight_quantizations=("none", "float16", "uint16", "uint8"),
        lacks=(),
        convert=converters.convert_with_dtype_map,
    ),
)


def generation_of(version: str) -> Generation:
    """The row for a version of tensorflowjs such as "4.22.0".

    Raises StepError TENSORFLOWJS_UNSUPPORTED where there is none.
    """
    major, minor = version.split(".")[:2]
    for generation in GENERATIONS:
        if generation.since <= (int(major), int(minor)) < generation.until:
            return generation
    raise StepError(
        "TENSORFLOWJS_UNSUPPORTED",
        "The exporter does not drive tensorflowjs {}. Use an environment with {}.".format(
            version, " or ".join("{}.{} to below {}.{}".format(*(row.since + row.until)) for row in GENERATIONS)
        ),
        {"tensorflowjs": version},
    )
