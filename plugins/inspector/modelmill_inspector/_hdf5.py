"""What an HDF5 file of Keras says of itself, read without an HDF5 library.

Keras writes the architecture and its own version as attributes of the root group; a file of weights only has no
architecture. An attribute is found by its name, which is stored as plain bytes, and is taken only where what stands
before and behind the name is an attribute message of a string (HDF5 File Format Specification 3.0: IV.A.2.m, The
Attribute Message; IV.A.2.d, The Datatype Message; III.E, Global Heap).
"""

import mmap
import struct
from pathlib import Path
from typing import Any, Iterator, Optional

#: Size of an attribute message's header before the name, by the message's version.
_HEADERS = {1: 8, 2: 8, 3: 9}
_STRING, _VARIABLE_LENGTH = 3, 9
_COLLECTION = b"GCOL"
_COLLECTION_HEADER, _OBJECT_HEADER = 16, 16


def read_text(path: Path, attribute: str) -> Optional[str]:
    """The text of an attribute; None where no such attribute holds text."""
    return next(read_texts(path, attribute), None)


def read_texts(path: Path, attribute: str) -> Iterator[str]:
    """The texts of all attributes of this name, in the order in which they lie in the file, whatever they belong to."""
    name = attribute.encode("ascii") + b"\0"
    if path.stat().st_size == 0:  # No memory can be mapped of nothing.
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position = data.find(name)
        while position >= 0:
            try:
                found = _text_at(data, position, len(name))
            except (IndexError, struct.error):  # The bytes only looked like an attribute, and pointed past the end.
                found = None
            if found is not None:
                yield found.decode("utf-8", "replace")
            position = data.find(name, position + 1)


def _text_at(data: Any, name: int, name_size: int) -> Optional[bytes]:
    """The value of the attribute message whose name starts there, if there is one and its value is one text."""
    for version, header in _HEADERS.items():
        start = name - header
        if start < 0 or data[start] != version:
            continue
        sizes = struct.unpack_from("<HHH", data, start + 2)
        if sizes[0] != name_size:
            continue
        name_ends, datatype_size, dataspace_size = (_padded(size) if version == 1 else size for size in sizes)
        datatype = name + name_ends
        return _value(data, datatype, datatype + datatype_size + dataspace_size)
    return None


def _value(data: Any, datatype: int, value: int) -> Optional[bytes]:
    """A text of fixed size lies in the message itself, one of any size in the file's global heap."""
    kind = data[datatype] & 0x0F
    (size,) = struct.unpack_from("<I", data, datatype + 4)
    if kind == _STRING:
        return bytes(data[value : value + size]).rstrip(b"\0")
    if kind == _VARIABLE_LENGTH:
        length, collection, index = struct.unpack_from("<IQI", data, value)
        return _from_heap(data, collection, index, length)
    return None


def _from_heap(data: Any, collection: int, index: int, length: int) -> Optional[bytes]:
    """An object of a collection of the global heap."""
    if data[collection : collection + 4] != _COLLECTION:
        return None
    (size,) = struct.unpack_from("<Q", data, collection + 8)
    position = collection + _COLLECTION_HEADER
    while position + _OBJECT_HEADER <= min(collection + size, len(data)):
        number, object_size = struct.unpack_from("<H6xQ", data, position)
        position += _OBJECT_HEADER
        if number == index:
            return bytes(data[position : position + length])
        if number == 0:
            break
        position += _padded(object_size)
    return None


def _padded(size: int) -> int:
    """A size rounded up to eight bytes."""
    return (size + 7) // 8 * 8
