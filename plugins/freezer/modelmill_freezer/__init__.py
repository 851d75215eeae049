"""The freezer: a checkpoint and its graph, or a GraphDef as a user has it, become a frozen graph."""

import importlib
from typing import Iterator

from modelmill_worker import installed_tensorflow
from modelmill_worker.hookspecs import hookimpl
from modelmill_worker.plugin_api import Edge, Plugin, Preference, Role, Target

from modelmill_freezer._steps import FreezeOptions, freeze, normalise, select

__version__ = "0.1.0"


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The freezer's description."""
    yield Plugin(
        name="freezer",
        version=__version__,
        summary="Turns checkpoints and GraphDefs into frozen graphs with named inputs and outputs",
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
