"""Models with functions, control flow and tables, written by every generation of TensorFlow, become frozen graphs.

Each frozen graph must answer as the source does through its own signature, to 1e-6 of an output's range.
"""

import json
import subprocess
from pathlib import Path

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from pytest_elsewhere import ROOT, cache_folder, corpus_folder

#: The first run installs the environments.
pytestmark = pytest.mark.timeout(1800)

PROGRAMS = Path(__file__).parent / "programs"
CODE = ["protos", "workers", "plugins/freezer", "plugins/verifier"]
SLOW = pytest.mark.slow
TENSORFLOW_1 = (pytest.param("tf-1.12", marks=SLOW), "tf-1.15")
TENSORFLOW_2 = (pytest.param("tf-2.0", marks=SLOW), pytest.param("tf-2.4", marks=SLOW), "tf-2.15", "tf-2.21")
CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
OF_VARIABLES = {"VarHandleOp", "ReadVariableOp", "VariableV2", "AssignAddVariableOp", "ResourceGather"}
TABLE_OUTPUTS = ["constants", "numbers", "parts", "trained_numbers", "embedded"]


@pytest.fixture(scope="module")
def environments():
    made = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    yield made
    made.close()


@pytest.fixture(scope="module")
def run(environments):
    """Run a program in an environment; its lines that are JSON."""

    def call(name, program, *arguments):
        status = environments.status(name)
        if status.availability is Availability.UNAVAILABLE:
            pytest.skip(status.unavailable_reason)
        environment = environments.ensure(name, print)
        variables = {
            **environment.variables,
            "PYTHONPATH": ":".join(str(ROOT / part) for part in CODE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": "/usr/bin:/bin",
        }
        command = [str(environment.python), str(PROGRAMS / program), *map(str, arguments)]
        done = subprocess.run(command, env=variables, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
        return [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith("{")]

    return call


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    """The folder with the models that an environment has written."""
    folders = {}

    def write(name):
        if name not in folders:
            folder = tmp_path_factory.mktemp(name)
            run(name, f"write_tensorflow_{name[3]}.py", folder)
            folders[name] = folder
        return folders[name]

    return write


@pytest.fixture
def compare(run, tmp_path_factory):
    def call(name, *models):
        steps = tmp_path_factory.mktemp("steps")
        return run(name, "freeze_and_compare.py", steps, *[json.dumps(model) for model in models])

    return call


def saved_model(path, key="", **more):
    part = {"part": {"signature_key": key}} if key else {}
    return {"kind": "tf.saved_model", "path": str(path), **part, **more}


@pytest.mark.parametrize("name", TENSORFLOW_1)
def test_models_of_tensorflow_1(name, written, compare):
    folder = written(name)
    models = []
    for model, outputs in (("tables", TABLE_OUTPUTS), ("loops", ["out"]), ("loops_as_functions", ["out", "turned"])):
        if (folder / model).exists():
            models.append(saved_model(folder / model / "saved_model"))
            options = {"outputs": outputs}
            models.append({"kind": "tf.checkpoint", "path": str(folder / model / "checkpoint"), "options": options})
    models.append({"kind": "keras.h5", "path": str(folder / "keras" / "recurrent.h5")})
    results = compare(name, *models)
    assert len(results) == len(models) == (7 if name == "tf-1.15" else 5)
    for model, result in zip(models, results, strict=True):
        assert result.get("passed"), (model, result)
        assert not OF_VARIABLES & set(result["operations"])
        assert len(result["initializers"]) == (4 if "tables" in model["path"] else 0)


@pytest.mark.parametrize("name", TENSORFLOW_2)
@pytest.mark.parametrize("inline", [True, False])
def test_signatures_of_tensorflow_2(name, inline, written, compare):
    options = {"inline_functions": inline}
    path = written(name) / "functions"
    shapes = {"x": [2, 3]}
    models = [
        saved_model(path, key, options=options, input_shapes=shapes)
        for key in ("captures", "branches", "loops", "calls_twice")
    ]
    models.append(saved_model(path, "embeds", options=options))
    for model, result in zip(models, compare(name, *models), strict=True):
        assert result.get("passed"), (model, result)
        assert not OF_VARIABLES & set(result["operations"])
        assert bool(CALLS & set(result["operations"])) is not inline
        changes = {change["what"]: change["count"] for change in result["facts"]["changes"]}
        assert any("Calls of functions" in what for what in changes) is inline
        assert ("Updates of variables are gone." in changes) is (inline and "calls_twice" in model["part"].values())
        needs_functions = model["part"]["signature_key"] in ("branches", "loops")
        assert (result["functions"] > 0) is (needs_functions or not inline)


@pytest.mark.parametrize("name", TENSORFLOW_2)
def test_keras_models_of_tensorflow_2(name, written, compare):
    folder = written(name)
    models = [saved_model(folder / model) for model in ("recurrent", "two")]
    models += [{"kind": "keras.h5", "path": str(folder / model)} for model in ("recurrent.h5", "two.h5")]
    archives = [folder / model for model in ("recurrent.keras", "two.keras")]
    models += [{"kind": "keras.v3", "path": str(path)} for path in archives if path.exists()]
    assert len(models) == (4 if name in ("tf-2.0", "tf-2.4") else 6)
    for model, result in zip(models, compare(name, *models), strict=True):
        assert result.get("passed"), (model, result)
        assert not (OF_VARIABLES | CALLS) & set(result["operations"])


@pytest.mark.parametrize("name", TENSORFLOW_2)
def test_tables_of_tensorflow_2(name, written, compare):
    folder = written(name)
    if name == "tf-2.0":  # which forgets the asset, so that only the path is left
        (missing,) = compare(name, saved_model(folder / "tables"))
        assert missing["reason"] == "VOCABULARY_MISSING"
        assert missing["details"]["file"] == str(folder / "words.txt")
        (folder / "tables" / "words.txt").write_bytes((folder / "words.txt").read_bytes())
    (result,) = compare(name, saved_model(folder / "tables"))
    assert result.get("passed"), result
    assert len(result["initializers"]) == 2
    assert not any("TextFile" in operation for operation in result["operations"])


def test_refuses_what_changes_with_each_call(written, compare):
    (result,) = compare("tf-2.15", saved_model(written("tf-2.15") / "functions", "counts", input_shapes={"x": [2, 3]}))
    assert result["reason"] == "UNSUPPORTED_VARIABLE_USE"
    assert "AssignAddVariableOp" in result["details"]["update"]


def test_names_the_signatures_that_there_are(written, compare):
    wrong, none = compare(
        "tf-2.15",
        saved_model(written("tf-2.15") / "functions", "captured"),
        saved_model(written("tf-2.15") / "functions"),
    )
    assert wrong["reason"] == none["reason"] == "SIGNATURE_NOT_FOUND"
    assert "captures" in wrong["details"]["known"]


@SLOW
def test_makes_no_more_nodes_than_tensorflow(run, written, compare):
    """calls_twice is left out: TensorFlow's own function fails for it."""
    folder = written("tf-2.15")
    shapes = {"input_shapes": {"x": [2, 3]}}
    models = [saved_model(folder / "functions", key, **shapes) for key in ("captures", "branches", "loops")]
    models += [saved_model(folder / "functions", "embeds"), saved_model(folder / "recurrent")]
    if corpus_folder().is_dir():
        found = ("basic-pitch/nmp", "kws-dscnn/kws_ref_model", "mtcnn/keras2/pnet_saved_model")
        models += [saved_model(corpus_folder() / path) for path in found]
    pairs = [(model["path"], model.get("part", {}).get("signature_key", "serving_default")) for model in models]
    theirs = run("tf-2.15", "convert_with_tensorflow.py", *[item for pair in pairs for item in pair])
    for model, ours, their in zip(models, compare("tf-2.15", *models), theirs, strict=True):
        assert ours.get("passed"), (model, ours)
        assert ours["facts"]["nodes"] <= their["nodes"], model


#: Environments and sources of the corpus: each kind of source with the versions that read it.
CORPUS = [
    ("tf-1.15", "tf.saved_model", "mtcnn/tf1.9.0/pnet/saved_model"),
    ("tf-1.15", "tf.saved_model", "mtcnn/tf1.9.0/rnet/saved_model"),
    ("tf-1.12", "tf.saved_model", "mtcnn/tf1.9.0/onet/saved_model"),
    ("tf-1.15", "tf.saved_model", "mtcnn/tf1.15.5/pnet/saved_model"),
    ("tf-2.15", "tf.saved_model", "mtcnn/tf1.15.5/rnet/saved_model"),
    ("tf-2.21", "tf.saved_model", "mtcnn/tf1.15.5/onet/saved_model"),
    ("tf-2.15", "tf.saved_model", "mtcnn/keras2/pnet_saved_model"),
    ("tf-2.4", "tf.saved_model", "basic-pitch/nmp"),
    ("tf-2.21", "tf.saved_model", "basic-pitch/nmp"),
    ("tf-2.4", "tf.saved_model", "kws-dscnn/kws_ref_model"),
    ("tf-2.15", "keras.h5", "mtcnn/keras2/pnet.h5"),
    ("tf-2.15", "keras.h5", "mtcnn/keras2/onet.h5"),
    ("tf-2.15", "keras.v3", "mtcnn/keras2/pnet.keras"),
    ("tf-2.15", "keras.v3", "mtcnn/keras2/onet.keras"),
    ("tf-2.21", "keras.v3", "mtcnn/keras3/pnet.keras"),
    ("tf-2.21", "keras.v3", "mtcnn/keras3/onet.keras"),
    ("tf-2.4", "keras.h5", "resnet8/pretrainedResnet.h5"),
    ("tf-2.15", "keras.h5", "keras-audio-classifier/model.keras"),
    ("tf-2.15", "keras.v3", "keras-nlf-classifier/model.keras"),
    ("tf-2.21", "keras.v3", "keras-mnist-cnn/model.keras"),
]


@SLOW  # tests/system/test_freezing_corpus.py has each of them once, in the environment that the planner takes
@pytest.mark.parametrize("name", sorted({environment for environment, *_ in CORPUS}))
def test_models_of_the_corpus(name, compare):
    if not corpus_folder().is_dir():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    models = [
        {"kind": kind, "path": str(corpus_folder() / path)} for environment, kind, path in CORPUS if environment == name
    ]
    for model, result in zip(models, compare(name, *models), strict=True):
        assert result.get("passed"), (model, result)
        assert not (OF_VARIABLES | CALLS) & set(result["operations"])
        assert result["functions"] == 0
