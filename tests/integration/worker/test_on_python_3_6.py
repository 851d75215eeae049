"""The worker's own tests, once more on Python 3.6, the oldest that its environments use."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCK = Path(__file__).with_name("requirements-3.6.txt")
TESTS = ("tests/unit/worker", "tests/integration/worker")
_SECONDS = 280


def test_passes_on_python_3_6():
    python = _environment()
    path = os.pathsep.join(str(ROOT / folder) for folder in ("protos", "workers"))
    # The project's own pytest settings name plug-ins that Python 3.6 does not have.
    command = [str(python), "-m", "pytest", "-c", os.devnull, "--rootdir", str(ROOT), "--import-mode=importlib"]
    command += ["-p", "no:cacheprovider", "-q", "--ignore", __file__, *(str(ROOT / folder) for folder in TESTS)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    environment.update(PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")
    run = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_SECONDS, check=False
    )
    assert run.returncode == 0, run.stdout.decode(errors="replace")


def _environment() -> Path:
    """The interpreter of an environment made from the lock, kept for the next run."""
    base = _python_3_6()
    if base is None:
        pytest.skip("there is no Python 3.6, neither on PATH nor among pyenv's versions")
    uv = shutil.which("uv", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
    if uv is None:
        pytest.skip("there is no uv to install the packages with")
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelmill-tests"
    folder = caches / ("python-3.6-" + digest)
    if not folder.exists():
        caches.mkdir(parents=True, exist_ok=True)
        _install(uv, base, folder)
    return folder / "bin" / "python"


def _install(uv: str, base: Path, folder: Path) -> None:
    """Install beside, then rename: a run that was ended half-way leaves nothing that looks whole."""
    with tempfile.TemporaryDirectory(dir=str(folder.parent)) as beside:
        made = Path(beside) / "venv"
        subprocess.run([uv, "venv", "--quiet", "--relocatable", "--python", str(base), str(made)], check=True)
        sync = [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(made / "bin" / "python"), str(LOCK)]
        subprocess.run(sync, check=True)
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else another run was faster
                raise


def _python_3_6():
    found = shutil.which("python3.6")
    candidates = [Path(found)] if found else []
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += sorted((root / "versions").glob("3.6.*/bin/python"))
    return next((python for python in candidates if _runs(python)), None)


def _runs(python: Path) -> bool:
    """pyenv's shims are there for versions that are not; they fail when called."""
    code = "import sys; sys.exit(sys.version_info[:2] != (3, 6))"
    called = subprocess.run(
        [str(python), "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return called.returncode == 0
