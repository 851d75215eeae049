"""What the system tests share: a coordinator process, clients, and one cache of environments for all tests."""

import os
import sys
from pathlib import Path

import platformdirs
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from coordinator_process import CoordinatorProcess  # noqa: E402
from modelmill.client import Client  # noqa: E402

PROJECT = HERE.parents[1]
MISBEHAVING = PROJECT / "tests" / "plugins" / "misbehaving"


@pytest.fixture(scope="session")
def cache() -> Path:
    """Environments, installed once for all tests and kept for the next run; MODELMILL_TEST_CACHE moves them."""
    default = platformdirs.user_cache_dir("modelmill-tests", appauthor=False)
    return Path(os.environ.get("MODELMILL_TEST_CACHE") or default)


@pytest.fixture(scope="session")
def variables(cache: Path) -> dict[str, str]:
    return {"MODELMILL_CACHE": str(cache), "MODELMILL_PLUGINS": str(MISBEHAVING)}


@pytest.fixture(scope="session")
def corpus() -> Path:
    folder = Path(os.environ.get("MODELMILL_CORPUS") or PROJECT.parent / "shared" / "corpus")
    if not folder.is_dir():
        pytest.skip(f"the corpus of trained models is not at {folder}; set MODELMILL_CORPUS")
    return folder


@pytest.fixture(scope="session")
def shared_coordinator(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]):
    """One coordinator for the tests that do not kill it: its workers stay warm from test to test."""
    process = CoordinatorProcess(tmp_path_factory.mktemp("shared-home"), variables).start()
    yield process
    if process.running:
        process.stop()


@pytest.fixture
def coordinator(tmp_path: Path, variables: dict[str, str]):
    """A coordinator that the test may kill."""
    process = CoordinatorProcess(tmp_path / "home", variables).start()
    yield process
    if process.running:
        process.stop()


@pytest.fixture
def client(shared_coordinator: CoordinatorProcess):
    with Client(shared_coordinator.address) as made:
        yield made


@pytest.fixture(scope="session")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small frozen GraphDef, as text: the model of the environments' smoke test."""
    return PROJECT / "workers" / "environments" / "smoke" / "graph.pbtxt"
