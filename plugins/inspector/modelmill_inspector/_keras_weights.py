"""The weights in a Keras file: names, shapes and types, without their values.

HDF5 is read by h5py, which is HDF5's own library: Keras writes groups in several of the format's ways (symbol tables,
compact and dense links), which an own reader would have to know all. The library is imported only here, 0.04 s beyond
NumPy, and runs in a step process; no value is read, no link into another file is followed.
"""

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Sequence, Tuple

from modelmill_inspector._keras_layers import Weight

#: The file of an archive that holds the weights.
_IN_ARCHIVE = "model.weights.h5"
#: Groups beside the model's own weights.
_OPTIMIZER = re.compile(r"_?optimizer(_weights)?$")
_METRICS = re.compile(r"_?(metrics|compile_metrics|loss_tracker)$")
#: Lists of layers in an archive: of Keras 2.15 and 3, of Keras 2.12 to 2.14.
_LISTS = ("layers", "_layer_checkpoint_dependencies")
_DEEPEST, _MOST_ENTRIES = 30, 200000
#: A packed archive is unpacked into memory up to this size; Keras does not pack.
_LARGEST_PACKED = 2**28


class UnreadableWeightsError(ValueError):
    """The file's HDF5 part cannot be read; the message says why."""


@dataclass(frozen=True)
class KerasWeights:
    """What a file has of weights.

    archive: whether it is a .keras archive, not HDF5.
    by_group: of each group that holds a layer's weights, by the name that the file has for the layer.
    optimizer_variables: how many variables there are of an optimizer's state.
    """

    by_group: Dict[str, List[Weight]]
    optimizer_variables: int
    archive: bool

    def totals(self) -> Dict[str, Any]:
        """The facts parameters, parameters_by_dtype and parameter_bytes; an unknown type has no bytes."""
        by_dtype: Dict[str, int] = {}
        size = 0
        for weights in self.by_group.values():
            for _, dtype, shape in weights:
                elements = 1
                for dimension in shape:
                    elements *= dimension
                by_dtype[dtype] = by_dtype.get(dtype, 0) + elements
                bits = re.search(r"\d+$", dtype)
                size += elements * int(bits.group()) // 8 if bits else 0
        return {
            "parameters": sum(by_dtype.values()),
            "parameters_by_dtype": dict(sorted(by_dtype.items())),
            "parameter_bytes": size,
        }

    def of_layers(self, layers: Sequence[Tuple[str, str]]) -> Dict[str, List[Weight]]:
        """By the layers' own names; `layers`: name and class of each, in the architecture's order.

        HDF5 files name a group after the layer. Archives name it after the class in snake case, with a number behind it
        from the second layer of a class on; of some versions after the layer too.
        """
        by_class = self._of_classes(layers) if self.archive else {}
        return by_class if len(by_class) == len(self.by_group) else dict(self.by_group)

    def _of_classes(self, layers: Sequence[Tuple[str, str]]) -> Dict[str, List[Weight]]:
        found = {}
        seen: Dict[str, int] = {}
        for name, class_name in layers:
            snake = _snake_case(class_name)
            number = seen.get(snake, 0)
            seen[snake] = number + 1
            group = "{}_{}".format(snake, number) if number else snake
            if group in self.by_group:
                found[name] = self.by_group[group]
        return found


def read_hdf5_weights(path: Path) -> KerasWeights:
    """The weights of an HDF5 file of a whole model. Raises UnreadableWeightsError."""
    with path.open("rb") as file:
        return _read(file, archive=False)


def read_archive_weights(path: Path) -> Optional[KerasWeights]:
    """The weights of a .keras archive; None where they are packed, and too large to unpack.

    Raises UnreadableWeightsError.
    """
    try:
        with zipfile.ZipFile(str(path)) as archive:
            member = archive.getinfo(_IN_ARCHIVE)
            if member.compress_type == zipfile.ZIP_STORED:
                with path.open("rb") as file:
                    return _read(_Window(file, _start_of(file, member), member.file_size), archive=True)
            if member.file_size > _LARGEST_PACKED:
                return None
            with archive.open(member) as packed:
                return _read(io.BytesIO(packed.read(_LARGEST_PACKED)), archive=True)
    except (KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise UnreadableWeightsError(str(error)) from error


def _start_of(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind its local header of 30 bytes, its name and what else stands there."""
    file.seek(member.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\3\4":
        raise UnreadableWeightsError("its weights are not where its directory says")
    return member.header_offset + 30 + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))


class _Window(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the window."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:
        """The place in the window."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the window goes."""
        view = memoryview(buffer)[: max(self._size - self._position, 0)]
        self._file.seek(self._start + self._position)
        data = self._file.read(len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _read(file: Any, archive: bool) -> KerasWeights:
    # What h5py raises on damaged files is any of these, by the place of the damage.
    import h5py

    try:
        with h5py.File(file, "r") as root:
            return _sort(_walk(root), archive)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise UnreadableWeightsError(str(error)) from error


def _walk(root: Any) -> Iterator[Tuple[Tuple[str, ...], Weight]]:
    """Every dataset with the groups that it is in; those that are reached by a second way count again."""
    import h5py

    waiting: List[Tuple[Tuple[str, ...], Any]] = [((), root)]
    entries = 0
    while waiting:
        path, group = waiting.pop()
        for name in group:
            entries += 1
            if entries > _MOST_ENTRIES or len(path) > _DEEPEST:
                raise ValueError("it has more groups than any model")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            entry = group[name]
            if isinstance(entry, h5py.Group):
                waiting.append((path + (name,), entry))
            elif isinstance(entry, h5py.Dataset) and entry.shape is not None:
                yield path, (name, str(entry.dtype), tuple(int(size) for size in entry.shape))


def _sort(entries: Iterator[Tuple[Tuple[str, ...], Weight]], archive: bool) -> KerasWeights:
    by_group: Dict[str, List[Weight]] = {}
    optimizer = 0
    for path, weight in entries:
        # Keras 2.12 wrote its archives' paths with the separator of Windows as well.
        parts = [part for name in path for part in re.split(r"[\\/]", name) if part]
        if parts and _OPTIMIZER.match(parts[0]):
            optimizer += 1
        elif not parts or not _METRICS.match(parts[0]):
            group, rest = _group_of(parts)
            by_group.setdefault(group, []).append(("/".join((*rest, weight[0])), weight[1], weight[2]))
    for weights in by_group.values():
        weights.sort(key=lambda weight: (_number(weight[0]), weight[0]))
    return KerasWeights(by_group, optimizer, archive)


def _group_of(parts: List[str]) -> Tuple[str, List[str]]:
    """The group of a layer's weights, and what follows of the path without what says nothing."""
    if parts and parts[0] in (*_LISTS, "model_weights"):
        parts = parts[1:]
    if not parts:
        return "", []
    rest = [part for part in parts[1:] if part not in ("vars", parts[0])]
    return parts[0], rest


def _number(name: str) -> int:
    """Archives number a layer's weights."""
    last = name.rsplit("/", 1)[-1]
    return int(last) if last.isdigit() and len(last) < 9 else 0


def _snake_case(class_name: str) -> str:
    """As Keras makes a name of a class: Conv2D -> conv2d, MaxPooling2D -> max_pooling2d, PReLU -> p_re_lu."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
