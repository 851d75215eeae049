"""Where an HDF5 file points to other files, read without an HDF5 library.

A link may lead into another file, and a dataset may have its values in others: whoever loads the model then reads
those (CVE-2025-9905 and its kin in Keras). Either is written as a message with a form of its own, by which it is found
wherever it lies: in an object's header or in a heap (HDF5 File Format Specification 3.0: IV.A.2.g, The Link Message;
IV.A.2.h, The Data Storage - External Data Files Message; III.D, Local Heaps).
"""

import re
import struct
from typing import Any, Iterator, Tuple

#: Version 1, flags that announce a link type, the type of external links, what the flags announce besides, the name.
_EXTERNAL_LINK = re.compile(rb"\x01[\x08-\x1f]\x40")
_CREATION_ORDER, _CHARACTER_SET = 0x04, 0x10
#: An external-files message of version 1 behind the header of a message, of either version of object headers.
_EXTERNAL_FILES = re.compile(
    rb"\x07\x00..[\x00-\x1f]\x00\x00\x00\x01\x00\x00\x00|\x07..[\x00-\x1f]\x01\x00\x00\x00", re.DOTALL
)
_HEAP = b"HEAP"
_NAME = re.compile(rb"[^\x00-\x1f\x7f]{1,4096}")


def external_files(data: Any) -> Iterator[Tuple[str, str]]:
    """(what points, to which file) for each; `data`: the file's bytes or a memory map of them."""
    for match in _EXTERNAL_LINK.finditer(data):
        try:
            found = _link_at(data, match.start())
        except struct.error:  # The bytes only looked like a link, and pointed past the end.
            continue
        if found[1]:
            yield found
    for match in _EXTERNAL_FILES.finditer(data):
        try:
            for name in _names_at(data, match.end()):
                yield "a dataset", name
        except struct.error:
            continue


def _link_at(data: Any, start: int) -> Tuple[str, str]:
    """The link's name and the file it leads to; an empty file where there is no external link."""
    flags = data[start + 1]
    position = start + 3 + 8 * bool(flags & _CREATION_ORDER) + bool(flags & _CHARACTER_SET)
    width = 1 << (flags & 3)
    (length,) = struct.unpack_from("<" + "BHIQ"[flags & 3], data, position)
    position += width
    if not 0 < length < 4096:
        return "", ""
    name = bytes(data[position : position + length])
    (size,) = struct.unpack_from("<H", data, position + length)
    content = bytes(data[position + length + 2 : position + length + 2 + size])
    parts = content[1:].split(b"\0")
    whole = len(content) == size and len(parts) == 3 and not parts[2] and content[:1] == b"\0"
    if not whole or not _NAME.fullmatch(name) or not _NAME.fullmatch(parts[0]):
        return "", ""
    return "the link {}".format(_text(name)), _text(parts[0])


def _names_at(data: Any, position: int) -> Iterator[str]:
    """The files that an external-files message lists, where the heap that it names is one."""
    allocated, used, address = struct.unpack_from("<HHQ", data, position)
    if not 0 < used <= allocated or bytes(data[address : address + 4]) != _HEAP:
        return
    (segment,) = struct.unpack_from("<Q", data, address + 24)
    for index in range(used):
        (offset,) = struct.unpack_from("<Q", data, position + 12 + 24 * index)
        name = bytes(data[segment + offset : segment + offset + 4096]).split(b"\0")[0]
        if _NAME.fullmatch(name):
            yield _text(name)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
