"""modelmill plug-in: runs models before and after a conversion, and says how far apart their outputs are."""

import importlib.util
from typing import Iterator

from modelmill_worker import Edge, Plugin, Preference, Role, hookimpl

from modelmill_verifier.comparison import Comparison, compare
from modelmill_verifier.graph_run import run_checkpoint, run_frozen_graph, run_graph
from modelmill_verifier.sampling import Sampling, adopt, sample
from modelmill_verifier.tfjs_run import run_tfjs
from modelmill_verifier.tflite_run import run_tflite
from modelmill_verifier.warm_up import warm_up

_TENSORFLOW = ("tensorflow>=1.5",)


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The one plug-in of this distribution."""
    yield Plugin(
        name="verifier",
        version="0.1.0",
        summary="Runs a model and what was made of it on the same inputs, and compares the outputs.",
        edges=(
            Edge("sample", Role.SAMPLE, (("model", "tf.frozen_graph"),), "dataset", sample, Sampling),
            Edge("adopt", Role.SAMPLE, (("model", "tf.frozen_graph"), ("dataset", "dataset")), "dataset", adopt),
            Edge(
                "run-checkpoint",
                Role.RUN,
                (("model", "tf.checkpoint"), ("inputs", "dataset")),
                "dataset",
                run_checkpoint,
                requires=_TENSORFLOW,
                preference=Preference.WRITER,
            ),
            Edge(
                "run-graph",
                Role.RUN,
                (("model", "tf.graph_def"), ("inputs", "dataset")),
                "dataset",
                run_graph,
                requires=_TENSORFLOW,
                preference=Preference.WRITER,
            ),
            Edge(
                "run-frozen-graph",
                Role.RUN,
                (("model", "tf.frozen_graph"), ("inputs", "dataset")),
                "dataset",
                run_frozen_graph,
                requires=_TENSORFLOW,
                preference=Preference.WRITER,
            ),
            Edge(
                "run-tflite",
                Role.RUN,
                (("model", "tflite"), ("inputs", "dataset")),
                "dataset",
                run_tflite,
                requires=("tensorflow>=1.15",),
                preference=Preference.NEWEST,
            ),
            Edge(
                "run-tfjs",
                Role.RUN,
                (("model", "tfjs.graph_model"), ("inputs", "dataset")),
                "dataset",
                run_tfjs,
                requires=("tfjs-node>=4.22,<5",),
            ),
            Edge(
                "compare",
                Role.COMPARE,
                (("outputs", "dataset"), ("reference", "dataset")),
                "report.verification",
                compare,
                Comparison,
            ),
        ),
        preload=_preload,
        warm_up=warm_up,
    )


def _preload() -> None:
    """Import TensorFlow with its interpreter where the environment has it; `base` has none and needs none."""
    if importlib.util.find_spec("tensorflow") is not None:
        import tensorflow as tf

        assert tf.version if hasattr(tf, "version") else tf.VERSION
        if hasattr(tf, "lite"):
            assert tf.lite.Interpreter
