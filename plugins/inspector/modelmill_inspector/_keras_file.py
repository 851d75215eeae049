"""What a Keras file says of itself: HDF5 or .keras archive, the Keras that wrote it, its architecture."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, FrozenSet, Iterator, Tuple

from modelmill_worker.errors import StepError

from modelmill_inspector import _hdf5

#: No architecture is longer; a small archive may unpack to anything.
_LARGEST_TEXT = 2**26
#: What a damaged archive raises, by the place of the damage; ValueError includes text that is none.
_NO_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OSError,
    EOFError,
)


@dataclass(frozen=True)
class KerasFile:
    """A whole Keras model in one file.

    name: the file's own name.
    archive: whether it is a .keras archive, not HDF5.
    version: of the Keras that wrote it, such as "2.15.0" or "2.2.4-tf"; empty where the file does not say.
    backend: what that Keras computed with; empty where the file does not say.
    arguments: the classes in the architecture with the names of what they are made with; "" for each class itself.
    architecture: {"class_name", "config"} of the model, as the file has it.
    compiled: what the model was compiled with, as the file has it; None where it was not.
    """

    name: str
    archive: bool
    version: str
    backend: str
    arguments: FrozenSet[Tuple[str, str]]
    architecture: Any = None
    compiled: Any = None

    @property
    def classes(self) -> FrozenSet[str]:
        """The names of all classes in the architecture: of the model, layers, initializers, regularizers ..."""
        return frozenset(name for name, _ in self.arguments)


def read_hdf5(path: Path, name: str) -> KerasFile:
    """Raises StepError KERAS_WEIGHTS_ONLY or KERAS_FILE_DAMAGED."""
    architecture = _hdf5.read_text(path, "model_config")
    if architecture is None:
        raise StepError(
            "KERAS_WEIGHTS_ONLY",
            "{} holds weights without the model's architecture. "
            "Save the whole model with model.save() and give that file.".format(name),
            {"file": name},
        )
    parsed = _parse(architecture, name)
    compiled = _hdf5.read_text(path, "training_config")
    return KerasFile(
        name=path.name,
        archive=False,
        version=_hdf5.read_text(path, "keras_version") or "",
        backend=_hdf5.read_text(path, "backend") or "",
        arguments=frozenset(_arguments(parsed)),
        architecture=parsed,
        compiled=_parse(compiled, name) if compiled else None,
    )


def read_archive(path: Path, name: str) -> KerasFile:
    """Raises StepError KERAS_FILE_DAMAGED."""
    try:
        with zipfile.ZipFile(str(path)) as archive:
            architecture = _text(archive, "config.json")
            metadata = _text(archive, "metadata.json") if "metadata.json" in archive.namelist() else "{}"
    except _NO_ARCHIVE as error:
        raise damaged_keras(name, str(error)) from error
    told, parsed = _parse(metadata, name), _parse(architecture, name)
    return KerasFile(
        name=path.name,
        archive=True,
        version=str(told.get("keras_version", "")) if isinstance(told, dict) else "",
        backend="",
        arguments=frozenset(_arguments(parsed)),
        architecture=parsed,
        compiled=parsed.get("compile_config") if isinstance(parsed, dict) else None,
    )


def _text(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as member:
        content = member.read(_LARGEST_TEXT + 1)
    if len(content) > _LARGEST_TEXT:
        raise ValueError("{} has more than {:,} bytes".format(name, _LARGEST_TEXT))
    return content.decode("utf-8")


def _parse(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged_keras(name, str(error)) from error


def _arguments(architecture: Any) -> Iterator[Tuple[str, str]]:
    """What stands as `config` beside every `class_name` in nested dictionaries and lists."""
    waiting = [architecture]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            name, config = value.get("class_name"), value.get("config")
            if isinstance(name, str):
                yield name, ""
                yield from ((name, argument) for argument in (config if isinstance(config, dict) else ()))
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def damaged_keras(name: str, what: str) -> StepError:
    """The error KERAS_FILE_DAMAGED."""
    return StepError(
        "KERAS_FILE_DAMAGED",
        "{} cannot be read as a Keras model: {}. Save it again with model.save().".format(name, what.rstrip(".")),
        {"file": name, "error": what},
    )
