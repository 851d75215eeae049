"""modelmill plug-in: a frozen graph becomes TFLite, in float or quantised."""

from typing import Iterator

from modelmill_worker import Edge, Plugin, Preference, Role, Target, hookimpl

from modelmill_tflite_quantizer.conversion import Conversion, convert
from modelmill_tflite_quantizer.warm_up import warm_up


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The one plug-in of this distribution."""
    yield Plugin(
        name="tflite-quantizer",
        version="0.1.0",
        summary="Converts frozen graphs to TFLite, in float or quantised.",
        edges=(
            Edge(
                name="convert",
                role=Role.CONVERT,
                inputs=(("model", "tf.frozen_graph"),),
                output="tflite",
                run=convert,
                options=Conversion,
                requires=("tensorflow>=1.15,<2.22",),
                preference=Preference.NEWEST,
                prefers="~=2.15.0",
            ),
        ),
        targets=(
            Target(name="tflite", kind="tflite", summary="TFLite, float or dynamic-range quantised", edge="convert"),
        ),
        preload=_preload,
        warm_up=warm_up,
    )


def _preload() -> None:
    """Import TensorFlow with its converter, and nothing more.

    The converter's module is an attribute that newer versions load when it is first looked at.
    """
    import tensorflow as tf

    assert tf.compat.v1.lite.TFLiteConverter
