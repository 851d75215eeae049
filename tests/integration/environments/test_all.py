"""Every environment that this machine can have: installed, imported, and a model converted in a real worker."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from modelmill.artifacts.store import ArtifactStore
from modelmill.fleet.code_layer import CodeLayer
from modelmill.fleet.definitions import EnvironmentDefinition, definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.fleet.local import LocalFleet
from modelmill.fleet.smoke import check_environment, smoke_graph
from modelmill.settings import Settings
from modelmill.values import Availability

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

DEFINITIONS = load_definitions(definitions_folder({}))


def conversions(definition: EnvironmentDefinition) -> set[str]:
    """What an environment has to make: a frozen graph anywhere, TFLite with any TensorFlow, and what else it is for."""
    kinds = {"tf.frozen_graph"}
    if "tensorflow" in definition.provides:
        kinds.add("tflite")
    if "tensorflowjs" in definition.provides:
        kinds.add("tfjs.graph_model")
    return kinds


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture
def environments(settings):
    made = Environments(settings, DEFINITIONS)
    yield made
    made.close()


@pytest.mark.parametrize("name", DEFINITIONS)
async def test_installs_and_converts(settings, environments, name):
    status = environments.status(name)
    if status.availability is Availability.UNAVAILABLE:
        pytest.skip(status.unavailable_reason)
    told: list[str] = []
    fleet = LocalFleet(settings, environments, CodeLayer(settings), ArtifactStore(settings.store))
    await fleet.start()
    try:
        checked = await check_environment(fleet, name, told.append)
    finally:
        await fleet.close()
    assert checked.availability is Availability.INSTALLED
    assert told[-1].startswith(f"{name}: It works: imports, freezes")
    wanted = conversions(DEFINITIONS[name])
    made = {line.rsplit(": ", 1)[1] for line in told if line.startswith(f"{name}: ")}
    assert made & {"tf.frozen_graph", "tflite", "tfjs.graph_model"} == wanted
    unrun = 0 if "tensorflow" in DEFINITIONS[name].provides else 1  # a frozen graph, where nothing runs it
    assert told[-1].count("from the graph's own results") == len(wanted) - unrun, told[-1]


RUN = """
import sys
import numpy as np, tensorflow as tf
from google.protobuf import text_format
v1 = tf.compat.v1 if hasattr(tf.compat, "v1") else tf  # before 1.13 there is but one
graph = v1.GraphDef()
text_format.Parse(open(sys.argv[1]).read(), graph)
with tf.Graph().as_default():
    v1.import_graph_def(graph, name="")
    with v1.Session() as session:
        np.save(sys.argv[3], session.run("scores:0", {"image:0": np.load(sys.argv[2])}))
"""


def scores(image: np.ndarray) -> np.ndarray:
    """What the smoke graph computes, in float64 and without TensorFlow."""
    from google.protobuf import text_format
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    constants = {
        node.name: np.array(node.attr["value"].tensor.float_val).reshape(
            [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
        )
        for node in text_format.Parse(smoke_graph().read_text(), GraphDef()).node
        if node.op == "Const" and node.attr["value"].tensor.float_val
    }
    patches = np.stack(
        [image[0, y : y + 3, x : x + 3].reshape(-1) for y in range(0, 6, 2) for x in range(0, 6, 2)]
    ).astype(np.float64)
    convolved = patches @ constants["convolution/weights"].reshape(27, 4) + constants["convolution/bias"]
    return np.maximum(convolved, 0).reshape(1, 36) @ constants["product/weights"] + constants["scores/bias"]


@pytest.mark.parametrize("name", [name for name, one in DEFINITIONS.items() if "tensorflow" in one.provides])
def test_the_smoke_graph_means_the_same_to_every_tensorflow(environments, tmp_path, name):
    status = environments.status(name)
    if status.availability is Availability.UNAVAILABLE:
        pytest.skip(status.unavailable_reason)
    installed = environments.ensure(name, print)
    image = np.random.default_rng(7).uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    subprocess.run(
        [installed.python, "-I", "-c", RUN, smoke_graph(), tmp_path / "image.npy", tmp_path / "scores.npy"],
        env={**os.environ, **installed.definition.variables},
        check=True,
        capture_output=True,
    )
    # Sums of at most 36 products of numbers below 8: float32's rounding stays below 36 * 8 * 2**-24 = 1.7e-5.
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), scores(image), rtol=0, atol=2e-5)
    assert Path(status.path or installed.path).exists()
