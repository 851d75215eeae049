"""A model of more than protobuf can hold: frozen with its weights beside, verified, and refused by the converters."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from coordinator_process import CoordinatorProcess
from modelmill.client import Client, collect, conversion_pb2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: Six layers of 9600 x 9600 float32: 2.2 GB.
WIDTH, LAYERS = 9600, 6
WEIGHTS = 4 * WIDTH * WIDTH * LAYERS
MAKE = f"""
import sys
import tensorflow as tf
v1 = tf.compat.v1
with tf.Graph().as_default() as graph:
    values = v1.placeholder(tf.float32, [None, 32], "x")
    for index in range({LAYERS + 1}):
        rows = {WIDTH} if index else 32
        initial = v1.random_normal_initializer(0, rows**-0.5, seed=index)
        matrix = v1.get_variable("w%d" % index, [rows, {WIDTH}], initializer=initial, use_resource=False)
        values = tf.nn.relu(tf.matmul(values, matrix))
    tf.identity(values[:, :10], "y")
    saver = v1.train.Saver()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        saver.save(session, sys.argv[1] + "/model.ckpt", write_meta_graph=False)
    open(sys.argv[1] + "/graph.pb", "wb").write(graph.as_graph_def().SerializeToString())
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One that is gone afterwards: pytest keeps its own for the next runs, and this one has 15 GB."""
    with tempfile.TemporaryDirectory(prefix="modelmill-large-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def client(folder: Path, variables: dict[str, str]) -> Iterator[Client]:
    (folder / "home").mkdir()
    with CoordinatorProcess(folder / "home", variables) as process, Client(process.address) as made:
        yield made


@pytest.fixture(scope="module")
def source(folder: Path, client: Client) -> list[Path]:
    *_, last = client.install_environment("tf-1.15")
    if not last.HasField("environment"):
        pytest.skip("TensorFlow 1.15 cannot be had here")
    (folder / "source").mkdir()
    python = Path(last.environment.path) / "bin" / "python"
    subprocess.run([python, "-c", MAKE, folder / "source"], check=True, capture_output=True)
    return [folder / "source" / "model.ckpt", folder / "source" / "graph.pb"]


@pytest.mark.parametrize("version", ["1.15", "2.15"])
def test_is_frozen_and_computes_what_its_source_does(folder: Path, client: Client, source: list[Path], version: str):
    target = conversion_pb2.TargetRequest(name="frozen-graph", tensorflow=version)
    spec = conversion_pb2.ConversionSpec(targets=[target])
    conversion = client.convert(collect(*source), spec, folder / version)

    assert conversion.state == conversion_pb2.Conversion.SUCCEEDED, conversion.failure
    (result,) = conversion.results
    assert result.verification.state == conversion_pb2.Verification.PASSED
    assert [compared.output for compared in result.verification.outputs] == ["y"]
    peaks = {step.id.split(".")[0]: step.peak_memory for step in conversion.steps}
    assert peaks["freeze"] < 1.5e9  # TensorFlow, and the largest variable twice
    assert max(peaks.values()) < WEIGHTS + 1e9
    weights = folder / version / "frozen-graph" / "graph.weights"
    assert weights.stat().st_size > 2**31
    assert weights.with_name("graph.pb").stat().st_size < 10_000


@pytest.mark.parametrize("target", ["tflite", "tfjs"])
def test_converters_say_why_they_cannot(folder: Path, client: Client, source: list[Path], target: str):
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name=target)])
    conversion = client.convert(collect(*source), spec, folder / target)

    (result,) = conversion.results
    assert result.failure.reason == "GRAPH_TOO_LARGE"
    assert "2.2 GB" in result.failure.message
    assert "choose outputs" in result.failure.message
