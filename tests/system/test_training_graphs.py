"""A training graph, trained for real with queues, batch normalisation, dropout and moving averages, is converted.

The verification compares with the training graph's own session, run in inference mode. How such graphs become
inference graphs, for every version and make, is tested in `tests/integration/training_graphs`.
"""

import os
import subprocess
from pathlib import Path

import pytest
from coordinator_process import CoordinatorProcess
from google.protobuf import json_format
from modelmill.client import Client, collect, conversion_pb2
from refusals import fails, specification

TRAIN = Path(__file__).parents[1] / "integration" / "training_graphs" / "programs" / "train.py"
State = conversion_pb2.Conversion.State
#: float32 in another order of operations, of a range of at most 1.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def trained(
    shared_coordinator: CoordinatorProcess,
    corpus: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The checkpoint's prefix, written by TensorFlow 1.12."""
    with Client(shared_coordinator.address) as client:
        *_, last = client.install_environment("tf-1.12")
    if not last.HasField("environment"):
        pytest.skip("TensorFlow 1.12 cannot be had on this machine")
    folder = tmp_path_factory.mktemp("trained") / "slim_queue"
    variables = {**os.environ, "MNIST": str(corpus / "calibration" / "mnist2000.npz"), "CUDA_VISIBLE_DEVICES": "-1"}
    variables.pop("PYTHONPATH", None)
    subprocess.run(
        [Path(last.environment.path) / "bin" / "python", TRAIN, "slim_queue", folder], env=variables, check=True
    )
    return folder / "model.ckpt"


def test_a_training_graph_converts_and_is_verified(trained: Path, client: Client, tmp_path: Path) -> None:
    conversion = client.convert(trained, specification("tflite"), tmp_path / "out")

    assert conversion.state == State.SUCCEEDED, conversion.failure
    (result,) = conversion.results
    assert result.verification.state == conversion_pb2.Verification.PASSED
    (compared,) = result.verification.outputs
    assert compared.output == "predictions"
    assert compared.max_abs_error <= TOLERANCE
    (freeze,) = [step for step in conversion.steps if step.id == "freeze"]
    facts = json_format.MessageToDict(freeze.facts)
    assert facts["inputs"] == ["shuffle_batch"]
    assert any("cut at shuffle_batch" in change["what"] for change in facts["changes"])


def test_is_cut_where_the_user_says_and_has_the_shape_that_the_user_gives(
    trained: Path, client: Client, tmp_path: Path
) -> None:
    spec = specification(
        "tflite", freezer={"inputs": ["conv1/Relu=3,14,14,8:float32"], "outputs": ["logits/BiasAdd:0"]}
    )

    conversion = client.convert(trained, spec, tmp_path / "out")

    assert conversion.state == State.SUCCEEDED, conversion.failure
    (compared,) = conversion.results[0].verification.outputs
    assert (list(compared.shape), compared.passed) == ([3, 10], True)


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        ({"inputs": ["shuffle_bath"]}, "INPUT_NOT_FOUND", "shuffle_batch"),
        ({"outputs": ["prediction"]}, "OUTPUT_NOT_FOUND", "predictions"),
        ({"settings": {"is_training": "false"}}, "SETTING_NOT_FOUND", "no placeholder is_training"),
        ({"inputs": ["shuffle_batch=1,28,28,3"]}, "INPUT_SHAPE_MISMATCH", "does not fit"),
        ({"inputs": ["shuffle_batch:uint8"]}, "INPUT_TYPE_MISMATCH", "float32"),
        ({"inputs": ["shuffle_batch=1,x"]}, "INPUT_MALFORMED", "images=1,224,224,3:float32"),
    ],
)
def test_what_is_not_there_or_does_not_fit_is_refused(
    options: dict,
    reason: str,
    words: str,
    trained: Path,
    client: Client,
    tmp_path: Path,  # type: ignore[type-arg]
) -> None:
    failure = fails(client, collect(trained), specification("tflite", freezer=options), tmp_path)

    assert failure.reason == reason
    assert words in failure.message
