import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "client"))
from small_farm import Farm


@pytest.fixture
async def farm(tmp_path_factory):
    farm = Farm(tmp_path_factory.mktemp("farm"))
    await farm.start()
    yield farm
    await farm.stop()


@dataclass(frozen=True)
class Run:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
async def modelmill(farm, tmp_path):
    """Runs the command against the farm, in a process of its own, in the folder tmp_path."""

    async def run(*arguments, **variables):
        process = await start(*arguments, **variables)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return Run(process.returncode, out.decode(), err.decode())

    async def start(*arguments, **variables):
        environment = {**os.environ, "MODELMILL_SERVER": farm.address, **variables}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from modelmill.cli import main; main()",
            *map(str, arguments),
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    run.start = start
    return run


@pytest.fixture
def model(tmp_path):
    (tmp_path / "graph.pb").write_bytes(b"a model")
    return tmp_path / "graph.pb"
