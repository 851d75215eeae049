"""Which of TensorFlow's converter APIs serves which version: one table, a row wherever anything changes.

A row says as data what its versions can do and where TensorFlow keeps what must be set for it. `graph_conversion` and
`function_conversion` drive it.
"""

from dataclasses import dataclass, replace
from typing import Tuple

from modelmill_worker import StepError

from modelmill_tflite_quantizer.request import DYNAMIC_RANGE, FLOAT, MLIR, QAT_UINT8, TOCO

Version = Tuple[int, int]

#: Kinds of sources, as `Generation.sources` tells them.
FROZEN_GRAPH = "a frozen graph"
SAVED_MODEL_OF_GRAPH = "a SavedModel of TensorFlow 1"
SAVED_MODEL_OF_FUNCTIONS = "a SavedModel of TensorFlow 2"
KERAS_H5 = "a Keras HDF5 file"
KERAS_V3 = "a .keras file"


@dataclass(frozen=True)
class Generation:
    """The versions of TensorFlow from `since` on and below `until`, and how they convert.

    api: what takes a graph, a function or a class with ``from_frozen_graph`` and the like; as attributes of
        `tensorflow`.
    converters: those that there are, the one taken by default first.
    sources: what can be converted, of the kinds above.
    quantizations: those of `request` that can be asked for.
    module: where TensorFlow calls its native converter.
    command: the setting there that holds the command to call instead; "" where there is none.
    native: the native converter's name there.
    mlir_switch: the converter's attribute that chooses MLIR; "" where there is no choice.
    dynamic_range_switch: the converter's attribute that asks for quantised weights.
    select_ops_switch: the converter's attribute that lets TensorFlow's operators pass; "" where none can.
    all_outputs: whether another than the first output of a node can be asked for.
    own_signature: whether a .tflite made of functions names its inputs and outputs by the SavedModel's keys.
    """

    since: Version
    until: Version
    api: str
    module: str
    command: str
    native: str
    converters: Tuple[str, ...] = (TOCO,)
    sources: Tuple[str, ...] = (FROZEN_GRAPH, SAVED_MODEL_OF_GRAPH)
    quantizations: Tuple[str, ...] = (FLOAT, QAT_UINT8)
    mlir_switch: str = ""
    dynamic_range_switch: str = ""
    select_ops_switch: str = ""
    all_outputs: bool = True
    own_signature: bool = False

    def __str__(self) -> str:
        return "TensorFlow {}.{} to below {}.{}".format(*(self.since + self.until))


_CONTRIB = "tensorflow.contrib.lite.python."
_LITE = "tensorflow.lite.python."
_COMMAND = "_toco_from_proto_bin"
_TF2_SOURCES = (FROZEN_GRAPH, SAVED_MODEL_OF_GRAPH, SAVED_MODEL_OF_FUNCTIONS, KERAS_H5)
_ALL = (FLOAT, DYNAMIC_RANGE, QAT_UINT8)

_1_5 = Generation(
    since=(1, 5),
    until=(1, 6),
    api="contrib.lite.toco_convert",
    module=_CONTRIB + "lite",
    command=_COMMAND,
    native="_toco_convert_protos",
    # Its toco_convert sets a field for the inputs' statistics that the message does not have.
    quantizations=(FLOAT,),
    all_outputs=False,
)
_1_6 = replace(_1_5, since=(1, 6), until=(1, 9), native="_toco_python.TocoConvert", quantizations=(FLOAT, QAT_UINT8))
_1_9 = replace(
    _1_6,
    since=(1, 9),
    until=(1, 10),
    api="contrib.lite.TocoConverter",
    module=_CONTRIB + "convert",
)
_1_10 = replace(_1_9, since=(1, 10), until=(1, 11), quantizations=_ALL, dynamic_range_switch="quantize_weights")
_1_11 = replace(
    _1_10,
    since=(1, 11),
    until=(1, 12),
    # Keras before it needs a package for HDF5 that TensorFlow did not bring.
    sources=(FROZEN_GRAPH, SAVED_MODEL_OF_GRAPH, KERAS_H5),
    dynamic_range_switch="post_training_quantize",
)
_1_12 = replace(
    _1_11, since=(1, 12), until=(1, 13), api="contrib.lite.TFLiteConverter", select_ops_switch="converter_mode"
)
_1_13 = replace(
    _1_12,
    since=(1, 13),
    until=(1, 14),
    api="lite.TFLiteConverter",
    module=_LITE + "convert",
    select_ops_switch="target_ops",
)
_1_14 = replace(
    _1_13,
    since=(1, 14),
    until=(1, 15),
    native="wrap_toco.wrapped_toco_convert",
    dynamic_range_switch="optimizations",
    all_outputs=True,
)
_1_15 = replace(
    _1_14,
    since=(1, 15),
    until=(2, 0),
    converters=(TOCO, MLIR),
    mlir_switch="experimental_enable_mlir_converter",
    select_ops_switch="target_spec",
)
_2_0 = replace(
    _1_15,
    since=(2, 0),
    until=(2, 1),
    api="compat.v1.lite.TFLiteConverter",
    converters=(TOCO,),
    sources=_TF2_SOURCES,
    mlir_switch="",
)
_2_1 = replace(_2_0, since=(2, 1), until=(2, 2), converters=(TOCO, MLIR), mlir_switch="experimental_new_converter")
_2_2 = replace(_2_1, since=(2, 2), until=(2, 5), converters=(MLIR, TOCO))
_2_5 = replace(_2_2, since=(2, 5), until=(2, 8), own_signature=True)
_2_8 = replace(_2_5, since=(2, 8), until=(2, 12), command="_deprecated_conversion_binary")
_2_12 = replace(_2_8, since=(2, 12), until=(2, 17), sources=(*_TF2_SOURCES, KERAS_V3))
_2_17 = replace(_2_12, since=(2, 17), until=(2, 18), native="wrap_converter.wrapped_convert")
_2_18 = replace(
    _2_17,
    since=(2, 18),
    until=(2, 22),
    converters=(MLIR,),
    quantizations=(FLOAT, DYNAMIC_RANGE),
    command="",
    mlir_switch="",
)

GENERATIONS = (
    *(_1_5, _1_6, _1_9, _1_10, _1_11, _1_12, _1_13, _1_14, _1_15),
    *(_2_0, _2_1, _2_2, _2_5, _2_8, _2_12, _2_17, _2_18),
)


def generation_of(version: str) -> Generation:
    """The row for a version of TensorFlow such as "2.15.1"; StepError TENSORFLOW_UNSUPPORTED where there is none."""
    major, minor = version.split(".")[:2]
    for generation in GENERATIONS:
        if generation.since <= (int(major), int(minor)) < generation.until:
            return generation
    raise StepError(
        "TENSORFLOW_UNSUPPORTED",
        "TensorFlow {} has no converter that this plug-in drives. Use an environment with {}.{} to below {}.{}.".format(
            version, *(GENERATIONS[0].since + GENERATIONS[-1].until)
        ),
        {"tensorflow": version},
    )


def takes_dynamic_shapes(generation: Generation, converter: str) -> bool:
    """Whether dimensions may be unknown, while the rank is known. Else only the batch may be, and it becomes 1."""
    return converter == MLIR and generation.since >= (2, 2)
