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


#: One of each kind of lock, for every run of the tests; the others take minutes.
QUICK = frozenset({"base", "tf-1.5", "tf-1.15", "tf-2.4", "tf-2.15", "tfjs-4"})


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in load_definitions(ENVIRONMENTS)],
)
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


def test_a_new_environment_is_a_folder(copy):
    """What a person writes is two files; the lock makes it one that can be installed."""
    folder = copy / "new"
    folder.mkdir()
    shutil.copyfile(copy / "base" / "environment.toml", folder / "environment.toml")
    (folder / "requirements.in").write_text("pluggy==1.5.0\n")
    assert load_definitions(copy)["new"].defect is not None
    run = lock(copy, "new")
    assert run.returncode == 0, run.stderr
    assert "new/requirements.txt: 1 packages, 1 changed\n  pluggy (none) -> 1.5.0" in run.stdout
    assert load_definitions(copy)["new"].defect is None


def test_one_that_fails_is_told_and_does_not_stop_the_others(copy):
    """They are told in the order of the names, however many are at work at once."""
    for name, wanted in {"a": "pluggy==1.5.0", "b": "pluggy==0.0.0.1", "c": "pluggy==1.4.0"}.items():
        (copy / name).mkdir()
        shutil.copyfile(copy / "base" / "environment.toml", copy / name / "environment.toml")
        (copy / name / "requirements.in").write_text(wanted + "\n")
    run = lock(copy, "--jobs", "2", "a", "b", "c")
    assert run.returncode == 1
    assert [line.split("/")[0] for line in run.stdout.splitlines() if "/" in line] == ["a", "c"]
    assert "b: uv found no set of packages:" in run.stderr
    assert "pluggy==0.0.0.1" in run.stderr
    assert run.stderr.splitlines()[-1] == "not locked: b"


def test_an_unknown_name_is_answered_with_the_known(copy):
    run = lock(copy, "tf-0.1")
    assert run.returncode == 2
    assert "no environment tf-0.1; there are base, tf-1.10" in run.stderr
