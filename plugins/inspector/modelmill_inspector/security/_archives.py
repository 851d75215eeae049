"""Searches zip archives, such as .keras and .npz: entries that are not what they seem, and what lies in them."""

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from modelmill_inspector.security import _code, _paths
from modelmill_inspector.security._findings import Finding, Findings, inside, shortened
from modelmill_inspector.security._keras import KerasScan

#: An entry that unpacks to more is a finding and is not read.
_LARGEST = 64 * 2**20
#: A whole archive that unpacks to more, at a ratio that no weights compress with, is a finding.
_LARGEST_TOGETHER = 2**30
_RATIO = 200
#: How many entries are looked into.
_MOST_ENTRIES = 10_000
_ENCRYPTED = 0x1
#: What is read of an entry that is no configuration.
_HEAD = 2**16
#: The header of an array whose elements, or a part of them, are Python objects: a type of kind O, in either quotes.
_OBJECT_ARRAY = re.compile(rb"\x93NUMPY.{4,8}\{[^}]*['\"][|<>=]?O[48]?['\"]", re.DOTALL)
_CONFIGURATIONS = (".json",)


def scan_archive(path: Path, where: str, findings: Findings, largest: int) -> List[Tuple[str, bytes]]:
    """Search an archive; returns place and content of each entry that is an HDF5 file, up to `largest` bytes of it."""
    hdf5: List[Tuple[str, bytes]] = []
    try:
        with zipfile.ZipFile(str(path)) as archive:
            entries = archive.infolist()
            findings.extend(_odd_entries(entries, where))
            for entry in entries[:_MOST_ENTRIES]:
                head = _search_entry(archive, entry, inside(where, entry.filename), findings)
                if head is not None and head[:8] == b"\x89HDF\r\n\x1a\n":
                    place = inside(where, entry.filename)
                    content = _content(archive, entry, place, findings, largest)
                    if content is not None:
                        hdf5.append((place, content))
            if len(entries) > _MOST_ENTRIES:
                text = "The archive has {:,} entries, and {:,} of them were searched.".format(
                    len(entries), _MOST_ENTRIES
                )
                findings.add(Finding("medium", "SEARCH_BOUND_MET", text, "", "", where))
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, EOFError) as error:
        findings.add(_unreadable(where, str(error)))
    return hdf5


def _odd_entries(entries: List[zipfile.ZipInfo], where: str) -> List[Finding]:
    """What the archive's list of entries tells by itself."""
    found: List[Finding] = []
    seen: Dict[str, int] = {}
    for entry in entries:
        seen[entry.filename] = seen.get(entry.filename, 0) + 1
        name = shortened(entry.filename)
        if _paths.leaves(entry.filename):
            text = "The entry {!r} unpacks to a place outside of the folder that it is unpacked in.".format(name)
            found.append(Finding("high", "ARCHIVE_PATH_OUTSIDE", text, "", "", where))
        if entry.flag_bits & _ENCRYPTED:
            text = "The entry {!r} is encrypted, so that it cannot be searched.".format(name)
            found.append(Finding("medium", "ARCHIVE_ENCRYPTED", text, "", "", where))
        if (entry.external_attr >> 28) == 0xA:
            text = "The entry {!r} is a symbolic link.".format(name)
            found.append(Finding("high", "ARCHIVE_LINK", text, "", "", where))
        if entry.file_size > _RATIO * max(entry.compress_size, 1) and entry.file_size > 2**20:
            text = "The entry {!r} unpacks from {:,} to {:,} bytes, as a bomb does.".format(
                name, entry.compress_size, entry.file_size
            )
            found.append(Finding("high", "ARCHIVE_BOMB", text, "", "", where))
    for filename, count in seen.items():
        if count > 1:
            text = "There are {} entries named {!r}: which one is read depends on the reader.".format(
                count, shortened(filename)
            )
            found.append(Finding("high", "ARCHIVE_DUPLICATE", text, "", "", where))
    total = sum(entry.file_size for entry in entries)
    if total > _LARGEST_TOGETHER and total > _RATIO * max(sum(entry.compress_size for entry in entries), 1):
        text = "The archive unpacks to {:,} bytes, as a bomb does.".format(total)
        found.append(Finding("high", "ARCHIVE_BOMB", text, "", "", where))
    return found


def _search_entry(archive: Any, entry: zipfile.ZipInfo, where: str, findings: Findings) -> Optional[bytes]:
    """Search one entry; returns how it begins, or None where it cannot be read."""
    if entry.flag_bits & _ENCRYPTED or entry.filename.endswith("/"):
        return None
    whole = entry.filename.endswith(_CONFIGURATIONS)
    if whole and entry.file_size > _LARGEST:
        text = "The entry has {:,} bytes and was not searched.".format(entry.file_size)
        findings.add(Finding("medium", "SEARCH_BOUND_MET", text, "", "", where))
        return None
    content = _read(archive, entry, where, findings, _LARGEST if whole else _HEAD)
    if content is None:
        return None
    if whole and not KerasScan(findings).text(content.decode("utf-8", "replace"), where):
        findings.add(_unreadable(where, "it is no JSON"))
    findings.extend(found for found in [suspicious_start(content, where)] if found is not None)
    return content


def _content(archive: Any, entry: zipfile.ZipInfo, where: str, findings: Findings, largest: int) -> Optional[bytes]:
    """What is searched of an entry that is a file of its own; that it has more than is searched is a finding."""
    content = _read(archive, entry, where, findings, largest)
    if content is not None and len(content) < entry.file_size:
        text = "Of {:,} bytes the first {:,} were searched.".format(entry.file_size, len(content))
        findings.add(Finding("medium", "SEARCH_BOUND_MET", text, "", "", where))
    return content


def _read(archive: Any, entry: zipfile.ZipInfo, where: str, findings: Findings, size: int) -> Optional[bytes]:
    """The start of an entry, or None where it cannot be read, which is a finding."""
    try:
        with archive.open(entry) as file:
            content: bytes = file.read(size)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        findings.add(_unreadable(where, str(error)))
        return None
    return content


def suspicious_start(content: bytes, where: str) -> Optional[Finding]:
    """What a file that is no model is, by how it begins, where that is worth a word."""
    machine_code = _code.machine_code(content)
    if machine_code:
        text = "The file is {}: a model needs none unless it has operations of its own.".format(machine_code)
        return Finding("medium", "MACHINE_CODE", text, "", "", where)
    if _OBJECT_ARRAY.match(content):
        text = "The array holds Python objects: reading it unpickles them, which may run anything."
        return Finding("high", "PICKLE", text, "", "", where)
    called = _code.pickle_calls(content)
    if called:
        text = "The file is a pickle. Whoever unpickles it calls {}.".format(", ".join(map(shortened, called)))
        return Finding("high", "PICKLE", text, "", "", where)
    return None


def _unreadable(where: str, why: str) -> Finding:
    text = "This could not be read, so it was not searched: {}.".format(shortened(why).rstrip("."))
    return Finding("low", "NOT_SEARCHED", text, "", "", where)
