"""The edits of a command line, as files for the farm: the list of edits, and the arrays and logs that it names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from modelmill.client import Source, SourceFile
from modelmill.errors import ModelmillError

#: The list, in the artifact.
EDITS_FILE = "edits.txt"

#: An option and its value, in quotation marks or up to what ends a value.
_OPTION = re.compile(r"""(?P<key>\w+)\s*=\s*(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<bare>[^\s(),="']+))""")
#: Options whose value is a file, whatever its name ends in.
_FILE_OPTIONS = frozenset(["min_max_log_file"])
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)


def collect_edits(texts: Iterable[str], file: Path | None, scratch: Path) -> Source | None:
    """The files of the edits; None where there are none.

    texts: edits from the command line, made after those of the file; files that they name lie in the working folder.
    file: a list of edits; files that it names lie beside it or in folders below.
    scratch: an empty folder, needed until the files have been sent.

    Raises ModelmillError EDITS_NOT_FOUND, EDITS_UNREADABLE or ARRAY_NOT_FOUND.
    """
    lists = [(_read(file), file.parent)] if file is not None else []
    lists += [(text, Path()) for text in texts]
    if not lists:
        return None
    named: dict[str, Path] = {}
    for text, folder in lists:
        named.update(_files(text, folder))
    whole = scratch / EDITS_FILE
    whole.write_text("\n".join(text for text, _ in lists) + "\n", encoding="utf-8")
    files = [SourceFile(EDITS_FILE, whole), *(SourceFile(name, path) for name, path in named.items())]
    return Source(tuple(files), EDITS_FILE)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ModelmillError(
            "EDITS_NOT_FOUND", f"There is no {file}: give a text file with an edit on each line.", {"edits": str(file)}
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelmillError(
            "EDITS_UNREADABLE",
            f"{file} cannot be read ({error}): give a text file with an edit on each line.",
            {"edits": str(file)},
        ) from error


def _files(text: str, folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for match in _OPTION.finditer(_COMMENT.sub("", text)):
        key, *values = match.groups()
        name = next(value for value in values if value is not None)
        if not name.endswith(".npy") and key not in _FILE_OPTIONS:
            continue
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not (folder / path).is_file():
            where = folder if str(folder) != "." else "the working folder"
            raise ModelmillError(
                "ARRAY_NOT_FOUND",
                f"There is no {name} in {where}. Files that edits name lie beside the list of edits or below it.",
                {"array": name, "folder": str(folder)},
            )
        found[name] = folder / path
    return found
