"""The element types of TFLite's tensors: ``enum TensorType`` of TensorFlow's schema.fbs, which only ever appends.

The last two are LiteRT's, of after TensorFlow 2.21.
"""

from typing import Tuple

#: numpy's name, or what comes closest to it, and bits of an element (0: of any size), by the enum's value.
_TYPES: Tuple[Tuple[str, int], ...] = (
    ("float32", 32),
    ("float16", 16),
    ("int32", 32),
    ("uint8", 8),
    ("int64", 64),
    ("string", 0),
    ("bool", 8),
    ("int16", 16),
    ("complex64", 64),
    ("int8", 8),
    ("float64", 64),
    ("complex128", 128),
    ("uint64", 64),
    ("resource", 0),
    ("variant", 0),
    ("uint32", 32),
    ("uint16", 16),
    ("int4", 4),
    ("bfloat16", 16),
    ("int2", 2),
    ("uint4", 4),
    ("float8_e4m3fn", 8),
    ("float8_e5m2", 8),
)
_BITS = dict(_TYPES)

FLOATS = frozenset(("float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"))
#: What weights are quantised to.
SMALL_INTEGERS = frozenset(("int2", "int4", "uint4", "int8", "uint8", "int16"))


def name_of(kind: int) -> str:
    """The name of a value of the enum; that of an unknown one has its number."""
    return _TYPES[kind][0] if 0 <= kind < len(_TYPES) else "type_{}".format(kind)


def bytes_of(dtype: str, elements: int) -> int:
    """What so many elements take, packed; 0 for those of any size and of unknown types."""
    return (_BITS.get(dtype, 0) * elements + 7) // 8
