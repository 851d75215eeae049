"""TensorProto to NumPy and back, without TensorFlow.

Formats: tensorflow/core/framework/tensor.proto, tensor_shape.proto and types.proto.
"""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import numpy as np

from modelmill_worker.errors import StepError

#: A protobuf message; TensorFlow's and TensorBoard's classes are both welcome.
Message = Any


@dataclass(frozen=True)
class DataType:
    """One of TensorFlow's data types.

    number: in types.proto.
    name: NumPy's, where NumPy has the type; else TensorFlow's, such as "bfloat16" or "qint8".
    storage: the NumPy type whose bytes lie in ``tensor_content``; None where a tensor has no bytes of its own.
    field: the repeated field of a TensorProto that holds its values otherwise.
    """

    number: int
    name: str
    storage: Optional[str]
    field: str


STRING = DataType(7, "string", None, "string_val")
BFLOAT16 = DataType(14, "bfloat16", "<u2", "half_val")
HALF = DataType(19, "float16", "<f2", "half_val")
RESOURCE = DataType(20, "resource", None, "resource_handle_val")
VARIANT = DataType(21, "variant", None, "variant_val")

_TYPES = (
    DataType(1, "float32", "<f4", "float_val"),
    DataType(2, "float64", "<f8", "double_val"),
    DataType(3, "int32", "<i4", "int_val"),
    DataType(4, "uint8", "u1", "int_val"),
    DataType(5, "int16", "<i2", "int_val"),
    DataType(6, "int8", "i1", "int_val"),
    STRING,
    DataType(8, "complex64", "<c8", "scomplex_val"),
    DataType(9, "int64", "<i8", "int64_val"),
    DataType(10, "bool", "?", "bool_val"),
    DataType(11, "qint8", "i1", "int_val"),
    DataType(12, "quint8", "u1", "int_val"),
    DataType(13, "qint32", "<i4", "int_val"),
    BFLOAT16,
    DataType(15, "qint16", "<i2", "int_val"),
    DataType(16, "quint16", "<u2", "int_val"),
    DataType(17, "uint16", "<u2", "int_val"),
    DataType(18, "complex128", "<c16", "dcomplex_val"),
    HALF,
    RESOURCE,
    VARIANT,
    DataType(22, "uint32", "<u4", "uint32_val"),
    DataType(23, "uint64", "<u8", "uint64_val"),
)
_BY_NUMBER: Dict[int, DataType] = {data_type.number: data_type for data_type in _TYPES}
_BY_NAME: Dict[str, DataType] = {data_type.name: data_type for data_type in _TYPES}

#: A variable's reference type has its value type's number plus this.
_REFERENCE_OFFSET = 100

#: No constant is larger, in bytes: spelt out, it would not fit into a graph.
_LARGEST = 2**31

#: Types that count as a model's weights.
FLOATING = frozenset(["float16", "bfloat16", "float32", "float64"])


def data_type(number: int) -> DataType:
    """The type with this number in types.proto; a reference type gives its value type.

    Raises StepError DTYPE_UNKNOWN.
    """
    value_number = number - _REFERENCE_OFFSET if number > _REFERENCE_OFFSET else number
    if value_number not in _BY_NUMBER:
        raise StepError(
            "DTYPE_UNKNOWN",
            "The graph has tensors of the data type number {}, which modelmill does not know. "
            "Is the file damaged, or written by a much newer TensorFlow?".format(number),
            {"dtype": number},
        )
    return _BY_NUMBER[value_number]


def data_type_of(dtype: Any) -> DataType:
    """The type of NumPy arrays with this dtype (ml_dtypes' bfloat16 included); objects and bytes are strings."""
    numpy_dtype = np.dtype(dtype)
    name = "string" if numpy_dtype.kind in "OSU" else numpy_dtype.name
    if name not in _BY_NAME:
        raise StepError("DTYPE_UNKNOWN", "TensorFlow has no data type {}.".format(name), {"dtype": name})
    return _BY_NAME[name]


def data_type_named(name: str) -> DataType:
    """The type that NumPy, or TensorFlow where NumPy has it not, calls so. Raises StepError DTYPE_UNKNOWN."""
    if name not in _BY_NAME:
        known = ", ".join(sorted(_BY_NAME))
        raise StepError(
            "DTYPE_UNKNOWN", "There is no data type {}. Known are: {}.".format(name, known), {"dtype": name}
        )
    return _BY_NAME[name]


def storage_of(name: str) -> Optional[str]:
    """The NumPy type in which a tensor of this data type lies; None for strings, handles and unknown names."""
    return _BY_NAME[name].storage if name in _BY_NAME else None


def decode(proto: Message) -> np.ndarray:
    """The value of a TensorProto. bfloat16 comes as float32.

    Read-only where its bytes are used as they lie, or one value stands for all elements and is held once.

    A repeated field may hold fewer values than the tensor has elements: the last one then stands for the rest,
    and none at all means zeros. Raises StepError TENSOR_MALFORMED.
    """
    kind = data_type(proto.dtype)
    shape = _whole_shape(proto.tensor_shape)
    try:
        return _decode(proto, kind, shape)
    except (ValueError, OverflowError) as error:  # NumPy's words for numbers out of range and for shapes beyond it.
        raise _malformed("a constant of shape {} and type {}: {}".format(shape, kind.name, error)) from error


