"""The files of a model as a user hands them in: which is the checkpoint, which is its graph, what is missing.

Inspector and freezer must choose alike, so both choose here.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from modelmill_worker import file_formats
from modelmill_worker.errors import StepError
from modelmill_worker.file_formats import GRAPH_FORMATS, FileFormat
from modelmill_worker.plugin_api import Tree

_DATA_NAME = re.compile(r"^(?P<prefix>.*)\.data-(?P<shard>\d{5})-of-(?P<shards>\d{5})$")


_LATEST = re.compile(r'^\s*model_checkpoint_path\s*:\s*"(?P<path>[^"]+)"', re.MULTILINE)
#: The key of tensorflow/python/training/checkpointable/base.py, the same in all later versions.
_OBJECT_GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"


@dataclass(frozen=True)
class SourceFile:
    """One file of a tree: its name relative to the tree, where it is, and what it is by its content."""

    name: str
    path: Path
    format: FileFormat


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's prefix, relative to the tree and as a path; complete as far as file names tell."""

    name: str
    prefix: Path
    shards: int


def survey(tree: Tree) -> Tuple[SourceFile, ...]:
    """What every file of the tree is."""
    return tuple(SourceFile(name, tree.path / name, file_formats.recognise(tree.path / name)) for name in tree.files)


def of_formats(files: Sequence[SourceFile], *formats: FileFormat) -> List[SourceFile]:
    """Those of the files that are in one of these formats."""
    return [file for file in files if file.format in formats]


def has_checkpoint(files: Sequence[SourceFile]) -> bool:
    """Whether there is a checkpoint or a part of one."""
    parts = (FileFormat.CHECKPOINT_INDEX, FileFormat.CHECKPOINT_DATA, FileFormat.CHECKPOINT_V1)
    return bool(of_formats(files, *parts))


def checkpoint_names(files: Sequence[SourceFile]) -> List[str]:
    """The prefixes of all checkpoints among the files, whole or not."""
    return sorted({_prefix(file.name) for file in files if _prefix(file.name)} | _old_checkpoints(files))


def choose_checkpoint(files: Sequence[SourceFile]) -> Checkpoint:
    """The one checkpoint among the files, or the one that TensorFlow's file `checkpoint` says is the latest.

    Raises StepError CHECKPOINT_INCOMPLETE, naming what is missing, or AMBIGUOUS_SOURCE.
    """
    prefixes = checkpoint_names(files)
    prefixes = [name for name in prefixes if name in _latest(files)] or prefixes
    if len(prefixes) > 1:
        raise ambiguous("checkpoints", prefixes, "Give the prefix of one of them.")
    if not prefixes:
        raise StepError("CHECKPOINT_MISSING", "There is no checkpoint. Give its prefix, such as model.ckpt-100.")
    name = prefixes[0]
    by_name = {file.name: file for file in files}
    if name in by_name and by_name[name].format is FileFormat.CHECKPOINT_V1:
        return Checkpoint(name, by_name[name].path, shards=1)
    return _complete_checkpoint(name, by_name)


def choose_graph(files: Sequence[SourceFile], checkpoint: Optional[Checkpoint]) -> SourceFile:
    """The one graph among the files; a checkpoint's own .meta only where there is no other.

    Raises StepError GRAPH_MISSING or AMBIGUOUS_SOURCE.
    """
    others_own = {name + ".meta" for name in checkpoint_names(files) if checkpoint and name != checkpoint.name}
    graphs = of_formats(files, *GRAPH_FORMATS, FileFormat.GRAPH_DEF_TRUNCATED)
    graphs = [file for file in graphs if file.name not in others_own]
    own_name = checkpoint.name + ".meta" if checkpoint else None
    others = [file for file in graphs if file.name != own_name]
    if len(others) > 1:
        raise ambiguous("graphs", [file.name for file in others], "Leave the one that belongs to the model.")
    if others:
        return others[0]
    own = [file for file in graphs if file.name == own_name]
    if own:
        return own[0]
    raise _graph_missing(files, checkpoint)


