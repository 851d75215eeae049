"""What the tests of the matrix share: one coordinator whose workers are few, and the environments by name."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from matrix.environment_run import EnvironmentRun
from modelmill.client import Client, catalog_pb2
from modelmill.fleet.definitions import definitions_folder, load_definitions
from pytest_elsewhere import cache_folder, corpus_folder
from system.coordinator_process import CoordinatorProcess

DEFINITIONS = load_definitions(definitions_folder({}))
#: How many workers with TensorFlow live at once, which bounds the memory: the environment whose turn it is, and one
#: whose interpreter runs its results.
WORKERS = "3"


@pytest.fixture(scope="session")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    variables = {
        "MODELMILL_CACHE": str(cache_folder()),
        "MODELMILL_SLOTS": "2",
        "MODELMILL_WORKERS": WORKERS,
    }
    with CoordinatorProcess(tmp_path_factory.mktemp("home"), variables) as process:
        yield process


@pytest.fixture(scope="session")
def farm(coordinator: CoordinatorProcess) -> Iterator[Client]:
    with Client(coordinator.address) as client:
        yield client


@pytest.fixture(scope="session")
def install(farm: Client) -> Callable[[str], EnvironmentRun]:
    """Installs an environment by name; the test is skipped where this machine cannot have it."""
    known = {environment.name: environment for environment in farm.list_environments()}
    installed: dict[str, EnvironmentRun] = {}

    def run_in(name: str) -> EnvironmentRun:
        if known[name].state == catalog_pb2.Environment.UNAVAILABLE:
            pytest.skip(f"{name}: {known[name].unavailable_reason}")
        if name not in installed:
            *_, last = farm.install_environment(name)
            assert last.HasField("environment"), last.failure
            installed[name] = EnvironmentRun(DEFINITIONS[name], Path(last.environment.path))
        return installed[name]

    return run_in


@pytest.fixture(scope="session")
def corpus() -> Path:
    folder = corpus_folder()
    if not folder.is_dir():
        pytest.skip(f"the corpus of trained models is not at {folder}; set MODELMILL_CORPUS")
    return folder
