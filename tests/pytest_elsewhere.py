"""pytest in another interpreter than the one that runs the tests: an older Python, or an installed environment."""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import platformdirs
import uv

ROOT = Path(__file__).resolve().parents[1]

#: What the interpreter has of its own comes before what pytest brings along.
_PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main(sys.argv[1:]))"


@dataclass(frozen=True)
class Outcome:
    """What a run of pytest came to; skipped: name to reason."""

    exit_code: int
    output: str
    passed: int
    skipped: Mapping[str, str]


def cache_folder() -> Path:
    """What tests install, once for all of them and kept for the next run; MODELMILL_TEST_CACHE moves it."""
    default = platformdirs.user_cache_dir("modelmill-tests", appauthor=False)
    return Path(os.environ.get("MODELMILL_TEST_CACHE") or default)


def corpus_folder() -> Path:
    """Where the corpus of trained models lies, if it does."""
    return Path(os.environ.get("MODELMILL_CORPUS") or ROOT.parent / "shared" / "corpus")


def make_environment(lock: Path, base: Path) -> Path:
    """The interpreter of a virtual environment that holds what a hash-locked requirements file names."""

    def build(folder: Path) -> None:
        _uv("venv", "--relocatable", "--python", base, folder)
        _uv("pip", "sync", "--require-hashes", "--python", folder / "bin" / "python", lock)

    return _built_once("environments-for-tests", lock, build) / "bin" / "python"


def install_packages(lock: Path, python: Path) -> Path:
    """A folder with what a hash-locked requirements file names, for an interpreter that stays as it is."""

    def build(folder: Path) -> None:
        _uv("pip", "install", "--require-hashes", "--no-deps", "--python", python, "--target", folder, "-r", lock)

    return _built_once("packages-for-tests", lock, build)


def run_pytest(
    python: Path,
    tests: Sequence[str],
    path: Sequence[str | Path],
    folder: Path,
    packages: Path | None = None,
    variables: Mapping[str, str] | None = None,
    left_out: Sequence[str] = (),
    seconds: float = 280,
) -> Outcome:
    """Run tests of this project, in files or folders, in another interpreter.

    path: what is on PYTHONPATH beside what tests share, relative to the project.
    folder: the working directory, for files that nobody keeps.
    packages: pytest and what the tests need besides, made by `install_packages`; None where the interpreter has it.
    left_out: files that are not even imported, and tests that are not run, such as `tests/unit/a/test_b.py::test_c`.
    """
    report = folder / "report.xml"
    # The project's own pytest settings name plug-ins that are not there.
    arguments = ["-c", os.devnull, "--rootdir", str(ROOT), "--import-mode=importlib", "-p", "no:cacheprovider", "-q"]
    arguments += [f"--junit-xml={report}", *(_leave_out(name) for name in left_out)]
    arguments += [str(ROOT / test) for test in tests]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    own = {
        "MODELMILL_CORPUS": str(corpus_folder()),
        "PYTHONPATH": os.pathsep.join(str(ROOT / item) for item in (*path, "tests")),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    run = subprocess.run(
        [python, *(["-c", _PROGRAM, packages] if packages else ["-m", "pytest"]), *arguments],
        env={**inherited, **own, **(variables or {})},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    return Outcome(
        exit_code=run.returncode,
        output=run.stdout.decode(errors="replace"),
        passed=sum(len(case.findall("*")) == 0 for case in cases),
        skipped={_name(case): reason.get("message", "") for case in cases for reason in case.findall("skipped")},
    )


def _built_once(kind: str, lock: Path, build: Callable[[Path], None]) -> Path:
    """The folder that `build` makes from a lock, kept for the next run.

    Built beside, then renamed: a run that was ended half-way leaves nothing that looks whole.
    """
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / kind / f"{lock.parent.name}-{lock.stem}-{digest}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
            build(Path(beside) / "made")
            try:
                (Path(beside) / "made").rename(folder)
            except OSError:
                if not folder.exists():  # else another run was faster
                    raise
    return folder


def _uv(*arguments: str | Path) -> None:
    subprocess.run([uv.find_uv_bin(), "--quiet", *arguments], cwd="/", check=True)


def _leave_out(name: str) -> str:
    return f"--deselect={name}" if "::" in name else f"--ignore={ROOT / name}"


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"
