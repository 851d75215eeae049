"""What a Keras file says of itself: HDF5 or .keras archive, the Keras that wrote it, the classes that it is made of."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, FrozenSet, Iterator, Tuple

from modelmill_worker.errors import StepError

from modelmill_inspector import _hdf5


@dataclass(frozen=True)
class KerasFile:
    """A whole Keras model in one file.

    name: the file's own name.
    archive: whether it is a .keras archive, not HDF5.
    version: of the Keras that wrote it, such as "2.15.0" or "2.2.4-tf"; empty where the file does not say.
    backend: what that Keras computed with; empty where the file does not say.
    arguments: the classes in the architecture with the names of what they are made with; "" for each class itself.
    """

    name: str
    archive: bool
    version: str
    backend: str
    arguments: FrozenSet[Tuple[str, str]]

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
    return KerasFile(
        name=path.name,
        archive=False,
        version=_hdf5.read_text(path, "keras_version") or "",
        backend=_hdf5.read_text(path, "backend") or "",
        arguments=frozenset(_arguments(_parse(architecture, name))),
    )


def read_archive(path: Path, name: str) -> KerasFile:
    """Raises StepError KERAS_FILE_DAMAGED."""
    try:
        with zipfile.ZipFile(str(path)) as archive:
            architecture = archive.read("config.json").decode("utf-8")
            metadata = archive.read("metadata.json").decode("utf-8") if "metadata.json" in archive.namelist() else "{}"
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise _damaged(name, str(error)) from error
    told = _parse(metadata, name)
    return KerasFile(
        name=path.name,
        archive=True,
        version=str(told.get("keras_version", "")) if isinstance(told, dict) else "",
        backend="",
        arguments=frozenset(_arguments(_parse(architecture, name))),
    )


def _parse(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _damaged(name, str(error)) from error


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


def _damaged(name: str, what: str) -> StepError:
    return StepError(
        "KERAS_FILE_DAMAGED",
        "{} cannot be read as a Keras model: {}. Save it again with model.save().".format(name, what.rstrip(".")),
        {"file": name, "error": what},
    )
