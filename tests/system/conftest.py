"""What the system tests share: coordinator processes, clients, models, and one cache of environments for all tests."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uv

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from coordinator_process import CoordinatorProcess  # noqa: E402
from modelmill.client import Client, Source, catalog_pb2, collect  # noqa: E402
from pytest_elsewhere import cache_folder, corpus_folder  # noqa: E402

PROJECT = HERE.parents[1]
MISBEHAVING = PROJECT / "tests" / "plugins" / "misbehaving"
MTCNN = PROJECT / "examples" / "mtcnn"


@pytest.fixture(scope="session")
def cache() -> Path:
    """Environments, installed once for all tests and kept for the next run; MODELMILL_TEST_CACHE moves them."""
    return cache_folder()


@pytest.fixture(scope="session")
def variables(cache: Path) -> dict[str, str]:
    return {"MODELMILL_CACHE": str(cache), "MODELMILL_PLUGINS": str(MISBEHAVING), "MODELMILL_SLOTS": "2"}


@pytest.fixture(scope="session")
def corpus() -> Path:
    folder = corpus_folder()
    if not folder.is_dir():
        pytest.skip(f"the corpus of trained models is not at {folder}; set MODELMILL_CORPUS")
    return folder


@pytest.fixture(scope="session")
def shared_coordinator(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]
) -> Iterator[CoordinatorProcess]:
    """One coordinator for the tests that do not kill it: its workers stay warm from test to test."""
    with CoordinatorProcess(tmp_path_factory.mktemp("shared-home"), variables) as process:
        yield process


@pytest.fixture(scope="module")
def doomed_coordinator(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]
) -> Iterator[CoordinatorProcess]:
    """One for the tests of a module that kill it again and again; each leaves it running."""
    with CoordinatorProcess(tmp_path_factory.mktemp("doomed-home"), variables) as process:
        yield process


@pytest.fixture
def client(shared_coordinator: CoordinatorProcess) -> Iterator[Client]:
    with Client(shared_coordinator.address) as made:
        yield made


@pytest.fixture(scope="session")
def frozen() -> Path:
    """A small frozen GraphDef, as text: the model of the environments' smoke test."""
    return PROJECT / "workers" / "environments" / "smoke" / "graph.pbtxt"


@pytest.fixture(scope="session")
def writer(shared_coordinator: CoordinatorProcess) -> catalog_pb2.Environment:
    """The environment in which the demo writes its checkpoint: TensorFlow 1.15 where it can be had."""
    with Client(shared_coordinator.address) as client:
        for name in ("tf-1.15", "tf-2.15"):
            *_, last = client.install_environment(name)
            if last.HasField("environment"):
                return last.environment
    pytest.skip("no TensorFlow environment can be had on this machine")


@pytest.fixture(scope="session")
def checkpoint_folder(cache: Path, writer: catalog_pb2.Environment) -> Path:
    """The demo's P-Net as a training checkpoint, made once for each state of what makes it."""
    files = (MTCNN / "build_checkpoint.py", MTCNN / "requirements.txt")
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = cache / "models" / f"pnet-{writer.name}-{digest}"
    if not folder.is_dir():
        _build_checkpoint(Path(writer.path) / "bin" / "python", folder)
    return folder


def _build_checkpoint(python: Path, folder: Path) -> None:
    beside = folder.with_suffix(f".{os.getpid()}")
    weights = beside / "weights"
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--target", weights]
    subprocess.run([*install, "--require-hashes", "--no-deps", "-r", MTCNN / "requirements.txt"], check=True)
    build = [python, MTCNN / "build_checkpoint.py", "--weights", weights, "--output", beside / "model"]
    subprocess.run(build, check=True)
    (beside / "model").rename(folder)
    shutil.rmtree(beside)


@pytest.fixture(scope="session")
def checkpoint(checkpoint_folder: Path) -> Source:
    return collect(checkpoint_folder / "model.ckpt", checkpoint_folder / "graph.pbtxt")


@pytest.fixture
def coordinator_of(tmp_path: Path, variables: dict[str, str]) -> Iterator[Callable[..., CoordinatorProcess]]:
    """Makes coordinators with variables of their own, each in a home of its own; not started yet."""
    made: list[CoordinatorProcess] = []

    def make(**more: str) -> CoordinatorProcess:
        made.append(CoordinatorProcess(tmp_path / f"home-{len(made)}", {**variables, **more}))
        return made[-1]

    yield make
    for process in made:
        process.close()


@pytest.fixture
def pnet(corpus: Path, tmp_path: Path) -> Path:
    """A folder with P-Net's checkpoint and graph, to be damaged."""
    folder = tmp_path / "pnet"
    folder.mkdir()
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001", "graph.pb"):
        shutil.copyfile(corpus / "mtcnn" / "tf1.15.5" / "pnet" / name, folder / name)
    return folder
