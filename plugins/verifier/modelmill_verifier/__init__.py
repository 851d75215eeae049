"""modelmill plug-in: runs models before and after a conversion, and says how far apart their outputs are."""

from typing import Any, Callable, Dict, Iterator

from modelmill_worker import Edge, NoOptions, Plugin, Preference, Role, Step, hookimpl, installed_tensorflow

from modelmill_verifier.comparison import Comparison, compare
from modelmill_verifier.contrast import contrast
from modelmill_verifier.graph_run import run_checkpoint, run_frozen_graph, run_graph
from modelmill_verifier.keras_run import run_keras
from modelmill_verifier.sampling import (
    Sampling,
    SavedModelSampling,
    adopt,
    adopt_keras,
    adopt_saved_model,
    sample,
    sample_keras,
    sample_saved_model,
)
from modelmill_verifier.saved_model_run import run_saved_model
from modelmill_verifier.saved_models import Part
from modelmill_verifier.tfjs_run import run_tfjs
from modelmill_verifier.tflite_interpreter import has_interpreter, interpreter_class
from modelmill_verifier.tflite_run import run_tflite
from modelmill_verifier.warm_up import warm_up

Facts = Dict[str, Any]

_OUTPUTS = (("outputs", "dataset"), ("reference", "dataset"))

#: Those that can run what they read: 1.5 is the oldest that there is an environment for.
_ANY = "tensorflow>=1.5"
#: Before that there is no interpreter in Python.
_WITH_INTERPRETER = "tensorflow>=1.9"
#: Before that TensorFlow comes without h5py.
_WITH_HDF5 = "tensorflow>=1.11"
#: The first that reads a .keras archive.
_WITH_KERAS_ARCHIVE = "tensorflow>=2.12"


@hookimpl
def modelmill_plugins() -> Iterator[Plugin]:
    """The one plug-in of this distribution."""
    yield Plugin(
        name="verifier",
        version="0.1.0",
        summary="Runs a model and what was made of it on the same inputs, and compares the outputs.",
        edges=(
            _sample("sample", "tf.frozen_graph", sample),
            _sample("sample-saved-model", "tf.saved_model", sample_saved_model, options=SavedModelSampling),
            _sample("sample-keras-h5", "keras.h5", sample_keras, _WITH_HDF5),
            _sample("sample-keras-v3", "keras.v3", sample_keras, _WITH_KERAS_ARCHIVE),
            _adopt("adopt", "tf.frozen_graph", adopt),
            _adopt("adopt-saved-model", "tf.saved_model", adopt_saved_model, options=Part),
            _adopt("adopt-keras-h5", "keras.h5", adopt_keras, _WITH_HDF5),
            _adopt("adopt-keras-v3", "keras.v3", adopt_keras, _WITH_KERAS_ARCHIVE),
            _run("run-checkpoint", "tf.checkpoint", run_checkpoint, _ANY),
            _run("run-graph", "tf.graph_def", run_graph, _ANY),
            _run("run-frozen-graph", "tf.frozen_graph", run_frozen_graph, _ANY),
            _run("run-saved-model", "tf.saved_model", run_saved_model, _ANY, options=Part),
            _run("run-keras-h5", "keras.h5", run_keras, _WITH_HDF5),
            _run("run-keras-v3", "keras.v3", run_keras, _WITH_KERAS_ARCHIVE),
            _run("run-tflite", "tflite", run_tflite, _WITH_INTERPRETER, Preference.MAKER),
            _run("run-tfjs", "tfjs.graph_model", run_tfjs, "tfjs-node>=4.22,<5", Preference.NEWEST),
            Edge("compare", Role.COMPARE, _OUTPUTS, "report.verification", compare, Comparison),
            Edge("contrast", Role.CONTRAST, (("*", "dataset"),), "report.contrast", contrast),
        ),
        preload=_preload,
        warm_up=warm_up,
    )


def _sample(name: str, kind: str, run: Callable[[Step], Facts], *needs: str, options: type = Sampling) -> Edge:
    """An edge that makes up inputs for models of a kind."""
    return Edge(name, Role.SAMPLE, (("model", kind),), "dataset", run, options, needs, Preference.WRITER)


def _adopt(name: str, kind: str, run: Callable[[Step], Facts], *needs: str, options: type = NoOptions) -> Edge:
    """An edge that takes a user's arrays as inputs for models of a kind."""
    inputs = (("model", kind), ("dataset", "dataset"))
    return Edge(name, Role.SAMPLE, inputs, "dataset", run, options, needs, Preference.WRITER)


def _run(
    name: str,
    kind: str,
    run: Callable[[Step], Facts],
    needs: str,
    preference: Preference = Preference.WRITER,
    options: type = NoOptions,
) -> Edge:
    """An edge that runs models of a kind on the inputs of a dataset."""
    inputs = (("model", kind), ("inputs", "dataset"))
    return Edge(name, Role.RUN, inputs, "dataset", run, options, (needs,), preference)


def _preload() -> None:
    """Import TensorFlow with its interpreter and its Keras where the environment has them; `base` needs neither."""
    if not installed_tensorflow.is_installed():
        return
    import tensorflow as tf

    # Each is imported when it is first looked up: contrib takes seconds, Keras 3 a second.
    assert tf.keras.models
    if has_interpreter():
        assert interpreter_class()