def _decode(proto: Message, kind: DataType, shape: Tuple[int, ...]) -> np.ndarray:
    content = proto.tensor_content  # a copy each time that it is asked for
    if kind.storage is not None and content:
        return _from_bytes(content, kind, shape)
    values = getattr(proto, kind.field)
    if kind is STRING:
        return _fill(np.array(list(values), dtype=object), shape, b"")
    if kind.storage is None:
        raise _malformed("a tensor of type {} has no value that can be read".format(kind.name))
    if kind.field == "half_val":
        bits = np.array(values, dtype=np.uint16)
        return _fill(_widen_bfloat16(bits) if kind is BFLOAT16 else bits.view(np.float16), shape, 0)
    if kind.field in ("scomplex_val", "dcomplex_val"):
        pairs = np.array(values, dtype=np.float64).reshape(-1, 2)
        return _fill((pairs[:, 0] + 1j * pairs[:, 1]).astype(kind.storage), shape, 0)
    return _fill(np.array(values, dtype=kind.storage), shape, 0)


def encode(array: np.ndarray, proto: Message, dtype: Optional[DataType] = None) -> None:
    """Write an array into a TensorProto; `dtype` where it is not the array's own (qint8, bfloat16 from float32)."""
    kind = dtype or data_type_of(array.dtype)
    proto.Clear()
    proto.dtype = kind.number
    encode_shape(array.shape, proto.tensor_shape)
    if kind is STRING:
        proto.string_val.extend(_as_bytes(item) for item in array.ravel())
    elif kind.storage is None:
        raise StepError("DTYPE_UNKNOWN", "A {} cannot be a constant.".format(kind.name), {"dtype": kind.name})
    else:
        proto.tensor_content = stored(array, kind).tobytes()


def stored(array: np.ndarray, kind: DataType) -> np.ndarray:
    """The array whose bytes are a tensor's ``tensor_content``; no copy where it is one already.

    kind: one that has a `storage`.
    """
    if kind is BFLOAT16:
        return _narrow_to_bfloat16(array)
    return np.ascontiguousarray(array).astype(kind.storage, copy=False)


def decode_shape(proto: Message) -> Optional[Tuple[int, ...]]:
    """A TensorShapeProto as a tuple with -1 for unknown dimensions; None for an unknown rank."""
    if proto.unknown_rank:
        return None
    return tuple(int(dim.size) for dim in proto.dim)


def encode_shape(shape: Optional[Tuple[int, ...]], proto: Message) -> None:
    """Write a shape into a TensorShapeProto."""
    proto.Clear()
    if shape is None:
        proto.unknown_rank = True
        return
    for size in shape:
        proto.dim.add().size = int(size)


def shapes_agree(first: Optional[Tuple[int, ...]], second: Optional[Tuple[int, ...]]) -> bool:
    """Whether one tensor can have both shapes, where -1 and None leave something open."""
    if first is None or second is None:
        return True
    return len(first) == len(second) and all(a in (b, -1) or b == -1 for a, b in zip(first, second))


def element_count(shape: Optional[Tuple[int, ...]]) -> int:
    """How many elements a tensor of this shape has; 0 where that cannot be told."""
    if shape is None or any(size < 0 for size in shape):
        return 0
    count = 1
    for size in shape:
        count *= size
    return count


def _whole_shape(proto: Message) -> Tuple[int, ...]:
    shape = decode_shape(proto)
    if shape is None or any(size < 0 for size in shape):
        raise _malformed("a constant has unknown dimensions")
    return shape


def _from_bytes(content: bytes, kind: DataType, shape: Tuple[int, ...]) -> np.ndarray:
    values = np.frombuffer(content, dtype=kind.storage) if len(content) % np.dtype(kind.storage).itemsize == 0 else None
    if values is None or values.size != element_count(shape):
        raise _malformed("a constant of shape {} and type {} has {} bytes".format(shape, kind.name, len(content)))
    values = values.reshape(shape)
    return _widen_bfloat16(values) if kind is BFLOAT16 else values


def _fill(values: np.ndarray, shape: Tuple[int, ...], default: Any) -> np.ndarray:
    count = element_count(shape)
    if values.size > count:
        raise _malformed("a constant of shape {} has {} values".format(shape, values.size))
    if count * values.dtype.itemsize > _LARGEST:
        raise _malformed("a constant of shape {} has {} values only".format(shape, values.size))
    if values.size <= 1 and count > 1:
        one = values if values.size else np.array([default], dtype=values.dtype)
        return np.broadcast_to(one.reshape(()), shape)
    filled = np.empty(count, dtype=values.dtype)
    filled[: values.size] = values
    filled[values.size :] = values[-1] if values.size else default
    return filled.reshape(shape)


def _widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """A bfloat16 is the upper half of a float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _narrow_to_bfloat16(array: np.ndarray) -> np.ndarray:
    """The bits of the nearest bfloat16 values, ties to even, as TensorFlow rounds them."""
    if array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).view(np.uint16)
    values = np.array(array, dtype=np.float32, order="C", ndmin=1)
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype("<u2")


def _as_bytes(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode("utf-8")


def _malformed(what: str) -> StepError:
    return StepError("TENSOR_MALFORMED", "The graph is damaged: {}. Export it again.".format(what))
