"""A disk without space, wherever it is met: DISK_FULL says where, nothing partial stays, and what fits still works.

The disk is a small tmpfs, mounted in a mount namespace that only the process under test is in: nothing of it is seen,
or left, outside. That takes root, or the right to make a user namespace.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from coordinator_process import CoordinatorProcess
from modelmill.client import Client, collect, conversion_pb2
from modelmill.errors import ModelmillError

MODELMILL = Path(sys.executable).with_name("modelmill")
State = conversion_pb2.Conversion.State

#: Mounts a tmpfs of size $0 at $1, and becomes the rest.
_MOUNT = 'mount -t tmpfs -o size="$0" modelmill-test "$1" && shift && exec "$@"'


def on_small_disk(size: str, folder: Path) -> list[str]:
    """What to put before a command for which `folder` is to be a disk of that size. Skips where it cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    before = [*namespace, "sh", "-c", _MOUNT, size, str(folder)]
    try:
        tried = subprocess.run([*before, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare (util-linux) is not here: no small disk can be made")
    if tried.returncode:
        pytest.skip(f"no small disk can be made here: {tried.stderr.strip()}")
    return before


@pytest.fixture
def farm_on(coordinator_of: Callable[..., CoordinatorProcess]) -> Callable[[str, str], CoordinatorProcess]:
    """Starts a coordinator of which one folder of its home is a small disk."""

    def start(size: str, folder: str) -> CoordinatorProcess:
        process = coordinator_of()
        process.before = on_small_disk(size, process.home / folder)
        return process.start()

    return start


@pytest.fixture(scope="session")
def onet(corpus: Path):
    """O-Net's checkpoint: 1.5 MiB, and as much again when it is frozen."""
    folder = corpus / "mtcnn" / "tf1.15.5" / "onet"
    return collect(folder / "model.ckpt", folder / "graph.pb")


def specification(target: str = "tflite") -> conversion_pb2.ConversionSpec:
    return conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name=target)])


def convert_small_model(process: CoordinatorProcess, frozen: Path, output: Path) -> None:
    """The next conversion, which fits, succeeds in the same coordinator."""
    assert process.running
    with Client(process.address) as client:
        conversion = client.convert(frozen, specification(), output)
    assert conversion.state == State.SUCCEEDED, conversion.failure
    assert (output / "tflite" / "model.tflite").is_file()


def files_on_disk_of(process: CoordinatorProcess, folder: str) -> dict[str, int]:
    """Files and their sizes on a small disk that only the coordinator sees."""
    root = Path("/proc", str(process.pid), "root")
    place = root / (process.home / folder).relative_to("/")
    return {str(file.relative_to(place)): file.stat().st_size for file in place.rglob("*") if file.is_file()}


def test_an_upload_that_does_not_fit_the_store_is_refused_and_leaves_nothing(
    farm_on, onet, frozen: Path, tmp_path: Path
) -> None:
    process = farm_on("1m", "artifacts")

    with Client(process.address) as client, pytest.raises(ModelmillError) as caught:
        client.convert(onet, specification(), tmp_path / "out")

    assert caught.value.reason == "DISK_FULL"
    assert "free some space" in str(caught.value)
    assert max(files_on_disk_of(process, "artifacts").values(), default=0) < 64 << 10, "part of an upload is left"
    assert not (tmp_path / "out").exists()
    convert_small_model(process, frozen, tmp_path / "small")


def test_a_step_whose_output_does_not_fit_the_store_fails_and_leaves_nothing(
    farm_on, onet, frozen: Path, tmp_path: Path
) -> None:
    process = farm_on("2500k", "artifacts")  # the checkpoint fits, the frozen graph beside it does not

    with Client(process.address) as client:
        conversion = client.convert(onet, specification(), tmp_path / "out")

    assert_disk_full(conversion, "freeze")
    source = {file.size for file in conversion.spec.source.files}
    large = {size for size in files_on_disk_of(process, "artifacts").values() if size > 256 << 10}
    assert large <= source, "part of an output is left"
    assert not (tmp_path / "out").exists()
    convert_small_model(process, frozen, tmp_path / "small")


@pytest.mark.parametrize(("size", "step"), [("1m", "inspect"), ("4m", "freeze")], ids=["its-input", "its-output"])
def test_a_step_that_does_not_fit_the_workers_scratch_folder_fails(
    size: str, step: str, farm_on, onet, frozen: Path, tmp_path: Path
) -> None:
    process = farm_on(size, "run")

    with Client(process.address) as client:
        conversion = client.convert(onet, specification(), tmp_path / "out")

    assert_disk_full(conversion, step)
    left = {name: size for name, size in files_on_disk_of(process, "run").items() if "/blobs/" not in name}
    assert max(left.values(), default=0) < 64 << 10, "part of an output is left"
    assert not [name for name in files_on_disk_of(process, "run") if "incoming-" in name], "part of an input is left"
    assert not (tmp_path / "out").exists()
    convert_small_model(process, frozen, tmp_path / "small")


def test_a_plugin_that_writes_to_a_full_disk_fails_with_the_same_reason(
    client: Client, frozen: Path, tmp_path: Path
) -> None:
    conversion = client.convert(frozen, specification("test-fill"), tmp_path / "out")

    assert_disk_full(conversion, "fill.test-fill")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [False, True], ids=["new-folder", "folder-with-files"])
def test_an_output_folder_without_space_is_left_as_it_was(
    kept: bool, shared_coordinator: CoordinatorProcess, onet, corpus: Path, tmp_path: Path
) -> None:
    folder = corpus / "mtcnn" / "tf1.15.5" / "onet"
    disk = tmp_path / "disk"
    output = disk / "out"
    command = [MODELMILL, "convert", folder / "model.ckpt", "--graph", folder / "graph.pb"]
    command += ["--to", "tflite", "--output", output, "--server", shared_coordinator.address]
    prepare = f"mkdir {output} && echo before > {output}/report.json" if kept else "true"
    script = f'{prepare} && "$@"; code=$?; echo "left:"; cd {disk} && find . -type f; exit $code'

    done = subprocess.run(
        [*on_small_disk("512k", disk), "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert f"error DISK_FULL: The disk of {disk}" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.partition("left:\n")[2].split() == (["./out/report.json"] if kept else [])


def assert_disk_full(conversion: conversion_pb2.Conversion, step_id: str) -> None:
    assert conversion.state == State.FAILED
    assert conversion.failure.reason == "DISK_FULL"
    assert "ree some space" in conversion.failure.message
    failed = {step.id: step.failure.reason for step in conversion.steps if step.failure.reason}
    assert failed in ({step_id: "DISK_FULL"}, {}), failed  # the inspection is no step of a plan that was not made


def test_a_state_folder_that_is_full_is_said_and_nobody_waits_in_vain(farm_on, frozen: Path) -> None:
    process = farm_on("1500k", "state")
    failures, ended = [], 0
    with Client(process.address) as client:
        source = client.upload(frozen)
        for number in range(400):
            spec = conversion_pb2.ConversionSpec(source=source, salt=str(number))
            spec.targets.add(name="test-copy")
            spec.verification.skip = True
            try:
                conversion = client.create_conversion(spec)
                for _ in client.watch_conversion(conversion.id):
                    pass
                ended += 1
            except ModelmillError as error:
                failures.append(error)
                break
        assert [error.reason for error in failures] == ["DISK_FULL"], f"after {ended} conversions"
        assert "free some space" in str(failures[0])
        assert process.running
        assert len(client.list_conversions(page_size=1000).conversions) >= ended
