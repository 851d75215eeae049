"""The folder of one step, as the host makes it and the step process finds it.

    request.json    what to run
    inputs/NAME/    one read-only tree for each input, hard links to the blob cache
    output/         what the step makes
    scratch/        its working directory and its TMPDIR
    report/         result.json at the end, progress.json while it runs
    log             what it prints, C++ included

The step process may write into output, scratch and report only (sandbox.py).
"""

import json
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

from modelmill_worker.errors import TOOL, StepError


@dataclass(frozen=True)
class InputFile:
    """One file of an input: where it goes in its tree and where its bytes are."""

    path: str
    blob: Path


@dataclass(frozen=True)
class StepFolder:
    """Paths of one step."""

    root: Path

    @property
    def request(self) -> Path:
        """What to run, as JSON."""
        return self.root / "request.json"

    @property
    def inputs(self) -> Path:
        """A folder for each input."""
        return self.root / "inputs"

    @property
    def output(self) -> Path:
        """What the step makes."""
        return self.root / "output"

    @property
    def scratch(self) -> Path:
        """Working directory."""
        return self.root / "scratch"

    @property
    def report(self) -> Path:
        """Where the step process tells of itself."""
        return self.root / "report"

    @property
    def log(self) -> Path:
        """What the step prints."""
        return self.root / "log"

    @property
    def writable(self) -> Tuple[Path, ...]:
        """All that the step may write to."""
        return (self.output, self.scratch, self.report)

    def create(self) -> "StepFolder":
        """Make the folders and an empty log: this folder itself. Nothing is left where that fails."""
        try:
            for folder in (self.root, self.inputs) + self.writable:
                folder.mkdir(mode=0o700)
            self.log.touch(mode=0o600)
        except OSError:
            self.remove()
            raise
        return self

    def lay_out(self, name: str, files: Iterable[InputFile]) -> None:
        """Make the tree of one input. Raises StepError INVALID_PATH for a path that leaves it or is there twice."""
        tree = self.inputs / checked_path(name)
        tree.mkdir()
        for file in files:
            target = tree / checked_path(file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _link(file.blob, target)
            except FileExistsError as error:
                raise _invalid_path(file.path, "it is there twice") from error

    def remove(self) -> None:
        """Delete it all, even folders that the step made unreadable."""
        remove_tree(self.root)


def write_json(path: Path, value: Any) -> None:
    """Write beside, then rename: a reader sees the old file or the new one."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(value), encoding="utf-8")
    beside.rename(path)


def read_json(path: Path) -> Optional[Dict[str, Any]]:
    """The JSON object in a file that `write_json` wrote; None where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def output_files(folder: Path) -> List[str]:
    """Relative paths of the files made, sorted.

    Raises StepError PLUGIN_GAVE_NOTHING, or OUTPUT_REFUSED for a link or anything else that is not a plain file.
    """
    paths = sorted(_walk(folder, PurePosixPath()))
    if not paths:
        raise StepError(
            "PLUGIN_GAVE_NOTHING",
            "The step ended without an error but made no file. The end of its log may say why; "
            "report it to the plug-in's author.",
            fault=TOOL,
        )
    return paths


def checked_path(path: str) -> str:
    """A relative path with forward slashes that stays below its folder. Raises StepError INVALID_PATH."""
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise _invalid_path(path, "it must be relative, with forward slashes and without '..'")
    return path


def remove_tree(folder: Path) -> None:
    """Delete a folder with all that is in it; gone already is fine."""
    if folder.exists():
        shutil.rmtree(str(folder), onerror=_open_up_and_retry)


def _walk(folder: Path, below: PurePosixPath) -> Iterator[str]:
    for entry in os.scandir(str(folder)):
        path = below / entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), path)
        elif entry.is_file(follow_symlinks=False):
            yield str(path)
        else:
            raise StepError(
                "OUTPUT_REFUSED",
                "The step made {}, which is a link or no plain file. "
                "Report it to the plug-in's author: artifacts are plain files.".format(path),
                {"path": str(path)},
                fault=TOOL,
            )


def _link(blob: Path, target: Path) -> None:
    try:
        os.link(str(blob), str(target))
    except FileExistsError:
        raise
    except PermissionError:
        target.symlink_to(blob)  # a file system without hard links


def _open_up_and_retry(_function: Callable[[str], Any], name: str, _error: Any) -> None:
    path = Path(name)
    if not os.path.lexists(name):
        return
    path.parent.chmod(stat.S_IRWXU)
    if path.is_dir() and not path.is_symlink():
        path.chmod(stat.S_IRWXU)
        shutil.rmtree(name)
    else:
        path.unlink()


def _invalid_path(path: str, why: str) -> StepError:
    message = "The path {!r:.200} in an artifact cannot be used: {}.".format(path, why)
    return StepError("INVALID_PATH", message, {"path": path[:200]})
