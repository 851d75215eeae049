"""The plug-ins' own tests, once more inside the environments that their steps run in.

Elsewhere the tests that need TensorFlow, its converters or TensorFlow.js are skipped. Here none may be.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from pytest_elsewhere import ROOT, cache_folder, corpus_folder, install_packages, run_pytest

#: The first run installs the environments.
pytestmark = pytest.mark.timeout(1800)

HERE = Path(__file__).parent
CODE = ["protos", "workers", *sorted((ROOT / "plugins").glob("*/"))]
NEEDS_NODE = "tests/unit/verifier/test_tfjs_run.py"
NEEDS_TENSORFLOW_2 = "tests/unit/verifier/test_saved_model_of_tensorflow_2.py"
NEEDS_FUNCTIONS = "tests/unit/worker_shapes/test_functions_of_tensorflow_2.py"
NEEDS_LAYERS_OF_TENSORFLOW_2 = "tests/unit/rewriter/test_unroll_keras_of_tensorflow_2.py"
NEEDS_HDF5 = "tests/unit/verifier/test_keras_run.py"
NEEDS_INTERPRETER = "tests/unit/verifier/test_tflite_quantised.py"
#: From 1.14 on, without 2.1 to 2.3.
NEEDS_NEWER_INTERPRETER = "tests/unit/verifier/test_tflite_run.py"


@dataclass(frozen=True)
class Selection:
    """The tests that an environment passes: folders or files, without what it cannot do."""

    tests: tuple[str, ...]
    left_out: tuple[str, ...] = ()


TENSORFLOW = ("tests/unit/freezer", "tests/unit/tflite_quantizer", "tests/unit/verifier")
#: Steps that need nothing of an environment may be run by any; the oldest Python is where they could fail.
ANYWHERE = ("tests/unit/inspector", "tests/unit/rewriter", "tests/unit/worker_graph_def")
SHAPES = "tests/unit/worker_shapes"
QUANTIZER = ("tests/unit/tflite_quantizer",)
VERIFIER = ("tests/unit/verifier",)
NOT_IN_OLDEST = (NEEDS_NODE, NEEDS_TENSORFLOW_2, NEEDS_HDF5, NEEDS_NEWER_INTERPRETER)
#: What of the rewriter may come out otherwise than in 1.15, which runs all: kernels, versions, layers of Keras.
REWRITER_IN_TENSORFLOW_2 = tuple(
    f"tests/unit/rewriter/test_{name}.py"
    for name in (
        "calibrating",
        "dilations",
        "fake_quant_ranges",
        "fix_input_shapes",
        "fold_batch_norms",
        "golden",
        "kernels",
        "lower_operations",
        "nchw_to_nhwc",
        "proving",
        "raise_operations",
        "replace_select_operations",
        "unroll_corpus",
        "unroll_keras_of_tensorflow_2",
        "unroll_networks",
    )
)
SELECTIONS = {
    "tf-1.5": Selection((*VERIFIER, "tests/unit/freezer/test_weights_beside.py"), (*NOT_IN_OLDEST, NEEDS_INTERPRETER)),
    "tf-1.9": Selection(VERIFIER, NOT_IN_OLDEST),
    "tf-1.12": Selection((*QUANTIZER, NEEDS_HDF5)),
    "tf-1.14": Selection((*QUANTIZER, *VERIFIER), (NEEDS_NODE, NEEDS_TENSORFLOW_2)),
    "tf-1.15": Selection(
        (*TENSORFLOW, *ANYWHERE, SHAPES),
        (NEEDS_NODE, NEEDS_TENSORFLOW_2, NEEDS_FUNCTIONS, NEEDS_LAYERS_OF_TENSORFLOW_2),
    ),
    "tf-2.15": Selection((*TENSORFLOW, *REWRITER_IN_TENSORFLOW_2, SHAPES), (NEEDS_NODE,)),
    "tf-2.21": Selection(VERIFIER, (NEEDS_NODE,)),
    "tfjs-0.8": Selection(("tests/unit/tfjs_exporter",)),
    "tfjs-1.7": Selection(("tests/unit/tfjs_exporter",)),
    "tfjs-4": Selection((*TENSORFLOW, "tests/unit/tfjs_exporter"), (NEEDS_NODE,)),
    "tfjs-node-4": Selection((NEEDS_NODE,)),
}


@pytest.fixture(scope="module")
def environments():
    made = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    yield made
    made.close()


@pytest.mark.parametrize("name", SELECTIONS)
def test_passes_in(name, environments, tmp_path):
    status = environments.status(name)
    if status.availability is Availability.UNAVAILABLE:
        pytest.skip(status.unavailable_reason)
    environment = environments.ensure(name, print)
    packages = install_packages(HERE / f"requirements-{environment.definition.python}.txt", environment.python)

    outcome = run_pytest(
        environment.python,
        SELECTIONS[name].tests,
        CODE,
        tmp_path,
        packages,
        environment.variables,
        SELECTIONS[name].left_out,
    )

    assert outcome.exit_code == 0, outcome.output
    assert outcome.passed
    assert {test: reason for test, reason in outcome.skipped.items() if not lacks_corpus(reason)} == {}


def lacks_corpus(reason: str) -> bool:
    return "corpus" in reason and not corpus_folder().is_dir()