def ambiguous(what: str, names: Sequence[str], advice: str) -> StepError:
    """The error where several things could be meant."""
    message = "There are several {}: {}. {}".format(what, ", ".join(names), advice)
    return StepError("AMBIGUOUS_SOURCE", message, {"candidates": list(names)})


def _prefix(name: str) -> str:
    """The prefix of which a file name is a part; empty where it is none."""
    match = _DATA_NAME.match(name)
    if match:
        return match.group("prefix")
    return name[: -len(".index")] if name.endswith(".index") else ""


def _latest(files: Sequence[SourceFile]) -> List[str]:
    """The checkpoints that notes of TensorFlow's name; each lies beside its note, whatever path that gives."""
    found = []
    for file in of_formats(files, FileFormat.CHECKPOINT_STATE):
        match = _LATEST.search(file.path.read_text(encoding="utf-8", errors="replace"))
        if match:
            folder = file.name[: -len(file.path.name)]
            found.append(folder + re.split(r"[/\\\\]", match.group("path"))[-1])
    return found


def _old_checkpoints(files: Sequence[SourceFile]) -> "set[str]":
    return {file.name for file in files if file.format is FileFormat.CHECKPOINT_V1 and not _prefix(file.name)}


def _complete_checkpoint(name: str, by_name: Dict[str, SourceFile]) -> Checkpoint:
    index = by_name.get(name + ".index")
    if index is None:
        raise _incomplete(name, [name + ".index"])
    _refuse_empty(index)
    if index.format is not FileFormat.CHECKPOINT_INDEX:
        raise StepError(
            "CHECKPOINT_UNREADABLE",
            "{} is not the index of a checkpoint but {}. Copy the checkpoint again.".format(
                index.name, index.format.value
            ),
            {"file": index.name, "format": index.format.name},
        )
    shards = file_formats.read_shard_count(index.path.read_bytes()) or 1
    # A damaged index may speak of any number: more than there are files cannot all be there.
    named = range(min(shards, len(by_name) + 1))
    wanted = ["{}.data-{:05d}-of-{:05d}".format(name, shard, shards) for shard in named]
    missing = [file for file in wanted if file not in by_name]
    if missing:
        raise _incomplete(name, missing)
    for file in wanted:
        _refuse_empty(by_name[file])
    return Checkpoint(name, index.path.with_name(index.path.name[: -len(".index")]), shards)


def _refuse_empty(file: SourceFile) -> None:
    if file.path.stat().st_size == 0:
        raise StepError("EMPTY_FILE", "{} is empty. Was it copied whole?".format(file.name), {"file": file.name})


def _incomplete(name: str, missing: Sequence[str]) -> StepError:
    return StepError(
        "CHECKPOINT_INCOMPLETE",
        "The checkpoint {} lacks {}. Put it beside the other files of the checkpoint.".format(name, ", ".join(missing)),
        {"checkpoint": name, "missing": list(missing)},
    )


def _graph_missing(files: Sequence[SourceFile], checkpoint: Optional[Checkpoint]) -> StepError:
    name = checkpoint.name if checkpoint else "the model"
    return StepError(
        "GRAPH_MISSING",
        "The checkpoint {} has no graph: it holds values only. {}".format(name, _advice_for_graph(checkpoint)),
        {"checkpoint": name, "files": [file.name for file in files]},
    )


def _advice_for_graph(checkpoint: Optional[Checkpoint]) -> str:
    if checkpoint is not None and checkpoint.prefix.name == "variables":
        return "It looks like the variables of a SavedModel: give the folder above, with saved_model.pb in it."
    if checkpoint is not None and _is_object_based(checkpoint):
        return (
            "Keras's save_weights or tf.train.Checkpoint wrote it, and they write no graph. Load it into the model "
            "in Python and save the whole, with model.save() or tf.saved_model.save()."
        )
    return "Give the graph.pb, graph.pbtxt or .meta file with --graph."


def _is_object_based(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint names its values by Python objects; its index says so in a key of its own."""
    index = checkpoint.prefix.with_name(checkpoint.prefix.name + ".index")
    return index.is_file() and _OBJECT_GRAPH in index.read_bytes()
