"""The digest of a plug-in's code: changed code is never answered from the cache of the old."""

import hashlib
from pathlib import Path
from types import ModuleType
from typing import Iterable, Iterator, List, Tuple

import modelmill_worker


def of_module(module: ModuleType) -> str:
    """SHA-256 over the files of a module's top-level package and of modelmill_worker.

    Each file counts with its path relative to the package's parent, sorted, and its bytes. Compiled files do not
    count. An editable installation lists no files in its metadata, so the package's own folder is read.
    """
    digest = hashlib.sha256()
    for package in (module, modelmill_worker):
        for name, path in sorted(_files(package)):
            digest.update("{}\0{}\0".format(name, path.stat().st_size).encode("utf-8"))
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(module: ModuleType) -> Iterator[Tuple[str, Path]]:
    for root in _roots(module):
        if root.is_file():
            yield root.name, root
        for path in root.rglob("*"):
            if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts:
                yield path.relative_to(root.parent).as_posix(), path


def _roots(module: ModuleType) -> List[Path]:
    """The folders of the top-level package that a module is in, or the module's file where there is no package."""
    depth = module.__name__.count(".")
    if module.__file__ is None:
        return [Path(folder) for folder in module.__path__]
    path = Path(module.__file__)
    is_package = path.name.startswith("__init__.")
    if not depth and not is_package:
        return [path]
    ups = depth if is_package else depth - 1
    return [path.parent.parents[ups - 1] if ups else path.parent]


def of_several(digests: Iterable[str]) -> str:
    """One digest for code that several have a part in, in this order."""
    return hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest()
