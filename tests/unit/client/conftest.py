import os
import sys
from pathlib import Path

import pytest
from modelmill.client import AsyncClient, Patience

sys.path.insert(0, str(Path(__file__).parent))
from small_farm import Farm


@pytest.fixture
async def farm(tmp_path_factory):
    farm = Farm(tmp_path_factory.mktemp("farm"))
    await farm.start()
    yield farm
    await farm.stop()


@pytest.fixture
async def client(farm):
    async with AsyncClient(farm.address, Patience(first=0.01, longest=0.1, total=10.0)) as client:
        yield client


@pytest.fixture
def model(tmp_path):
    """A folder with a model of several files, one of them large enough to be resumed."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "graph.pb").write_bytes(os.urandom(1000))
    (folder / "variables" / "weights").write_bytes(os.urandom(9 << 20))
    (folder / "empty").write_bytes(b"")
    return folder
