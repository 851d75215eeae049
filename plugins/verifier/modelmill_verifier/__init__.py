"""modelmill plug-in: runs models before and after a conversion, and says how far apart their outputs are."""

import importlib.util
from typing import Any, Callable, Dict, Iterator

from modelmill_worker import Edge, Plugin, Preference, Role, Step, hookimpl

from modelmill_verifier.comparison import Comparison, compare
from modelmill_verifier.graph_run import run_checkpoint, run_frozen_graph, run_graph
from modelmill_verifier.sampling import Sampling, adopt, sample
from modelmill_verifier.tfjs_run import run_tfjs
from modelmill_verifier.tflite_run import run_tflite
from modelmill_verifier.warm_up import warm_up

Facts = Dict[str, Any]

_FROZEN = ("model", "tf.frozen_graph")
_OUTPUTS = (("outputs", "dataset"), ("reference", "dataset"))


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The one plug-in of this distribution."""
    yield Plugin(
        name="verifier",
        version="0.1.0",
        summary="Runs a model and what was made of it on the same inputs, and compares the outputs.",
        edges=(
            Edge("sample", Role.SAMPLE, (_FROZEN,), "dataset", sample, Sampling),
            Edge("adopt", Role.SAMPLE, (_FROZEN, ("dataset", "dataset")), "dataset", adopt),
            _run("run-checkpoint", "tf.checkpoint", run_checkpoint, "tensorflow>=1.5", Preference.WRITER),
            _run("run-graph", "tf.graph_def", run_graph, "tensorflow>=1.5", Preference.WRITER),
            _run("run-frozen-graph", "tf.frozen_graph", run_frozen_graph, "tensorflow>=1.5", Preference.WRITER),
            _run("run-tflite", "tflite", run_tflite, "tensorflow>=1.15", Preference.NEWEST),
            _run("run-tfjs", "tfjs.graph_model", run_tfjs, "tfjs-node>=4.22,<5", Preference.NEWEST),
            Edge("compare", Role.COMPARE, _OUTPUTS, "report.verification", compare, Comparison),
        ),
        preload=_preload,
        warm_up=warm_up,
    )


def _run(name: str, kind: str, run: Callable[[Step], Facts], needs: str, preference: Preference) -> Edge:
    """An edge that runs models of a kind on the inputs of a dataset."""
    inputs = (("model", kind), ("inputs", "dataset"))
    return Edge(name, Role.RUN, inputs, "dataset", run, requires=(needs,), preference=preference)


def _preload() -> None:
    """Import TensorFlow with its interpreter where the environment has it; `base` has none and needs none."""
    if importlib.util.find_spec("tensorflow") is not None:
        import tensorflow as tf

        assert tf.version if hasattr(tf, "version") else tf.VERSION
        if hasattr(tf, "lite"):
            assert tf.lite.Interpreter
