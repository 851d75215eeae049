"""What the table of operations says of real models, against what TensorFlow's own versions do with them.

A graph counts as read where import_graph_def takes it and its run does not end with a refusal of an operation or an
attribute: TensorFlow before 1.8 looks at attributes, and any looks at functions, only when it makes the kernels for a
run. That variables have no values, or that zeros do not suit the model, does not matter.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from modelmill_inspector._recognition import recognise_source
from modelmill_worker import graph_def, op_versions, saved_model
from modelmill_worker.dataflow import prune
from modelmill_worker.plugin_api import Tree
from pytest_elsewhere import cache_folder, corpus_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MODELS = [
    "posenet/frozen.pb",
    "kws-tf1-frozen/DS_CNN_S.pb",
    "kws-tf1-frozen/CRNN_S.pb",
    "kws-tf1-frozen/Basic_LSTM_S.pb",
    *(f"mtcnn/tf{version}/{net}/frozen.pb" for version in ("1.9.0", "1.15.5") for net in ("pnet", "rnet", "onet")),
    *(f"mtcnn/tf{version}/{net}/saved_model" for version in ("1.9.0", "1.15.5") for net in ("pnet", "onet")),
    "mtcnn/keras2/pnet_saved_model",
    "basic-pitch/nmp",
    "kws-dscnn/kws_ref_model",
]
VERSIONS = ["1.5", "1.6", "1.7", "1.8", "1.9", "1.10", "1.12", "1.13", "1.14", "1.15", "2.0", "2.1", "2.4", "2.5"]
VERSIONS += ["2.8", "2.12", "2.15", "2.16", "2.18", "2.21"]

#: Runs in an environment, from Python 3.6 on: reads each graph in a process of its own.
READING = r"""
import json, os, re, sys
import numpy as np, tensorflow as tf

v1 = tf.compat.v1 if hasattr(tf, "compat") and hasattr(tf.compat, "v1") else tf
REFUSALS = re.compile(
    "NodeDef mentions attr|not registered|No op named|Value for attr|is not in the list of allowed values"
    "|missing attr|expected inputs|do not match|specified with|It has been removed in version|min consumer"
)

def refusal(case):
    graph = v1.GraphDef()
    with open(case["graph"], "rb") as file:
        graph.ParseFromString(file.read())
    with tf.Graph().as_default() as imported:
        try:
            v1.import_graph_def(graph, name="")
        except Exception as error:
            return str(error)
        with v1.Session() as session:
            try:
                tensors = {name: imported.get_tensor_by_name(name) for name in case["inputs"]}
                session.run(case["outputs"], {name: zeros(tensor) for name, tensor in tensors.items()})
            except tf.errors.OpError as error:
                return str(error) if REFUSALS.search(str(error)) else ""
    return ""

def zeros(tensor):
    known = tensor.shape.ndims is not None
    shape = [64 if size in (None, -1) else size for size in tensor.shape.as_list()] if known else [1]
    return np.zeros(shape, tensor.dtype.as_numpy_dtype)

def in_own_process(case):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said = refusal(case)
        os.write(writing, json.dumps(said[:2000]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return json.loads(said.decode()) if said else "the process died"

with open(sys.argv[1]) as file:
    cases = json.load(file)
with open(sys.argv[2], "w") as file:
    json.dump({name: in_own_process(case) for name, case in cases.items()}, file)
"""


@dataclass(frozen=True)
class Model:
    """The part of a model's graph that its outputs need, on no particular device."""

    graph: object
    inputs: list[str]
    outputs: list[str]


@pytest.fixture(scope="module")
def environments():
    made = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    yield made
    made.close()


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    corpus = corpus_folder()
    if not corpus.is_dir():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    return {name: model(corpus / name) for name in MODELS}


def model(path: Path) -> Model:
    if path.is_dir():
        files = sorted(found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file())
        graph = saved_model.read(path / "saved_model.pb").graph
        facts = recognise_source(Tree("source", path, tuple(files))).facts
    else:
        graph = graph_def.read(path)
        facts = recognise_source(Tree("source", path.parent, (path.name,))).facts
    outputs = [tensor["tensor"] for tensor in facts["outputs"]]
    pruned = prune(graph, [graph_def.node_name(name) for name in outputs])
    for node in pruned.node:
        node.device = ""
        if "_class" in node.attr:
            del node.attr["_class"]
    return Model(pruned, [tensor["tensor"] for tensor in facts["inputs"]], outputs)


@pytest.mark.parametrize("version", VERSIONS)
def test_says_what_the_version_does(version, environments, models, tmp_path):
    status = environments.status(f"tf-{version}")
    if status.availability is Availability.UNAVAILABLE:
        pytest.skip(status.unavailable_reason)
    cases, expected = {}, {}
    for name, one in models.items():
        verdict = op_versions.judge(one.graph)[version]
        cases[name] = case(tmp_path, name, one, one.graph)
        expected[name] = verdict.readable
        if verdict.dropped:
            stripped = graph_def.copy(one.graph)
            assert sorted(op_versions.drop_default_attributes(stripped, version)) == list(verdict.dropped)
            cases[f"{name}, stripped"] = case(tmp_path, f"{name}, stripped", one, stripped)
            expected[f"{name}, stripped"] = True

    said = read_in(environments.ensure(f"tf-{version}", print), cases, tmp_path)

    wrong = {name: said[name] or "read" for name in cases if expected[name] is not (said[name] == "")}
    assert wrong == {}
    assert len(said) >= len(MODELS)


def case(folder: Path, name: str, one: Model, graph: object) -> dict[str, object]:
    file = folder / (name.replace("/", "_") + ".pb")
    graph_def.write(file, graph)
    return {"graph": str(file), "inputs": one.inputs, "outputs": one.outputs}


def read_in(environment, cases: dict[str, dict[str, object]], folder: Path) -> dict[str, str]:
    (folder / "cases.json").write_text(json.dumps(cases))
    result = subprocess.run(
        [environment.python, "-W", "ignore", "-c", READING, folder / "cases.json", folder / "said.json"],
        env={"HOME": str(folder), **environment.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads((folder / "said.json").read_text())
