"""Reads a .tflite as data: its operators, inputs and outputs.

Format: https://flatbuffers.dev/internals/ with TensorFlow's ``schema.fbs``. A table begins with the signed distance
back to its vtable; the vtable holds its own length, the table's length, and for each field its place in the table (0
where absent). TensorFlow before 2.3 brings no reader, and of the file only a few fields are needed here.
"""

import struct
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from modelmill_worker import StepError
from modelmill_worker.errors import TOOL

from modelmill_tflite_quantizer.builtin_operators import BUILTIN_OPERATORS

_CUSTOM = BUILTIN_OPERATORS.index("CUSTOM")

#: numpy's names of ``enum TensorType``, by its value.
_TYPES = (
    "float32",
    "float16",
    "int32",
    "uint8",
    "int64",
    "string",
    "bool",
    "int16",
    "complex64",
    "int8",
    "float64",
    "complex128",
    "uint64",
    "resource",
    "variant",
    "uint32",
    "uint16",
    "int4",
    "bfloat16",
)


@dataclass(frozen=True)
class Tensor:
    """One tensor; -1 for a dimension that is known only when the model runs."""

    name: str
    dtype: str
    shape: Tuple[int, ...]


@dataclass(frozen=True)
class Flatbuffer:
    """What a .tflite holds.

    operators: one name for each operator of each subgraph, in order; custom operators by their own name.
    custom_operators: the names of those that are no builtin ones, Flex operators included, sorted.
    inputs, outputs: those of the first subgraph, which is the one that runs, in order.
    signature_inputs, signature_outputs: by the names of the file's first signature; empty where it has none.
    """

    operators: Tuple[str, ...]
    inputs: Tuple[Tensor, ...]
    outputs: Tuple[Tensor, ...]
    signature_inputs: Dict[str, Tensor] = field(default_factory=dict)
    signature_outputs: Dict[str, Tensor] = field(default_factory=dict)
    custom_operators: Tuple[str, ...] = ()


def read(content: bytes) -> Flatbuffer:
    """Read a .tflite; StepError TFLITE_UNREADABLE where `content` is none."""
    if content[4:8] != b"TFL3":
        raise _unreadable()
    try:
        return _read_model(_Table(content, struct.unpack_from("<I", content, 0)[0]))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise _unreadable() from error


def _unreadable() -> StepError:
    return StepError("TFLITE_UNREADABLE", "What the converter gave is not a TFLite model.", {}, TOOL)


class _Table:
    """One table of a flatbuffer; fields are numbered as the schema lists them."""

    def __init__(self, content: bytes, start: int) -> None:
        self._content = content
        self._start = start
        self._vtable = start - self._unpack("<i", start)
        self._vtable_length = self._unpack("<H", self._vtable)

    def scalar(self, field: int, code: str, default: int = 0) -> int:
        place = self._place(field)
        return default if place is None else self._unpack("<" + code, place)

    def text(self, field: int) -> str:
        place = self._place(field)
        if place is None:
            return ""
        start, length = self._vector(place)
        return self._content[start : start + length].decode("utf-8")

    def integers(self, field: int) -> Optional[Tuple[int, ...]]:
        """A vector of int32; None where absent."""
        place = self._place(field)
        if place is None:
            return None
        start, length = self._vector(place)
        return struct.unpack_from("<{}i".format(length), self._content, start)

    def tables(self, field: int) -> List["_Table"]:
        place = self._place(field)
        if place is None:
            return []
        start, length = self._vector(place)
        return [self._table_at(start + 4 * index) for index in range(length)]

    def _place(self, field: int) -> Optional[int]:
        entry = 4 + 2 * field
        if entry >= self._vtable_length:
            return None
        offset = self._unpack("<H", self._vtable + entry)
        return self._start + offset if offset else None

    def _vector(self, place: int) -> Tuple[int, int]:
        """Where a vector's elements begin, and how many they are."""
        vector = place + self._unpack("<I", place)
        return vector + 4, self._unpack("<I", vector)

    def _table_at(self, place: int) -> "_Table":
        return _Table(self._content, place + self._unpack("<I", place))

    def _unpack(self, code: str, place: int) -> Any:
        return struct.unpack_from(code, self._content, place)[0]


def _read_model(model: _Table) -> Flatbuffer:
    names = [_operator_name(code) for code in model.tables(1)]
    subgraphs = model.tables(2)
    first = subgraphs[0]
    tensors = first.tables(0)
    signatures = model.tables(7)[:1]
    return Flatbuffer(
        operators=tuple(names[operator.scalar(0, "I")] for subgraph in subgraphs for operator in subgraph.tables(3)),
        inputs=tuple(_tensor(tensors[index]) for index in first.integers(1) or ()),
        outputs=tuple(_tensor(tensors[index]) for index in first.integers(2) or ()),
        custom_operators=tuple(sorted(code.text(1) or "CUSTOM" for code in model.tables(1) if _is_custom(code))),
        signature_inputs=_named(signatures, 0, tensors),
        signature_outputs=_named(signatures, 1, tensors),
    )


def _named(signatures: List[_Table], ends: int, tensors: List[_Table]) -> Dict[str, Tensor]:
    """The inputs or outputs of signatures: pairs of a name and a tensor of the first subgraph."""
    return {
        end.text(0): _tensor(tensors[end.scalar(1, "I")]) for signature in signatures for end in signature.tables(ends)
    }


def _builtin(code: _Table) -> int:
    # The first field was a byte until there were more than 127 operators; the larger of both counts.
    return max(code.scalar(0, "b"), code.scalar(3, "i"))


def _is_custom(code: _Table) -> bool:
    return _builtin(code) == _CUSTOM


def _operator_name(code: _Table) -> str:
    builtin = _builtin(code)
    if builtin == _CUSTOM:
        return code.text(1) or "CUSTOM"
    return BUILTIN_OPERATORS[builtin] if builtin < len(BUILTIN_OPERATORS) else "BUILTIN_{}".format(builtin)


def _tensor(tensor: _Table) -> Tensor:
    kind = tensor.scalar(1, "b")
    shape = tensor.integers(7)
    return Tensor(
        name=tensor.text(3),
        dtype=_TYPES[kind] if kind < len(_TYPES) else "type_{}".format(kind),
        shape=shape if shape is not None else (tensor.integers(0) or ()),
    )
