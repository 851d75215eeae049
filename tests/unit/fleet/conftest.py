import time
from collections.abc import Callable
from pathlib import Path

import pytest
from modelmill.fleet import uv_command


@pytest.fixture
def wait_until():
    """Polls until something is so; fails after a minute."""

    def wait(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.02)

    return wait


@pytest.fixture
def script(tmp_path) -> Callable[[str, str], Path]:
    """Makes an executable shell script."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / "scripts" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def uv_is(script, monkeypatch):
    """Puts a shell script in uv's place."""

    def replace(text: str) -> None:
        path = str(script("uv", text))
        monkeypatch.setattr(uv_command, "uv_program", lambda: path)

    return replace
