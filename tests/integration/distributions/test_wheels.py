"""The wheels as a user has them: built, installed into a fresh environment, run where no checkout is."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import uv
from modelmill.fleet.definitions import definitions_folder, load_definitions
from packaging.utils import parse_wheel_filename
from pytest_elsewhere import ROOT, cache_folder

#: The first run installs the environments of the conversion.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PLUGINS = {"freezer", "inspector", "rewriter", "tflite-quantizer", "tfjs-exporter", "verifier"}
DISTRIBUTIONS = {"modelmill", "modelmill-protos", "modelmill-worker", *(f"modelmill-{name}" for name in PLUGINS)}


def build_wheels(output: Path) -> dict[str, Path]:
    """What `make dist` does; the wheels by distribution."""
    command = [sys.executable, ROOT / "deploy" / "build_wheels", "--output", output]
    subprocess.run(command, env={**os.environ, "UV": uv.find_uv_bin()}, check=True)
    return {parse_wheel_filename(wheel.name)[0]: wheel for wheel in output.iterdir()}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    return build_wheels(tmp_path_factory.mktemp("dist"))


@dataclass(frozen=True)
class Installation:
    """modelmill in an environment of its own, with a home of its own."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """The user's, without those of a development environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODELMILL", "PYTHON"))}
        own = Path(sys.executable).parent
        path = [item for item in kept["PATH"].split(os.pathsep) if Path(item) != own]
        kept.pop("VIRTUAL_ENV", None)
        home, cache = str(self.folder / "home"), str(cache_folder())
        return {**kept, "PATH": os.pathsep.join(path), "MODELMILL_HOME": home, "MODELMILL_CACHE": cache}

    def run(self, *arguments: str | Path) -> dict:
        """What a command of modelmill prints as JSON."""
        process = subprocess.run(
            [self.folder / "venv" / "bin" / "modelmill", *arguments, "--json"],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)

    def close(self) -> None:
        """End the coordinator that the commands have started."""
        told = self.folder / "home" / "state" / "coordinator.json"
        if told.exists():
            coordinator = psutil.Process(json.loads(told.read_text())["pid"])
            coordinator.send_signal(signal.SIGTERM)
            coordinator.wait(60)


@pytest.fixture(scope="module")
def installation(wheels, tmp_path_factory):
    made = Installation(tmp_path_factory.mktemp("installation"))
    python = made.folder / "venv" / "bin" / "python"
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--python", python]
    for command in (
        [uv.find_uv_bin(), "venv", "--quiet", "--no-project", "--python", sys.executable, made.folder / "venv"],
        [*install, "--require-hashes", "-r", ROOT / "requirements" / "coordinator.txt"],
        [*install, wheels["modelmill"], wheels["modelmill-protos"]],
    ):
        subprocess.run(command, cwd=made.folder, check=True)
    yield made
    made.close()


def test_builds_every_distribution_and_leaves_the_checkout_as_it_was(wheels):
    assert set(wheels) == DISTRIBUTIONS
    assert not (ROOT / "coordinator" / "modelmill" / "_bundle").exists()
    for wheel in wheels.values():
        assert any(name.endswith("/licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_equal_sources_give_equal_wheels(wheels, tmp_path):
    def digests(built):
        return {name: hashlib.sha256(wheel.read_bytes()).hexdigest() for name, wheel in built.items()}

    assert digests(build_wheels(tmp_path)) == digests(wheels)


def test_the_bundle_has_what_runs_and_nothing_that_locks(wheels):
    names = [Path(name) for name in zipfile.ZipFile(wheels["modelmill"]).namelist() if not name.endswith("/")]
    bundled = [name for name in names if "_bundle" in name.parts]
    packed = {name.name for name in bundled if name.parent.name == "wheels"}
    assert packed == {wheel.name for name, wheel in wheels.items() if name != "modelmill"}
    assert {name.suffix for name in bundled} == {".whl", ".toml", ".txt", ".json", ".pbtxt"}
    assert "overrides.txt" not in {name.name for name in bundled}


def test_needs_the_locked_packages_and_no_others(installation):
    python = installation.folder / "venv" / "bin" / "python"
    subprocess.run([uv.find_uv_bin(), "pip", "check", "--python", python], cwd=installation.folder, check=True)


def test_has_the_environments_of_the_checkout(installation):
    told = installation.run("environments", "list")["environments"]
    wanted = load_definitions(definitions_folder({}))
    assert {one["name"]: one["digest"] for one in told} == {name: one.digest for name, one in wanted.items()}


def test_has_all_plugins(installation, wheels):
    told = installation.run("plugins")
    assert {plugin["name"] for plugin in told["plugins"]} == PLUGINS
    assert not told.get("broken")


def test_converts_without_a_checkout(installation):
    model = installation.folder / "graph.pbtxt"
    shutil.copy(ROOT / "workers" / "environments" / "smoke" / "graph.pbtxt", model)

    told = installation.run("convert", model, "--to", "tflite", "--output", installation.folder / "out")

    assert told["conversion"]["results"][0]["verification"]["state"] == "PASSED"
    tflite = (installation.folder / "out" / "tflite" / "model.tflite").read_bytes()
    assert tflite[4:8] == b"TFL3"
