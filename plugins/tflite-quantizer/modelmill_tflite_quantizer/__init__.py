"""modelmill plug-in: models become TFLite, in float or quantised, with any TensorFlow from 1.5 on."""

from typing import Iterator

from modelmill_worker import Edge, Plugin, Preference, Role, Target, hookimpl

from modelmill_tflite_quantizer.conversion import (
    Conversion,
    convert,
    convert_keras,
    convert_keras_h5,
    convert_saved_model,
)
from modelmill_tflite_quantizer.warm_up import preload, warm_up

#: The last TensorFlow with Keras 2, and the best tried of the converters with MLIR.
_PREFERRED = "~=2.15.0"


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The one plug-in of this distribution."""
    yield Plugin(
        name="tflite-quantizer",
        version="0.1.0",
        summary="Converts frozen graphs, SavedModels and Keras models to TFLite, in float or quantised.",
        edges=(
            Edge(
                name="convert",
                role=Role.CONVERT,
                inputs=(("model", "tf.frozen_graph"),),
                output="tflite",
                run=convert,
                options=Conversion,
                requires=("tensorflow>=1.5,<2.22",),
                preference=Preference.NEWEST,
                prefers=_PREFERRED,
            ),
            Edge(
                name="convert-saved-model",
                role=Role.CONVERT,
                inputs=(("model", "tf.saved_model"),),
                output="tflite",
                run=convert_saved_model,
                options=Conversion,
                requires=("tensorflow>=1.5,<2.22",),
                preference=Preference.NEWEST,
                prefers=_PREFERRED,
            ),
            Edge(
                name="convert-keras-h5",
                role=Role.CONVERT,
                inputs=(("model", "keras.h5"),),
                output="tflite",
                run=convert_keras_h5,
                options=Conversion,
                requires=("tensorflow>=1.11,<2.22",),
                preference=Preference.NEWEST,
                prefers=_PREFERRED,
            ),
            Edge(
                name="convert-keras",
                role=Role.CONVERT,
                inputs=(("model", "keras.v3"),),
                output="tflite",
                run=convert_keras,
                options=Conversion,
                requires=("tensorflow>=2.12,<2.22",),
                preference=Preference.NEWEST,
                prefers="~=2.15.0",
            ),
        ),
        targets=(
            Target(
                name="tflite",
                kind="tflite",
                summary="TFLite in float32, with weights in int8, or in uint8 as trained",
                edge="convert",
            ),
        ),
        preload=preload,
        warm_up=warm_up,
    )
