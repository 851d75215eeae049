"""The freezer: checkpoints, SavedModels, Keras models and GraphDefs become frozen graphs."""

import importlib
from typing import Iterator

from modelmill_worker import installed_tensorflow
from modelmill_worker.hookspecs import hookimpl
from modelmill_worker.plugin_api import Edge, Plugin, Preference, Role, Target

from modelmill_freezer._keras_step import freeze_keras
from modelmill_freezer._saved_model_step import SavedModelFreezing, freeze_saved_model
from modelmill_freezer._steps import FreezeOptions, freeze, normalise, select

__version__ = "0.1.0"


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The freezer's description."""
    yield Plugin(
        name="freezer",
        version=__version__,
        summary="Turns checkpoints, SavedModels, Keras models and GraphDefs into frozen graphs",
        edges=(
            Edge(
                name="freeze",
                role=Role.CONVERT,
                inputs=(("model", "tf.checkpoint"),),
                output="tf.frozen_graph",
                run=freeze,
                options=FreezeOptions,
                requires=("tensorflow>=1.5",),
                preference=Preference.WRITER,
            ),
            Edge(
                name="freeze-saved-model",
                role=Role.CONVERT,
                inputs=(("model", "tf.saved_model"),),
                output="tf.frozen_graph",
                run=freeze_saved_model,
                options=SavedModelFreezing,
                requires=("tensorflow>=1.5",),
                preference=Preference.WRITER,
            ),
            Edge(
                name="freeze-keras-h5",
                role=Role.CONVERT,
                inputs=(("model", "keras.h5"),),
                output="tf.frozen_graph",
                run=freeze_keras,
                options=FreezeOptions,
                requires=("tensorflow>=1.11",),  # Before that TensorFlow comes without h5py.
                preference=Preference.WRITER,
            ),
            Edge(
                name="freeze-keras",
                role=Role.CONVERT,
                inputs=(("model", "keras.v3"),),
                output="tf.frozen_graph",
                run=freeze_keras,
                options=FreezeOptions,
                requires=("tensorflow>=2.12",),  # The first that reads a .keras archive.
                preference=Preference.WRITER,
            ),
            Edge(
                name="normalise",
                role=Role.CONVERT,
                inputs=(("model", "tf.graph_def"),),
                output="tf.frozen_graph",
                run=normalise,
                options=FreezeOptions,
            ),
            Edge(
                name="select",
                role=Role.CONVERT,
                inputs=(("model", "tf.frozen_graph"),),
                output="tf.frozen_graph",
                run=select,
                options=FreezeOptions,
            ),
        ),
        targets=(
            Target(
                name="frozen-graph",
                kind="tf.frozen_graph",
                summary="GraphDef with constants for variables, and the names of its inputs and outputs",
                edge="freeze",
            ),
        ),
        preload=_preload,
    )


def _preload() -> None:
    """Import TensorFlow, where the environment has it; `normalise` runs where there is none."""
    if installed_tensorflow.is_installed():
        importlib.import_module("tensorflow")
