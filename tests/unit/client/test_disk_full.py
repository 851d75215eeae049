"""A real full disk for the output folder: a tmpfs of 4 MiB, mounted in a mount namespace of its own."""

import asyncio
import shutil
import subprocess
import sys
import textwrap

import pytest

_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
_CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(
        [*_UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], stderr=subprocess.DEVNULL, check=False
    ).returncode
    == 0
)

pytestmark = pytest.mark.skipif(not _CAN_MOUNT, reason="needs unprivileged mount namespaces (unshare --user --mount)")


async def test_results_that_do_not_fit_leave_the_output_folder_as_it_was(farm, model, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from modelmill.client import Client, conversion_pb2
        from modelmill.errors import ModelmillError
        disk = Path({str(disk)!r})
        (disk / "mine").write_text("before")
        spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name="tflite")])
        with Client({farm.address!r}) as client:
            try:
                client.convert(Path({str(model)!r}), spec, disk / "out")  # 9 MiB
            except ModelmillError as error:
                assert error.reason == "DISK_FULL", error.reason
            else:
                raise AssertionError("it fitted")
        assert [file.name for file in disk.iterdir()] == ["mine"]
        """
    )
    script = f"mount -t tmpfs -o size=4m none {disk} && exec {sys.executable} -"
    process = await asyncio.create_subprocess_exec(
        *_UNSHARE, "sh", "-c", script, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(program.encode()), 60)
    assert process.returncode == 0, err.decode()
