"""Environments and plug-ins that are broken on purpose: the farm says so, and goes on with the others."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from asking import specification
from modelmill.client import Client, catalog_pb2, conversion_pb2

PROJECT = Path(__file__).parents[2]
OURS = PROJECT / "workers" / "environments"
Conversion, Environment = conversion_pb2.Conversion, catalog_pb2.Environment

#: A TensorFlow that every plan prefers to 2.15.1, and that cannot be installed: no index has its NumPy.
UNINSTALLABLE = """summary = "None of its wheels is there"
python = "3.11"
graph_def_producer = 1645
imports = ["tensorflow"]
[provides]
tensorflow = "2.15.99"
"""
LOCK_OF_NOTHING = f"numpy==0.0.1 \\\n    --hash=sha256:{64 * '0'}\n"


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """Environments that work: `base` and `tf-2.15`; and the model of the smoke test."""
    folder = tmp_path / "environments"
    for name in ("base", "tf-2.15", "smoke"):
        shutil.copytree(OURS / name, folder / name)
    return folder


def break_definition(definitions: Path, name: str) -> None:
    shutil.copytree(OURS / name, definitions / name, dirs_exist_ok=True)
    (definitions / name / "environment.toml").write_text("<html>502 Bad Gateway</html>\n")


def define_uninstallable(definitions: Path) -> None:
    folder = definitions / "tf-2.15-new"
    folder.mkdir()
    (folder / "environment.toml").write_text(UNINSTALLABLE)
    (folder / "requirements.txt").write_text(LOCK_OF_NOTHING)


def convert(client: Client, source: Path, output: Path) -> Conversion:
    spec = specification("tflite")
    spec.version_retries = 0
    return client.convert(source, spec, output)


def test_an_invalid_definition_is_listed_and_planned_round(coordinator_of, definitions, frozen, tmp_path) -> None:
    break_definition(definitions, "tf-1.15")
    with (
        coordinator_of(MODELMILL_ENVIRONMENTS=str(definitions)) as coordinator,
        Client(coordinator.address) as client,
    ):
        listed = {environment.name: environment for environment in client.list_environments()}
        assert set(listed) == {"base", "tf-1.15", "tf-2.15"}
        assert listed["tf-1.15"].state == Environment.UNAVAILABLE
        assert "tf-1.15/environment.toml cannot be used" in listed["tf-1.15"].unavailable_reason
        assert listed["tf-1.15"].provides == {"tensorflow": "1.15.5"}, "its lock still tells which one it is"
        *_, last = client.install_environment("tf-1.15")
        assert last.failure.reason == "ENVIRONMENT_DEFINITION_INVALID"

        conversion = convert(client, frozen, tmp_path / "out")
        assert conversion.state == Conversion.SUCCEEDED, conversion.failure
        assert "tf-1.15" not in {step.environment for step in conversion.plan.steps}


def test_a_conversion_that_needs_exactly_it_fails_with_the_reason(
    coordinator_of, definitions, frozen, tmp_path
) -> None:
    break_definition(definitions, "tf-2.15")
    with (
        coordinator_of(MODELMILL_ENVIRONMENTS=str(definitions)) as coordinator,
        Client(coordinator.address) as client,
    ):
        conversion = convert(client, frozen, tmp_path / "out")
    assert conversion.state == Conversion.FAILED
    assert conversion.failure.reason == "NO_ENVIRONMENT"
    assert "tf-2.15/environment.toml cannot be used" in conversion.failure.message


def test_one_that_cannot_be_installed_fails_the_conversion_that_chose_it_and_no_other(
    coordinator_of, definitions, frozen, tmp_path
) -> None:
    define_uninstallable(definitions)
    with (
        coordinator_of(MODELMILL_ENVIRONMENTS=str(definitions)) as coordinator,
        Client(coordinator.address) as client,
    ):
        first = convert(client, frozen, tmp_path / "first")
        assert first.state == Conversion.FAILED
        assert first.failure.reason == "ENVIRONMENT_INSTALL_FAILED"
        assert "numpy==0.0.1" in first.failure.message

        second = convert(client, frozen, tmp_path / "second")
        assert second.state == Conversion.SUCCEEDED, second.failure
        assert any("tf-2.15-new" in note and "failed a moment ago" in note for note in second.plan.notes)


def test_the_command_installs_the_others_and_lists_all(coordinator_of, definitions, tmp_path) -> None:
    shutil.rmtree(definitions / "tf-2.15")
    define_uninstallable(definitions)
    break_definition(definitions, "tf-1.15")
    with coordinator_of(MODELMILL_ENVIRONMENTS=str(definitions)) as coordinator:

        def modelmill(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", "from modelmill.cli import main; main()", *arguments, "--json"]
            environ = {**os.environ, "MODELMILL_SERVER": coordinator.address}
            return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

        installed = modelmill("environments", "install", "--all")
        assert installed.returncode == 1
        told = json.loads(installed.stdout)
        assert [environment["name"] for environment in told["environments"]] == ["base"]
        assert {name: failure["reason"] for name, failure in told["failures"].items()} == {
            "tf-1.15": "ENVIRONMENT_DEFINITION_INVALID",
            "tf-2.15-new": "ENVIRONMENT_INSTALL_FAILED",
        }
        listed = modelmill("environments", "list")
        assert listed.returncode == 0, listed.stdout
        names = [environment["name"] for environment in json.loads(listed.stdout)["environments"]]
        assert names == ["base", "tf-1.15", "tf-2.15-new"]


API_OF_TOMORROW = """
from modelmill_worker import Plugin, hookimpl

@hookimpl
def modelmill_plugins():
    yield Plugin(name="tomorrow", version="9.0", summary="Of another time.", edges=(), api_version=99)
"""


def wheel(folder: Path, name: str, code: str) -> Path:
    """A plug-in's wheel of one module."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[modelmill.plugins]\n{name} = {name}\n",
        f"{info}/RECORD": "",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
    return path


def test_broken_plugins_are_told_and_the_others_convert(coordinator_of, definitions, frozen, tmp_path) -> None:
    plugins = [
        wheel(tmp_path, "importless", "import no_such_library\n"),
        wheel(tmp_path, "tomorrow", API_OF_TOMORROW),
    ]
    with (
        coordinator_of(
            MODELMILL_ENVIRONMENTS=str(definitions), MODELMILL_PLUGINS=os.pathsep.join(map(str, plugins))
        ) as coordinator,
        Client(coordinator.address) as client,
    ):
        told = client.list_plugins()
        broken = {plugin.distribution: plugin.failure for plugin in told.broken}
        assert {name: failure.reason for name, failure in broken.items()} == {
            "importless": "PLUGIN_NOT_IMPORTABLE",
            "tomorrow": "PLUGIN_API_VERSION",
        }
        assert "no_such_library" in broken["importless"].message
        assert "version 99" in broken["tomorrow"].message
        assert {"freezer", "tflite-quantizer"} <= {plugin.name for plugin in told.plugins}
        conversion = convert(client, frozen, tmp_path / "out")
    assert conversion.state == Conversion.SUCCEEDED, conversion.failure
