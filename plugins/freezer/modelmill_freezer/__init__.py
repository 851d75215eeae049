"""The freezer: checkpoints, SavedModels, Keras models and GraphDefs become frozen graphs."""

import importlib
from typing import Any, Callable, Dict, Iterator

from modelmill_worker import installed_tensorflow
from modelmill_worker.hookspecs import hookimpl
from modelmill_worker.plugin_api import Edge, Plugin, Preference, Role, Step, Target

from modelmill_freezer._keras_step import freeze_keras
from modelmill_freezer._saved_model_step import SavedModelFreezing, freeze_saved_model
from modelmill_freezer._steps import FreezeOptions, freeze, normalise, select

__version__ = "0.1.0"

#: 1.5 is the oldest that there is an environment for.
_ANY = "tensorflow>=1.5"
#: Before that TensorFlow comes without h5py.
_WITH_HDF5 = "tensorflow>=1.11"
#: The first that reads a .keras archive.
_WITH_KERAS_ARCHIVE = "tensorflow>=2.12"


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The freezer's description."""
    yield Plugin(
        name="freezer",
        version=__version__,
        summary="Turns checkpoints, SavedModels, Keras models and GraphDefs into frozen graphs",
        edges=(
            _freezing("freeze", "tf.checkpoint", freeze, _ANY),
            _freezing("freeze-saved-model", "tf.saved_model", freeze_saved_model, _ANY, SavedModelFreezing),
            _freezing("freeze-keras-h5", "keras.h5", freeze_keras, _WITH_HDF5),
            _freezing("freeze-keras", "keras.v3", freeze_keras, _WITH_KERAS_ARCHIVE),
            _freezing("normalise", "tf.graph_def", normalise),
            _freezing("select", "tf.frozen_graph", select),
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


def _freezing(
    name: str, kind: str, run: Callable[[Step], Dict[str, Any]], needs: str = "", options: type = FreezeOptions
) -> Edge:
    """An edge that makes a frozen graph of models of a kind; `needs`: the TensorFlow, where it needs one."""
    inputs = (("model", kind),)
    if not needs:
        return Edge(name, Role.CONVERT, inputs, "tf.frozen_graph", run, options)
    return Edge(name, Role.CONVERT, inputs, "tf.frozen_graph", run, options, (needs,), Preference.WRITER)


def _preload() -> None:
    """Import TensorFlow, where the environment has it; `normalise` runs where there is none."""
    if installed_tensorflow.is_installed():
        importlib.import_module("tensorflow")
