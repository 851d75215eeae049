"""modelmill plug-in: a frozen graph becomes a TensorFlow.js graph model."""

from typing import Iterator

from modelmill_worker import Edge, Plugin, Preference, Role, Target, hookimpl

from modelmill_tfjs_exporter.export import Export, export
from modelmill_tfjs_exporter.generations import generation_of
from modelmill_tfjs_exporter.tensorflowjs_import import import_converter, installed_version
from modelmill_tfjs_exporter.warm_up import warm_up


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The one plug-in of this distribution."""
    yield Plugin(
        name="tfjs-exporter",
        version="0.1.0",
        summary="Exports frozen graphs to TensorFlow.js graph models.",
        edges=(
            Edge(
                name="export",
                role=Role.CONVERT,
                inputs=(("model", "tf.frozen_graph"),),
                output="tfjs.graph_model",
                run=export,
                options=Export,
                requires=("tensorflowjs>=0.8,<5",),
                preference=Preference.NEWEST,
            ),
        ),
        targets=(Target(name="tfjs", kind="tfjs.graph_model", summary="TensorFlow.js graph model", edge="export"),),
        preload=_preload,
        warm_up=warm_up,
    )


def _preload() -> None:
    """Import TensorFlow and the converter, and nothing more."""
    import_converter(generation_of(installed_version()))
