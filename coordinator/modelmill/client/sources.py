"""What the user calls a model, as the files of a source artifact.

A checkpoint is named by its prefix, as TensorFlow does: `model.ckpt` stands for `model.ckpt.index`, its
`model.ckpt.data-*` and a graph. No model is read here: what the files are, the farm finds out.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelmill.errors import ModelmillError

#: A folder with more files than this is no model but a mistake, such as a home folder.
FILES_LIMIT = 10_000

_GRAPHS = ("graph.pb", "graph.pbtxt")
_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")
_META = re.compile(r"(?P<prefix>.+)\.meta")
_LATEST = re.compile(r'^\s*model_checkpoint_path\s*:\s*"(?P<path>[^"]+)"', re.MULTILINE)
_PART_OF_CHECKPOINT = re.compile(r"(?P<prefix>.+)\.(index|data-\d{5}-of-\d{5})")


@dataclass(frozen=True)
class SourceFile:
    """One file: its path in the artifact, with forward slashes, and where it lies."""

    path: str
    file: Path


@dataclass(frozen=True)
class Source:
    """The files of a model and the name that people know it by."""

    files: tuple[SourceFile, ...]
    display_name: str


def collect(source: Path, graph: Path | None = None) -> Source:
    """The files that a user means.

    source: a checkpoint's prefix, any of its files or TensorFlow's note `checkpoint` beside them; another file; or a
        folder, of which all files count but hidden ones. A saved_model.pb stands for its folder.
    graph: the graph of a checkpoint; where it is None, the `.meta`, `graph.pb` or `graph.pbtxt` beside the
        checkpoint is taken, if there is one.

    Links to files are followed, links to folders are not.

    Raises SOURCE_NOT_FOUND, GRAPH_NOT_FOUND, CHECKPOINT_INDEX_MISSING, SOURCE_EMPTY, SOURCE_TOO_LARGE or
    SOURCE_UNREADABLE.
    """
    try:
        return Source(tuple(_collect(source, graph)), _display_name(source))
    except OSError as error:
        raise _unreadable(error, source) from error


def _collect(source: Path, graph: Path | None) -> list[SourceFile]:
    files = list(_files_of(source, wants_graph=graph is None))
    if graph is None:
        return files
    if not graph.is_file():
        raise _not_found("GRAPH_NOT_FOUND", graph)
    return _with_graph(files, graph)


def _files_of(source: Path, wants_graph: bool) -> Iterable[SourceFile]:
    if source.is_dir():
        return _folder(source)
    if source.name in _SAVED_MODEL and source.with_name("variables").is_dir():
        return _folder(source.parent)
    prefix = _checkpoint_prefix(source)
    if prefix is not None:
        return _checkpoint(prefix, wants_graph)
    if source.is_file():
        return [SourceFile(source.name, source)]
    raise _missing(source)


def _checkpoint_prefix(source: Path) -> Path | None:
    """The prefix where the source is one, a part of a checkpoint, its .meta, or a note of which is the latest.

    A file of exactly that name comes first; it may be a checkpoint of the one-file format, if a .meta lies beside it.
    """
    if not source.is_file():
        return source if _is_prefix(source) else None
    part = _PART_OF_CHECKPOINT.fullmatch(source.name) or _META.fullmatch(source.name)
    if part is not None:
        source = source.with_name(part["prefix"])
        return source if _is_prefix(source) or (part.re is _META and source.is_file()) else None
    if source.name == "checkpoint":
        return _latest(source)
    return source if _beside(source, ".meta").is_file() else None


def _is_prefix(source: Path) -> bool:
    return _beside(source, ".index").is_file()


def _latest(note: Path) -> Path | None:
    """The checkpoint beside TensorFlow's note that it names, perhaps by another machine's path."""
    match = _LATEST.search(note.read_text(encoding="utf-8", errors="replace"))
    latest = note.with_name(re.split(r"[/\\]", match["path"])[-1]) if match else None
    return latest if latest is not None and _is_prefix(latest) else None


def _checkpoint(prefix: Path, wants_graph: bool) -> Iterator[SourceFile]:
    """The index or the whole of an old checkpoint, the data, and a graph."""
    yield _named(_beside(prefix, ".index") if _is_prefix(prefix) else prefix)
    data = re.compile(re.escape(prefix.name) + r"\.data-\d{5}-of-\d{5}")
    yield from (_named(file) for file in sorted(prefix.parent.iterdir()) if data.fullmatch(file.name))
    graph = _graph_beside(prefix) if wants_graph else None
    if graph is not None:
        yield _named(graph)


def _graph_beside(prefix: Path) -> Path | None:
    """The checkpoint's .meta, or else what is most often called the graph."""
    files = [_beside(prefix, ".meta"), *(prefix.with_name(name) for name in _GRAPHS)]
    return next((file for file in files if file.is_file()), None)


