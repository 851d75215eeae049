"""Reads a flexbuffer's map of numbers, strings and vectors of numbers: what an Edge TPU operator's options are.

Format: https://flatbuffers.dev/internals/#flexbuffers-encoding. It is read from the end: the last byte is the width of
the root, the one before it the root's type and the width of what that refers to. Numbers may lie in place of a
reference. A map is a vector of values with, before its length, a reference to the vector of its keys and that vector's
width; behind its values stands a byte with the type of each.

Google's Python package reads the same without bounds: a damaged reference leads it before the buffer's beginning.
"""

import struct
from typing import Any, Dict, List, Tuple, Union

from modelmill_worker.flatbuffer import FlatbufferError

#: A text is told by where it begins and how many bytes it has: it may be megabytes of machine code.
Span = Tuple[int, int]
Value = Union[int, float, Span, List[int], None]

_INT, _UINT, _FLOAT, _KEY, _STRING, _INDIRECT_INT, _INDIRECT_UINT, _INDIRECT_FLOAT, _MAP, _VECTOR = range(1, 11)
_VECTOR_INT, _VECTOR_UINT, _BLOB, _BOOL = 11, 12, 25, 26
_LARGEST_COUNT = 1000
_CODES = {_INT: "bhiq", _UINT: "BHIQ", _BOOL: "BHIQ", _FLOAT: " efd"}


class Flexbuffer:
    """The flexbuffer in `data` from `start` up to `end`. Every method raises FlatbufferError."""

    def __init__(self, data: Any, start: int, end: int) -> None:
        self._data = data
        self._start = start
        self._end = end

    def read_map(self) -> Dict[str, Value]:
        """The root, which must be a map; what is neither number, text nor vector of numbers is None."""
        if self._end - self._start < 3:
            raise FlatbufferError("an operator's options end before they begin")
        width = self._number("B", self._end - 1)
        packed = self._number("B", self._end - 2)
        if packed >> 2 != _MAP or width not in (1, 2, 4, 8):
            raise FlatbufferError("an operator's options are no map of a flexbuffer")
        return self._map(self._follow(self._end - 2 - width, width), 1 << (packed & 3))

    def _map(self, place: int, width: int) -> Dict[str, Value]:
        count = self._length(place, width)
        keys = self._follow(place - 3 * width, width)
        keys_width = self._unsigned(place - 2 * width, width)
        if keys_width not in (1, 2, 4, 8) or self._length(keys, keys_width) != count:
            raise FlatbufferError("a map at byte {} has not as many keys as values".format(place))
        found = {}
        for index in range(count):
            key = self._follow(keys + index * keys_width, keys_width)
            packed = self._number("B", place + count * width + index)
            found[self._key(key)] = self._value(place + index * width, width, packed >> 2, 1 << (packed & 3))
        return found

    def _value(self, place: int, parent: int, kind: int, width: int) -> Value:
        if kind in _CODES:
            code = _CODES[kind][parent.bit_length() - 1]
            number: Value = None if code == " " else self._number(code, place)
            return number
        if kind in (_INDIRECT_INT, _INDIRECT_UINT, _INDIRECT_FLOAT):
            direct = {_INDIRECT_INT: _INT, _INDIRECT_UINT: _UINT, _INDIRECT_FLOAT: _FLOAT}[kind]
            return self._value(self._follow(place, parent), width, direct, width)
        if kind in (_STRING, _BLOB):
            start = self._follow(place, parent)
            return start, self._length(start, width, self._end)
        if kind in (_VECTOR_INT, _VECTOR_UINT):
            start = self._follow(place, parent)
            code = _CODES[_INT if kind == _VECTOR_INT else _UINT][width.bit_length() - 1]
            return [self._number(code, start + index * width) for index in range(self._length(start, width))]
        if kind == _VECTOR:
            return self._numbers(self._follow(place, parent), width)
        return None

    def _numbers(self, place: int, width: int) -> List[int]:
        """The integers of a vector whose elements each have a type."""
        count = self._length(place, width)
        found = []
        for index in range(count):
            packed = self._number("B", place + count * width + index)
            if packed >> 2 in (_INT, _UINT):
                found.append(self._value(place + index * width, width, packed >> 2, 1))
        return found  # type: ignore[return-value]

    def _length(self, place: int, width: int, most: int = _LARGEST_COUNT) -> int:
        count = self._unsigned(place - width, width)
        if count > most or place + count > self._end:
            raise FlatbufferError("what lies at byte {} passes the end of its operator's options".format(place))
        return count

    def _key(self, place: int) -> str:
        found = bytes(self._data[place : min(place + 64, self._end)])
        return found.split(b"\0")[0].decode("ascii", "replace")

    def _follow(self, place: int, width: int) -> int:
        target = place - self._unsigned(place, width)
        if not self._start <= target < self._end:
            raise FlatbufferError("byte {} of an operator's options leads out of them".format(place))
        return target

    def _unsigned(self, place: int, width: int) -> int:
        return int(self._number(_CODES[_UINT][width.bit_length() - 1], place))

    def _number(self, code: str, place: int) -> Any:
        if place < self._start or place + struct.calcsize(code) > self._end:
            raise FlatbufferError("byte {} is outside of its operator's options".format(place))
        return struct.unpack_from("<" + code, self._data, place)[0]
