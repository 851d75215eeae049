"""Inputs for parsers: files that are right, made wrong in few places or in their structure, and plain bytes."""

import struct
from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from modelmill_worker import protobuf_wire
from modelmill_worker.protobuf_wire import LENGTH_DELIMITED, VARINT, Field, MalformedMessageError

#: What numbers are hostile in a file: the ends of their ranges, and what is large enough to hurt.
NUMBERS = (0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
#: Seeds are cut to this size, so that mutations meet structure rather than weights.
LARGEST_SEED = 64 * 1024


def inputs(seeds: Sequence[bytes], structured: bool) -> st.SearchStrategy[bytes]:
    """Bytes for a parser whose right inputs are the seeds; structured: whether these are protocol buffers."""
    changes = st.lists(st.one_of(*(_changes(structured))), min_size=1, max_size=6)
    mutated = st.builds(_apply, st.sampled_from(list(seeds)), changes)
    spliced = st.builds(_splice, st.sampled_from(list(seeds)), st.sampled_from(list(seeds)), _places(), _places())
    return st.one_of(mutated, mutated, mutated, spliced, st.binary(max_size=200))


Change = Callable[[bytes], bytes]


def _places() -> st.SearchStrategy[float]:
    return st.floats(0, 1, exclude_max=True)


def _changes(structured: bool) -> list[st.SearchStrategy[Change]]:
    places, sizes = _places(), st.integers(1, 64)
    numbers = st.sampled_from(NUMBERS)
    changes: list[st.SearchStrategy[Change]] = [
        st.builds(_flip, places, st.integers(1, 255)),
        st.builds(_cut, places),
        st.builds(_remove, places, sizes),
        st.builds(_insert, places, st.binary(min_size=1, max_size=32)),
        st.builds(_repeat, places, sizes, st.integers(2, 200)),
        st.builds(_overwrite_number, places, numbers, st.sampled_from("BHIQ")),
    ]
    if structured:
        path = st.lists(places, min_size=1, max_size=8)
        changes += [
            st.builds(_replace_field, path, st.binary(max_size=64)),
            st.builds(_replace_number, path, numbers),
            st.builds(_drop_field, path),
            st.builds(_repeat_field, path, st.integers(2, 50)),
            st.builds(_nest_field, path, st.integers(2, 200)),
        ]
    return changes


def _apply(seed: bytes, changes: list[Change]) -> bytes:
    for change in changes:
        seed = change(seed)
    return seed


def _splice(first: bytes, second: bytes, where: float, whence: float) -> bytes:
    return first[: int(where * len(first))] + second[int(whence * len(second)) :]


def _flip(where: float, mask: int) -> Change:
    def change(data: bytes) -> bytes:
        position = int(where * len(data))
        return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :] if data else data

    return change


def _cut(where: float) -> Change:
    return lambda data: data[: int(where * len(data))]


def _remove(where: float, size: int) -> Change:
    return lambda data: data[: int(where * len(data))] + data[int(where * len(data)) + size :]


def _insert(where: float, content: bytes) -> Change:
    return lambda data: data[: int(where * len(data))] + content + data[int(where * len(data)) :]


def _repeat(where: float, size: int, times: int) -> Change:
    def change(data: bytes) -> bytes:
        position = int(where * len(data))
        return data[:position] + data[position : position + size] * times + data[position + size :]

    return change


def _overwrite_number(where: float, number: int, width: str) -> Change:
    def change(data: bytes) -> bytes:
        packed = struct.pack("<" + width, number & (256 ** struct.calcsize(width) - 1))
        position = int(where * len(data))
        return data[:position] + packed + data[position + len(packed) :]

    return change


def _replace_field(path: list[float], content: bytes) -> Change:
    return lambda data: _rewrite(data, path, lambda _number, _kind, _content: [(LENGTH_DELIMITED, content)])


def _replace_number(path: list[float], number: int) -> Change:
    return lambda data: _rewrite(data, path, lambda _number, _kind, _content: [(VARINT, varint(number))])


def _drop_field(path: list[float]) -> Change:
    return lambda data: _rewrite(data, path, lambda _number, _kind, _content: [])


def _repeat_field(path: list[float], times: int) -> Change:
    return lambda data: _rewrite(data, path, lambda _number, kind, content: [(kind, content)] * times)


def _nest_field(path: list[float], depth: int) -> Change:
    def nested(number: int, kind: int, content: bytes) -> list[tuple[int, bytes]]:
        if kind == LENGTH_DELIMITED:
            for _ in range(depth):
                content = encode(number, LENGTH_DELIMITED, content)
        return [(kind, content)]

    return lambda data: _rewrite(data, path, nested)


def _rewrite(data: bytes, path: list[float], change: Callable[[int, int, bytes], list[tuple[int, bytes]]]) -> bytes:
    """A message with the field changed to which a path leads; lengths around it stay right."""
    try:
        fields = list(protobuf_wire.read_fields(data, 0, len(data)))
    except MalformedMessageError:
        return data
    if not fields:
        return data
    chosen = int(path[0] * len(fields))
    return b"".join(
        _field(data, field, path[1:] if index == chosen else None, change) for index, field in enumerate(fields)
    )


def _field(
    data: bytes,
    field: Field,
    path: list[float] | None,
    change: Callable[[int, int, bytes], list[tuple[int, bytes]]],
) -> bytes:
    content = data[field.start : field.end]
    if path is None:
        return encode(field.number, field.wire_type, content)
    if path and field.wire_type == LENGTH_DELIMITED:
        inner = _rewrite(content, path, change)
        if inner != content:
            return encode(field.number, field.wire_type, inner)
    changed = change(field.number, field.wire_type, content)
    return b"".join(encode(field.number, kind, new) for kind, new in changed)


def encode(number: int, wire_type: int, content: bytes) -> bytes:
    """One field of a message."""
    length = varint(len(content)) if wire_type == LENGTH_DELIMITED else b""
    return varint(number << 3 | wire_type) + length + content


def varint(number: int) -> bytes:
    """A number as protocol buffers write it."""
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])
