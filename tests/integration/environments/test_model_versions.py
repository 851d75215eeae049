"""What the inspector says of Keras files and SavedModels, against what TensorFlow's own versions load."""

import json
import subprocess

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from modelmill_inspector._recognition import recognise_source
from modelmill_worker.plugin_api import Tree
from pytest_elsewhere import cache_folder, corpus_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MODELS = [
    "keras-mnist-cnn/model.keras",
    "keras-nlf-classifier/model.keras",
    "keras-audio-classifier/model.keras",
    "mtcnn/keras2/pnet.h5",
    "mtcnn/keras2/pnet.keras",
    "mtcnn/keras3/pnet.keras",
    "resnet8/pretrainedResnet.h5",
    "mtcnn/tf1.15.5/pnet/saved_model",
    "mtcnn/keras2/pnet_saved_model",
    "basic-pitch/nmp",
    "kws-dscnn/kws_ref_model",
]
VERSIONS = ["1.11", "1.15", "2.0", "2.2", "2.3", "2.12", "2.14", "2.15", "2.16", "2.21"]

#: Runs in an environment, from Python 3.6 on: loads each model in a process of its own.
LOADING = r"""
import json, os, sys
import tensorflow as tf

def refusal(path):
    try:
        if not os.path.isdir(path):
            tf.keras.models.load_model(path, compile=False)
        elif tf.__version__.startswith("1."):
            v1 = tf.compat.v1 if hasattr(tf, "compat") and hasattr(tf.compat, "v1") else tf
            with tf.Graph().as_default(), v1.Session() as session:
                v1.saved_model.loader.load(session, ["serve"], path)
        else:
            tf.saved_model.load(path)
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
    return ""

def in_own_process(path):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, json.dumps(refusal(path)[:2000]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return json.loads(said.decode()) if said else "the process died"

with open(sys.argv[1], "w") as file:
    json.dump({path: in_own_process(path) for path in sys.argv[2:]}, file)
"""


@pytest.fixture(scope="module")
def environments():
    made = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    yield made
    made.close()


@pytest.fixture(scope="module")
def facts() -> dict[str, dict[str, object]]:
    corpus = corpus_folder()
    if not corpus.is_dir():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    found = {}
    for name in MODELS:
        path = corpus / name
        folder = path if path.is_dir() else path.parent
        files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
        tree = Tree("source", folder, tuple(file.relative_to(folder).as_posix() for file in files))
        found[str(path)] = recognise_source(tree).facts["tensorflow"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_loads_what_the_inspector_says(version, environments, facts, tmp_path):
    status = environments.status(f"tf-{version}")
    if status.availability is Availability.UNAVAILABLE:
        pytest.skip(status.unavailable_reason)
    environment = environments.ensure(f"tf-{version}", print)
    result = subprocess.run(
        [environment.python, "-W", "ignore", "-c", LOADING, tmp_path / "said.json", *facts],
        env={"HOME": str(tmp_path), **environment.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    said = json.loads((tmp_path / "said.json").read_text())

    assert len(said) == len(MODELS)
    assert {path: error for path, error in said.items() if error and version in facts[path]["readable"]} == {}
    # TensorFlow 1's loader looks at a SavedModel's functions only when they run.
    loaded = [path for path, error in said.items() if not error and version in facts[path]["unreadable"]]
    assert loaded == []
