"""The lock script leaves our locks as they are: they are what the requirements say."""

import os
import shutil
import subprocess
import sys

import pytest
from modelmill.fleet.definitions import definitions_folder, load_definitions
from modelmill.fleet.uv_command import uv_program

ENVIRONMENTS = definitions_folder({})


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(ENVIRONMENTS, tmp_path / "environments")


def lock(copy, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, copy / "lock", *arguments],
        env={**os.environ, "UV": uv_program()},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", load_definitions(ENVIRONMENTS))
def test_locking_again_changes_nothing(copy, name):
    run = lock(copy, name)
    assert run.returncode == 0, run.stderr
    assert f"{name}/requirements.txt" in run.stdout
    assert ", 0 changed" in run.stdout
    for file in ("requirements.txt", "build-constraints.txt"):
        ours = ENVIRONMENTS / name / file
        if ours.exists():
            assert (copy / name / file).read_text() == ours.read_text()


def test_tells_what_changed(copy):
    wanted = copy / "base" / "requirements.in"
    wanted.write_text(wanted.read_text().replace("pluggy", "pluggy<1.6"))
    run = lock(copy, "base")
    assert run.returncode == 0, run.stderr
    before, after = run.stdout.splitlines()[-1].split("pluggy ")[1].split(" -> ")
    assert before >= "1.6"
    assert after.startswith("1.5")


def test_an_unknown_name_is_answered_with_the_known(copy):
    run = lock(copy, "tf-0.1")
    assert run.returncode == 2
    assert "no environment tf-0.1; there are base, tf-1.15" in run.stderr