def _folder(folder: Path) -> list[SourceFile]:
    files: list[SourceFile] = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file():
                files.append(SourceFile(file.relative_to(folder).as_posix(), file))
        if len(files) > FILES_LIMIT:
            raise ModelmillError(
                "SOURCE_TOO_LARGE",
                f"{folder} holds more than {FILES_LIMIT} files, which no model does: name the model's own folder.",
                {"source": str(folder), "limit": FILES_LIMIT},
            )
    if not files:
        raise ModelmillError(
            "SOURCE_EMPTY",
            f"{folder} holds no files, not counting hidden ones and folders behind links: "
            "name the folder that the model is in.",
            {"source": str(folder)},
        )
    return files


def _with_graph(files: list[SourceFile], graph: Path) -> list[SourceFile]:
    if any(other.file.samefile(graph) for other in files):
        return files
    taken = {other.path for other in files}
    path = graph.name if graph.name not in taken else f"graph/{graph.name}"
    return [*files, SourceFile(path, graph)]


def _named(file: Path) -> SourceFile:
    return SourceFile(file.name, file)


def _beside(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(prefix.name + suffix)


def _display_name(source: Path) -> str:
    name = source.resolve().name
    part = _PART_OF_CHECKPOINT.fullmatch(name)
    return part["prefix"] if part else name


def _missing(source: Path) -> ModelmillError:
    rest = [name for name in _names_beside(source) if name.startswith(source.name + ".")]
    parts = [name for name in rest if _PART_OF_CHECKPOINT.fullmatch(name) or name.endswith(".meta")]
    if not parts:
        return _not_found("SOURCE_NOT_FOUND", source)
    return ModelmillError(
        "CHECKPOINT_INDEX_MISSING",
        f"The checkpoint {source} has {', '.join(parts)} but no {source.name}.index, which says what is in it: "
        "copy the whole checkpoint.",
        {"source": str(source), "found": parts},
    )


def _not_found(reason: str, file: Path) -> ModelmillError:
    names = _names_beside(file)
    prefixes = {part["prefix"] for name in names if (part := _PART_OF_CHECKPOINT.fullmatch(name))}
    nearest = difflib.get_close_matches(file.name, sorted(prefixes | set(names)), 3, 0.5)
    if nearest:
        hint = f"Near it there is: {', '.join(nearest)}."
    elif file.parent.is_dir():
        hint = "Give a checkpoint's prefix, a file or a folder."
    else:
        hint = f"There is no folder {file.parent} either."
    details = {"source": str(file), "nearest": nearest}
    return ModelmillError(reason, f"There is no {file}. {hint}", details)


def _raise(error: OSError) -> None:
    """For `os.walk`, which passes over folders that it cannot list unless it is told otherwise."""
    raise error


def _unreadable(error: OSError, source: Path) -> ModelmillError:
    if error.errno == errno.ENAMETOOLONG:  # then there can be no such file
        return _not_found("SOURCE_NOT_FOUND", source)
    file, why = str(error.filename or source), error.strerror or str(error)
    return ModelmillError(
        "SOURCE_UNREADABLE",
        f"{file} cannot be read: {why}. Check its permissions and those of its folder.",
        {"file": file, "error": why},
    )


def _names_beside(file: Path) -> list[str]:
    try:
        return sorted(other.name for other in file.parent.iterdir())
    except OSError:
        return []
