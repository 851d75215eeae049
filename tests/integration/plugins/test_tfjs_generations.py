"""Every generation of tensorflowjs exports real models, and TensorFlow.js of today computes what TensorFlow does."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.installation import Environments
from modelmill.settings import Settings
from modelmill.values import Availability
from modelmill_verifier import tfjs_run
from modelmill_worker import Step, Tree, graph_def, options
from modelmill_worker import signature as signatures
from modelmill_worker.signature import Signature, Tensor
from pytest_elsewhere import ROOT, cache_folder, corpus_folder

#: The first run installs the environments.
pytestmark = pytest.mark.timeout(1800)

CODE = [ROOT / "protos", ROOT / "workers", *sorted((ROOT / "plugins").glob("*/"))]

#: Runs the edges that need TensorFlow in an environment: the export, and the source for comparison.
PROGRAM = """
import json, sys
from pathlib import Path
from modelmill_tfjs_exporter import modelmill_plugins as exporter
from modelmill_verifier import modelmill_plugins as verifier
from modelmill_worker import Step, Tree, options

folder = Path(sys.argv[1])

def run(plugins, name, **inputs):
    (plugin,) = plugins()
    (edge,) = [edge for edge in plugin.edges if edge.name == name]
    made = folder / name
    made.mkdir()
    trees = {key: Tree("", path, tuple(sorted(file.name for file in path.iterdir()))) for key, path in inputs.items()}
    return edge.run(Step(trees, options.parse(edge.options, {}), made, folder / "scratch"))

facts = run(exporter, "export", model=folder / "rewrite")
run(verifier, "run-frozen-graph", model=folder / "frozen", inputs=folder / "sample")
(folder / "facts.json").write_text(json.dumps(dict(facts)))
"""


def tensor(name: str, *shape: int) -> Tensor:
    return Tensor(name, f"{name}:0", "float32", shape)


POSENET = ("heatmap_2", 17), ("offset_2", 34), ("displacement_fwd_2", 32), ("displacement_bwd_2", 32)
MODELS = {
    "a small network": (
        definitions_folder({}) / "smoke" / "graph.pbtxt",
        Signature((tensor("image", 1, 8, 8, 3),), (tensor("scores", 1, 5),)),
    ),
    "P-Net": (
        corpus_folder() / "mtcnn" / "tf1.9.0" / "pnet" / "frozen.pb",
        Signature(
            (tensor("pnet/input", -1, -1, -1, 3),), (tensor("prob", -1, -1, -1, 2), tensor("bbox", -1, -1, -1, 4))
        ),
    ),
    "PoseNet": (
        corpus_folder() / "posenet" / "frozen.pb",
        Signature(
            (tensor("image", 1, 385, 385, 3),),
            tuple(tensor(f"MobilenetV1/{name}/BiasAdd", 1, 25, 25, channels) for name, channels in POSENET),
        ),
    ),
}
#: PReLUs of P-Net, and other activations of PoseNet, that are part of a convolution's operator.
FUSED = {
    "tfjs-0.8": {"P-Net": 0, "PoseNet": 0},
    "tfjs-1.7": {"P-Net": 3, "PoseNet": 27},
    "tfjs-4": {"P-Net": 3, "PoseNet": 27},
}


@pytest.fixture(scope="module")
def environments():
    made = Environments(Settings(home=cache_folder()), load_definitions(definitions_folder({})))
    yield made
    made.close()


@pytest.fixture
def installed(environments):
    """The environment of that name; the test is skipped where this machine cannot have it."""

    def ensure(name):
        status = environments.status(name)
        if status.availability is Availability.UNAVAILABLE:
            pytest.skip(status.unavailable_reason)
        return environments.ensure(name, print)

    return ensure


def run_here(folder, module, name, values=None, **inputs):
    """A step in this process, into a folder named like its edge."""
    (plugin,) = importlib.import_module(module).modelmill_plugins()
    (edge,) = [edge for edge in plugin.edges if edge.name == name]
    (folder / name).mkdir()
    trees = {key: Tree("", path, tuple(sorted(file.name for file in path.iterdir()))) for key, path in inputs.items()}
    return edge.run(Step(trees, options.parse(edge.options, values or {}), folder / name, folder / "scratch"))


def run_there(environment, folder):
    subprocess.run(
        [environment.python, "-c", PROGRAM, folder],
        env={**os.environ, **environment.variables, "PYTHONPATH": os.pathsep.join(str(path) for path in CODE)},
        check=True,
        stdout=sys.stderr,
    )
    return json.loads((folder / "facts.json").read_text())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", FUSED)
def test_computes_what_the_source_does(name, model, installed, monkeypatch, tmp_path):
    source, signature = MODELS[model]
    if not source.exists():
        pytest.skip("there is no corpus; set MODELMILL_CORPUS")
    environment, node = installed(name), installed("tfjs-node-4")
    monkeypatch.setenv(tfjs_run.MODULES, node.variables[tfjs_run.MODULES])
    for folder in ("frozen", "scratch"):
        (tmp_path / folder).mkdir()
    (tmp_path / "frozen" / "graph.pb").write_bytes(graph_def.read(Path(source)).SerializeToString())
    signatures.write(tmp_path / "frozen", signature)

    tensorflow = environment.definition.provides["tensorflow"]
    for_it = {"target": "tfjs", "tensorflow": tensorflow}
    run_here(tmp_path, "modelmill_rewriter", "rewrite", for_it, model=tmp_path / "frozen")
    run_here(tmp_path, "modelmill_verifier", "sample", model=tmp_path / "frozen")
    facts = run_there(environment, tmp_path)
    run_here(tmp_path, "modelmill_verifier", "run-tfjs", model=tmp_path / "export", inputs=tmp_path / "sample")
    compared = run_here(
        tmp_path,
        "modelmill_verifier",
        "compare",
        outputs=tmp_path / "run-tfjs",
        reference=tmp_path / "run-frozen-graph",
    )

    assert facts["tensorflow"] == tensorflow
    assert compared["tolerance"] == 1e-4
    assert compared["passed"], compared
    assert len(compared["outputs"]) == len(signature.outputs)
    if model in FUSED[name]:
        activated = [count for what, count in facts["fused"].items() if "elu" in what]
        assert sum(activated) == FUSED[name][model]
