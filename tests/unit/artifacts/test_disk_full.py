"""A real full disk: a tmpfs of 4 MiB, mounted in a mount namespace of its own."""

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


def run_on_a_small_disk(folder, program):
    """Runs a program whose `disk` is a folder with room for 4 MiB."""
    prelude = f"from pathlib import Path\ndisk = Path({str(folder)!r})\n"
    script = f"mount -t tmpfs -o size=4m none {folder} && exec {sys.executable} -"
    return subprocess.run(
        [*_UNSHARE, "sh", "-c", script],
        input=prelude + textwrap.dedent(program),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def assert_passes(run):
    assert run.returncode == 0, run.stderr


def test_a_file_that_no_longer_fits_says_so_and_leaves_nothing(tmp_path):
    run = run_on_a_small_disk(
        tmp_path,
        """
        import hashlib
        from modelmill.artifacts import ArtifactStore
        from modelmill.errors import ModelmillError
        store = ArtifactStore(disk / "artifacts")
        data = bytes(3 << 20)
        digest = hashlib.sha256(data).hexdigest()
        try:
            with store.writer(digest, len(data)) as writer:      # there is room when it starts
                (disk / "other").write_bytes(bytes(2 << 20))     # and none when it ends
                writer.write(data)
        except ModelmillError as error:
            assert error.reason == "DISK_FULL", error.reason
        else:
            raise AssertionError("it fitted")
        assert not store.has(digest)
        assert list((store.folder / "incoming").iterdir()) == []
        (disk / "other").unlink()
        assert store.put_bytes(data) == digest, "with room again, it works again"
        """,
    )
    assert_passes(run)


def test_an_upload_that_no_longer_fits_says_so_and_leaves_nothing(tmp_path):
    run = run_on_a_small_disk(
        tmp_path,
        """
        import asyncio, hashlib
        from modelmill.artifacts import ArtifactStore, Uploads
        from modelmill.errors import ModelmillError
        store = ArtifactStore(disk / "artifacts")
        uploads = Uploads(store)
        data = bytes(3 << 20)
        async def pieces():
            yield data[: 1 << 20]
            (disk / "other").write_bytes(bytes(2 << 20))
            yield data[1 << 20 :]
        try:
            asyncio.run(uploads.receive(hashlib.sha256(data).hexdigest(), len(data), 0, pieces()))
        except ModelmillError as error:
            assert error.reason == "DISK_FULL", error.reason
        else:
            raise AssertionError("it fitted")
        assert list((store.folder / "uploads").iterdir()) == []
        """,
    )
    assert_passes(run)


def test_a_result_that_no_longer_fits_says_so_and_leaves_nothing(tmp_path):
    run = run_on_a_small_disk(
        tmp_path,
        """
        import hashlib
        from modelmill.artifacts import ArtifactStore, StepResults
        from modelmill.errors import ModelmillError
        from modelmill.values import Artifact, StepResult
        store = ArtifactStore(disk / "artifacts")
        results = StepResults(store)
        key = hashlib.sha256(b"key").hexdigest()
        result = StepResult(Artifact("tflite", ()), {"log": "x" * (5 << 20)}, 1.0, 1)
        try:
            results.commit(key, result)
        except ModelmillError as error:
            assert error.reason == "DISK_FULL", error.reason
        else:
            raise AssertionError("it fitted")
        assert list((store.folder / "incoming").iterdir()) == []
        assert results.lookup(key) is None
        """,
    )
    assert_passes(run)
