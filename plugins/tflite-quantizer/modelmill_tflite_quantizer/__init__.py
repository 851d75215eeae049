"""modelmill plug-in: models become TFLite, in float or quantised, with any TensorFlow from 1.5 on."""

from typing import Any, Callable, Dict, Iterator

from modelmill_worker import Edge, Plugin, Preference, Role, Step, Target, hookimpl

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

_ANY = "tensorflow>=1.5,<2.22"
#: Before that the environments have no h5py.
_WITH_HDF5 = "tensorflow>=1.11,<2.22"
#: The first that reads a .keras archive.
_WITH_KERAS_ARCHIVE = "tensorflow>=2.12,<2.22"


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The one plug-in of this distribution."""
    yield Plugin(
        name="tflite-quantizer",
        version="0.1.0",
        summary="Converts frozen graphs, SavedModels and Keras models to TFLite, in float or quantised.",
        edges=(
            _convert("convert", "tf.frozen_graph", convert, _ANY),
            _convert("convert-saved-model", "tf.saved_model", convert_saved_model, _ANY),
            _convert("convert-keras-h5", "keras.h5", convert_keras_h5, _WITH_HDF5),
            _convert("convert-keras", "keras.v3", convert_keras, _WITH_KERAS_ARCHIVE),
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


def _convert(name: str, kind: str, run: Callable[[Step], Dict[str, Any]], needs: str) -> Edge:
    """An edge from models of a kind to TFLite."""
    return Edge(
        name=name,
        role=Role.CONVERT,
        inputs=(("model", kind),),
        output="tflite",
        run=run,
        options=Conversion,
        requires=(needs,),
        preference=Preference.NEWEST,
        prefers=_PREFERRED,
    )
