"""Reads the tables of a flatbuffer by their fields' numbers, from bytes that nobody has verified.

Format: https://flatbuffers.dev/internals/. A table begins with the signed distance back to its vtable; the vtable holds
its own length, the table's length, and for each field its place in the table (0 where absent). All else is reached by
unsigned distances.

Google's Python runtime has no verifier: a place outside the buffer, or before it, reads whatever lies there, and a
vector may claim any length. Here every place is checked against the buffer's bounds, and what one reader hands out in
all is bounded, so that no file of a few bytes keeps a step busy or fills its memory.
"""

import struct
from typing import Any, List, Optional, Tuple

#: How many tables, and pieces of 64 bytes of numbers and texts, one reader hands out. A model of a hundred thousand
#: operators has about a million.
LARGEST_COUNT = 2000000

_SIZES = {code: struct.calcsize("<" + code) for code in "bBhHiIqQfd"}


class FlatbufferError(ValueError):
    """The bytes are no flatbuffer of the kind that was expected; the message says what is wrong and where."""


class Flatbuffer:
    """One flatbuffer within `data`, which may be a memory map: from `start` up to `end`.

    around: the buffer that holds this one; what is handed out counts for both.
    """

    def __init__(
        self, data: Any, start: int = 0, end: Optional[int] = None, around: "Optional[Flatbuffer]" = None
    ) -> None:
        self.data = data
        self.start = start
        self.end = len(data) if end is None else end
        self._around = around
        self._left = LARGEST_COUNT

    @property
    def identifier(self) -> bytes:
        """The four bytes that say which schema it is, where the writer put them."""
        return bytes(self.data[self.start + 4 : min(self.start + 8, self.end)])

    def root(self) -> "Table":
        """The table that holds all others."""
        return Table(self, self.start + self.number("I", self.start))

    def number(self, code: str, place: int) -> Any:
        """One number, by its code of the module struct."""
        if place < self.start or place + _SIZES[code] > self.end:
            raise FlatbufferError("byte {} is outside of the buffer, which ends at {}".format(place, self.end))
        return struct.unpack_from("<" + code, self.data, place)[0]

    def vector(self, place: int, size: int) -> Tuple[int, int]:
        """Where the elements of the vector that a field at `place` refers to begin, and how many they are."""
        vector = place + self.number("I", place)
        length = self.number("I", vector)
        if vector + 4 + length * size > self.end:
            raise FlatbufferError(
                "the vector at byte {} claims {} elements and passes the end at {}".format(vector, length, self.end)
            )
        return vector + 4, length

    def spend(self, count: int) -> None:
        """Note that so much is handed out. Raises FlatbufferError where it is too much in all."""
        self._left -= count
        if self._around is not None:
            self._around.spend(count)
        if self._left < 0:
            raise FlatbufferError("it refers to the same bytes over and over: more than {}".format(LARGEST_COUNT))


class Table:
    """One table; fields are numbered as the schema lists them. Every method raises FlatbufferError."""

    __slots__ = ("_end", "_vtable", "buffer", "start")

    def __init__(self, buffer: Flatbuffer, start: int) -> None:
        buffer.spend(1)
        self.buffer = buffer
        self.start = start
        self._vtable = start - buffer.number("i", start)
        self._end = self._vtable + buffer.number("H", self._vtable)

    def place(self, field: int) -> Optional[int]:
        """Where a field's value stands; None where the field is absent."""
        entry = self._vtable + 4 + 2 * field
        if entry + 2 > self._end:
            return None
        offset = self.buffer.number("H", entry)
        return self.start + offset if offset else None

    def scalar(self, field: int, code: str, default: Any = 0) -> Any:
        """A number, by its code of the module struct."""
        place = self.place(field)
        return default if place is None else self.buffer.number(code, place)

    def text(self, field: int, limit: int = 4096) -> str:
        """A string, at most so many bytes of it; empty where absent."""
        found = self.span(field)
        if found is None:
            return ""
        start, length = found
        length = min(length, limit)
        self.buffer.spend(1 + length // 64)
        return bytes(self.buffer.data[start : start + length]).decode("utf-8", "replace")

    def span(self, field: int, size: int = 1) -> Optional[Tuple[int, int]]:
        """Where a vector's elements of `size` bytes begin, and how many they are; None where absent."""
        place = self.place(field)
        return None if place is None else self.buffer.vector(place, size)

    def numbers(self, field: int, code: str, limit: Optional[int] = None) -> Optional[Tuple[Any, ...]]:
        """A vector of numbers, at most the first `limit` of them; None where absent."""
        found = self.span(field, _SIZES[code])
        if found is None:
            return None
        start, length = found
        length = length if limit is None else min(length, limit)
        self.buffer.spend(1 + length * _SIZES[code] // 64)
        return struct.unpack_from("<{}{}".format(length, code), self.buffer.data, start)

    def table(self, field: int) -> Optional["Table"]:
        """A table that a field refers to; None where absent."""
        place = self.place(field)
        return None if place is None else self._at(place)

    def tables(self, field: int) -> List["Table"]:
        """A vector of tables; empty where absent."""
        found = self.span(field, 4)
        if found is None:
            return []
        start, length = found
        self.buffer.spend(length)
        return [self._at(start + 4 * index) for index in range(length)]

    def texts(self, field: int) -> List[Tuple[int, int]]:
        """Where each string of a vector of strings begins, and how many bytes it has; empty where absent."""
        found = self.span(field, 4)
        if found is None:
            return []
        start, length = found
        self.buffer.spend(length)
        return [self.buffer.vector(start + 4 * index, 1) for index in range(length)]

    def _at(self, place: int) -> "Table":
        return Table(self.buffer, place + self.buffer.number("I", place))
