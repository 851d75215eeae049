"""The command says what is wrong on standard error, in one line, and with its exit code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: The command as it is installed beside the Python that runs this.
MODELMILL = Path(sys.executable).with_name("modelmill")


def test_the_command_says_it_on_standard_error_and_fails(
    shared_coordinator, corpus: Path, pnet: Path, tmp_path: Path
) -> None:
    bad = corpus / "bad-inputs"
    cases = [
        ([bad / "weights_only.h5"], "KERAS_WEIGHTS_ONLY"),
        ([bad / "checkpoint_without_data" / "model.ckpt"], "CHECKPOINT_INCOMPLETE"),
        ([tmp_path / "nothing.pb"], "SOURCE_NOT_FOUND"),
        ([tmp_path / ("x" * 300)], "SOURCE_NOT_FOUND"),
        ([pnet, "--output-node", "probb"], "OUTPUT_NOT_FOUND"),
        ([pnet, "--input", "pnet/inputt"], "INPUT_NOT_FOUND"),
        ([pnet, "--set", "is_training=false"], "SETTING_NOT_FOUND"),
        ([pnet, "--to", "tflit"], "UNKNOWN_TARGET"),
        ([pnet, "--to", "tfjs:shard_size=big"], "INVALID_OPTION"),
        ([pnet, "--option", "freezer.outpts=prob"], "UNKNOWN_OPTION"),
    ]
    for arguments, reason in cases:
        done = convert_command(shared_coordinator.address, *arguments, "--output", tmp_path / "out")
        assert (done.returncode, error_of(done)) == (1, reason), done.stderr
        assert not (tmp_path / "out").exists()


def test_the_command_refuses_wrong_usage_with_exit_code_2(shared_coordinator, pnet: Path, tmp_path: Path) -> None:
    for arguments in (
        [pnet],
        [pnet, "--output", tmp_path / "out", "--seed", "three"],
        [pnet, "--output", tmp_path / "out", "--option", "no-key"],
        [pnet, "--output", tmp_path / "out", "--unknown"],
    ):
        done = convert_command(shared_coordinator.address, *arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("Usage: modelmill convert")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("unreadable", ["pnet/graph.pb", "pnet", "pnet/model.ckpt.index"])
@pytest.mark.parametrize("source", ["pnet", "pnet/model.ckpt"])
def test_says_which_file_cannot_be_read(
    unreadable: str, source: str, shared_coordinator, pnet: Path, tmp_path: Path
) -> None:
    (tmp_path / unreadable).chmod(0)
    try:
        done = convert_command(
            shared_coordinator.address,
            tmp_path / source,
            "--graph",
            pnet / "graph.pb",
            "--output",
            tmp_path / "out",
            before=without_privileges(),
        )
    finally:
        (tmp_path / unreadable).chmod(0o755)

    assert (done.returncode, error_of(done)) == (1, "SOURCE_UNREADABLE"), done.stderr
    named = re.search("(.+) cannot be read: Permission denied", done.stderr.partition(": ")[2])
    assert named
    assert Path(named[1]).is_relative_to(tmp_path / unreadable)
    assert not (tmp_path / "out").exists()


def test_says_which_folder_inside_cannot_be_read(shared_coordinator, pnet: Path, tmp_path: Path) -> None:
    locked = pnet / "variables"
    locked.mkdir(mode=0)
    try:
        arguments = [pnet, "--output", tmp_path / "out"]
        done = convert_command(shared_coordinator.address, *arguments, before=without_privileges())
    finally:
        locked.chmod(0o755)

    assert (done.returncode, error_of(done)) == (1, "SOURCE_UNREADABLE"), done.stderr
    assert str(locked) in done.stderr


def convert_command(address: str, *arguments: Path | str, before: list[str] = ()) -> subprocess.CompletedProcess:
    """`modelmill convert` on the shared coordinator, to tflite where no other target is asked for."""
    targets = [] if "--to" in arguments else ["--to", "tflite"]
    command = [*before, MODELMILL, "convert", "--server", address, *targets, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def error_of(done: subprocess.CompletedProcess) -> str | None:
    """The reason that the command gave on standard error."""
    found = re.search("^error ([A-Z0-9_]+): .+", done.stderr, re.MULTILINE)
    return found and found[1]


def without_privileges() -> list[str]:
    """What to put before a command so that permissions count: root may read everything."""

    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root reads every file, and setpriv (util-linux), which would give that up, is not here")
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search"]
