"""How much of the disk folders take, apart and together: files that several of them share are stored once.

uv gives an environment its files as hard links to its cache, so that the same wheel in ten environments is on the
disk once. Two paths are one file where device and inode are the same.
"""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Iterable
from pathlib import Path

#: Beside an environment's record: its files, so that they need not be looked at one by one again.
_INDEX = ".files"
#: Numbers for each file: device, inode, bytes on the disk.
_WIDTH = 3
#: `st_blocks` counts in these, whatever the file system's block is; stat(2).
_BLOCK = 512


def measure(folder: Path) -> int:
    """Bytes on disk of a folder's files, links among them counted once.

    What uv's cache holds as well counts fully: it is what the folder needs, cache or not. The files are noted in the
    folder for `DiskUsage`.
    """
    files = _look(folder)
    with (folder / _INDEX).open("wb") as index:
        files.tofile(index)
    return _sum([files])


class DiskUsage:
    """What folders take together. Remembers what it has seen; safe to use from any thread."""

    def __init__(self) -> None:
        self._files: dict[tuple[Path, int], array[int]] = {}
        self._sums: dict[frozenset[tuple[Path, int]], int] = {}
        self._guard = threading.Lock()

    def together(self, folders: Iterable[Path]) -> int:
        """Bytes on disk of all of the folders' files; a folder that has gone takes nothing."""
        with self._guard:
            keys = frozenset((folder, _identity(folder)) for folder in folders)
            if keys not in self._sums:
                self._files = {key: self._files.get(key) or _files(key[0]) for key in keys}
                self._sums = {keys: _sum(self._files.values())}
            return self._sums[keys]


def _identity(folder: Path) -> int:
    """Changes when the folder is made anew; 0 where there is none."""
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return 0


def _files(folder: Path) -> array[int]:
    """What was noted, or where that is not whole, what is there."""
    files: array[int] = array("Q")
    try:
        with (folder / _INDEX).open("rb") as index:
            files.frombytes(index.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return _look(folder)
    return files if files and len(files) % _WIDTH == 0 else _look(folder)


def _look(folder: Path) -> array[int]:
    files: array[int] = array("Q")
    waiting = [str(folder)]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except (FileNotFoundError, NotADirectoryError):  # removed meanwhile
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                files.extend((found.st_dev, found.st_ino, found.st_blocks * _BLOCK))
    return files


def _sum(several: Iterable[array[int]]) -> int:
    sizes: dict[tuple[int, int], int] = {}
    for files in several:
        sizes.update(zip(zip(files[0::_WIDTH], files[1::_WIDTH], strict=True), files[2::_WIDTH], strict=True))
    return sum(sizes.values())
