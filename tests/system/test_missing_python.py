"""A machine without Python 3.7: uv cannot fetch one, so the plan goes round TensorFlow 1.15 and says so."""

import os
import sys
from pathlib import Path

import pytest
from coordinator_process import CoordinatorProcess
from modelmill.client import Client, conversion_pb2


@pytest.fixture
def bare_machine(tmp_path: Path, variables: dict[str, str]):
    """A coordinator that finds no Python but the one that runs it, and no environment that is installed."""
    bare = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYENV_ROOT": str(tmp_path),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv"),
        "MODELMILL_CACHE": str(tmp_path / "cache"),
    }
    process = CoordinatorProcess(tmp_path / "home", {**variables, **bare}).start()
    yield process
    process.stop()


def test_plans_round_an_environment_whose_python_is_missing(bare_machine, checkpoint, writer) -> None:
    if writer.name != "tf-1.15":
        pytest.skip("the checkpoint was written by a newer TensorFlow than 1.15, as that needs a Python 3.7")
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the environment `base` needs Python 3.11, and this coordinator finds only its own")
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name="tflite")])
    with Client(bare_machine.address) as client:
        states = {environment.name: environment for environment in client.list_environments()}
        spec.source.CopyFrom(client.upload(checkpoint))
        plan = client.plan_conversion(spec)

    assert "Python 3.7" in states["tf-1.15"].unavailable_reason
    assert "pyenv" in states["tf-1.15"].unavailable_reason
    environments = {step.id: step.environment for step in plan.steps}
    assert environments["freeze"] == environments["reference"]
    assert environments["freeze"].startswith("tf-2.")
    assert states[environments["freeze"]].python == "3.11", "that of the coordinator, which need not be fetched"
    assert any("tf-1.15" in note and "Python 3.7" in note for note in plan.notes)
