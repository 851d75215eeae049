"""Protobuf's wire format, read without a schema: enough to tell one message type from another.

A parser with a schema accepts much that was never meant for it, because unknown fields are legal. Looking at the
fields themselves tells more, and costs nothing for a file of any size.
Format: https://protobuf.dev/programming-guides/encoding/
"""

from dataclasses import dataclass
from typing import Iterator, Tuple

VARINT = 0
FIXED64 = 1
LENGTH_DELIMITED = 2
FIXED32 = 5

_LONGEST_VARINT = 10


class MalformedMessageError(ValueError):
    """The bytes are no protobuf message."""


class TruncatedMessageError(MalformedMessageError):
    """The bytes end in the midst of a field."""


@dataclass(frozen=True)
class Field:
    """One field of a message: its number, how it is encoded, and where its content lies (`start` to `end`)."""

    number: int
    wire_type: int
    start: int
    end: int


def read_fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in ``data[start:end]``, in their order; `data` may be a memory map.

    Raises MalformedMessageError, or TruncatedMessageError where the last field passes `end`.
    """
    position = start
    while position < end:
        key, position = read_varint(data, position, end)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise MalformedMessageError("field number 0")
        length, position = _content_length(data, position, end, wire_type)
        if position + length > end:
            raise TruncatedMessageError("field {} passes the end".format(number))
        yield Field(number, wire_type, position, position + length)
        position += length


def read_varint(data: bytes, position: int, end: int) -> Tuple[int, int]:
    """The number at `position` and the position after it."""
    value = 0
    for index in range(_LONGEST_VARINT):
        if position + index >= end:
            raise TruncatedMessageError("a number passes the end")
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise MalformedMessageError("a number of more than 64 bits")


def _content_length(data: bytes, position: int, end: int, wire_type: int) -> Tuple[int, int]:
    """The length of a field's content, and where it starts."""
    if wire_type == LENGTH_DELIMITED:
        return read_varint(data, position, end)
    if wire_type == VARINT:
        return read_varint(data, position, end)[1] - position, position
    if wire_type == FIXED64:
        return 8, position
    if wire_type == FIXED32:
        return 4, position
    raise MalformedMessageError("wire type {}".format(wire_type))
